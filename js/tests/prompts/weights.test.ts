/** Tests of the weights of words in a prompt. */

import { describe, expect, it } from "vitest";
import { changeWeight, WEIGHT_STEP } from "../../src/prompts/weights";

/** Change the weight in a text in which `[` and `]` stand for the selection, `|` for the caret. */
function change(marked: string, steps: number): string {
  const caret = marked.indexOf("|");
  const [start, end] = caret < 0 ? [marked.indexOf("["), marked.indexOf("]") - 1] : [caret, caret];
  const text = marked.replace(/[[\]|]/g, "");
  const edit = changeWeight(text, start, end, steps * WEIGHT_STEP);
  if (!edit) return marked;
  return `${text.slice(0, edit.start)}[${edit.text}]${text.slice(edit.end)}`;
}

describe("the weight of words", () => {
  it.each([
    ["a [red] fox", 1, "a [(red:1.05)] fox"],
    ["a [red] fox", -1, "a [(red:0.95)] fox"],
    ["a [red ]fox", 1, "a [(red:1.05)] fox"],
    ["a r|ed fox", 1, "a [(red:1.05)] fox"],
    ["a |red fox", 1, "a [(red:1.05)] fox"],
    ["a re-d| fox", 1, "a re-[(d:1.05)] fox"],
    ["a (red fo|x:1.2), b", 1, "a [(red fox:1.25)], b"],
    ["a [(red:1.2)]", -1, "a [(red:1.15)]"],
    ["a ([red:1.2])", 1, "a [(red:1.25)]"],
    ["a ([red]:1.2)", 1, "a ([(red:1.05)]:1.2)"],
    ["a ([red])", 1, "a [(red:1.05)]"],
    ["a (red:0.|95)", 1, "a [red]"],
    ["a (red:1|.05)", -1, "a [red]"],
    ["((a:1.1) b|:1.2)", 1, "[((a:1.1) b:1.25)]"],
    ["((a|:1.1) b:1.2)", 1, "([(a:1.15)] b:1.2)"],
    ["[(a:1.2) and (b:1.1)]", 1, "[((a:1.2) and (b:1.1):1.05)]"],
    ["(a\nb|:1.2)", 1, "[(a\nb:1.25)]"],
    ["(at 12:3|0)", 1, "[(at 12:30:1.05)]"],
    ["(v2:1|.5)", 1, "[(v2:1.55)]"],
    ["(a|:.5)", 1, "[(a:0.55)]"],
    ["(a|:0.05)", -2, "[(a:-0.05)]"],
    ["\\(a r|ed fox\\)", 1, "\\(a [(red:1.05)] fox\\)"],
    ["a (red| fox", 1, "a ([(red:1.05)] fox"],
  ])("of %s changes by %d steps to %s", (before, steps, after) => expect(change(before, steps)).toBe(after));

  it.each([
    "a | fox",
    "a |(red:1.2)",
    "a [ ]fox",
    "|",
    "a ()| b",
    "[a (b] c)",
    "a[) (]b".replace("a", "(x").replace("b", "y)"),
  ])("does not change in %s", (text) => expect(change(text, 1)).toBe(text));

  it("is the same again after as many steps down as up, and stays within the grammar", () => {
    let state = 7;
    const draw = (below: number) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
    const parts = ["fox", " ", "(red:1.2)", "(", ")", "(a ", " b:0.9)", ":1.1", ", ", "\\(", "\n", "12:30", "(soft)"];
    let changed = 0;
    for (let round = 0; round < 3000; round++) {
      const text = Array.from({ length: 1 + draw(7) }, () => parts[draw(parts.length)]).join("");
      const [start, end] = [draw(text.length + 1), draw(text.length + 1)].sort((a, b) => a - b) as [number, number];
      const up = changeWeight(text, start, end, WEIGHT_STEP);
      if (!up) continue;
      changed++;
      const after = text.slice(0, up.start) + up.text + text.slice(up.end);
      expect(countDepth(after), JSON.stringify([text, after])).toBe(countDepth(text));
      const down = changeWeight(after, up.start, up.start + up.text.length, -WEIGHT_STEP);
      const back = down && after.slice(0, down.start) + down.text + after.slice(down.end);
      // A group without a weight gets one, and loses its parentheses with it.
      const was = text.slice(up.start, up.end);
      const plain = /^\(([\s\S]*)\)$/.exec(was);
      const hasWeight = plain && up.text.length >= was.length && /:[^:]*\)$/.test(was);
      if (up.text.startsWith("(") && (!plain || hasWeight)) expect(back, JSON.stringify([text, after])).toBe(text);
    }
    expect(changed).toBeGreaterThan(1000);
  });
});

/** How many parentheses are open at the end, and whether one was closed too often. */
function countDepth(text: string): number {
  let depth = 0;
  for (const char of text.replace(/\\[\s\S]/g, "")) depth += char === "(" ? 1 : char === ")" ? -1 : 0;
  return depth;
}
