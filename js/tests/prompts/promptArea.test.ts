/** Tests of the editor of prompts: earlier texts, weights, wildcards, the larger editor. */

import { describe, expect, it } from "vitest";
import { countWords, findWildcard } from "../../src/prompts/edits";
import { PromptHistory } from "../../src/prompts/history";
import { makeField, settle } from "../model";
import { findButton, findControl, pressKey, setUpPage } from "../page";

const page = setUpPage();

/** Start a form with one prompt, and a kernel that knows earlier ones and wildcards. */
async function startPrompt(text: string) {
  const el = await page.start({
    fields: [makeField("prompt", "multiline", { default: "own" })],
    values: { prompt: text },
  });
  page.model.kernel = ({ kind }) => {
    if (kind === "prompts") return { prompts: ["two", "one"] };
    return kind === "wildcards" ? { names: ["animals", "trees"] } : {};
  };
  return { el, area: findControl(el, "prompt") as unknown as HTMLTextAreaElement };
}

async function press(area: HTMLTextAreaElement, key: string, more: KeyboardEventInit = {}): Promise<void> {
  await pressKey(area, key, more);
  await new Promise((resolve) => setTimeout(resolve));
  await settle();
}

describe("earlier texts", () => {
  it("come newest first, and the typed one comes back", () => {
    const history = new PromptHistory();
    history.start("typed", ["two", "typed", "one"]);
    expect([history.move(-1), history.move(1), history.move(1), history.move(1)]).toEqual([
      undefined,
      "two",
      "one",
      undefined,
    ]);
    expect(history.place).toContain("2 of 2");
    expect([history.move(-1), history.move(-1), history.place]).toEqual(["two", "typed", ""]);
  });

  it("never lose what was typed over one of them", () => {
    const history = new PromptHistory();
    history.start("first draft", ["one"]);
    history.move(1);
    history.start("one, edited", ["one"]);
    expect([history.move(1), history.move(1)]).toEqual(["first draft", "one"]);
  });

  it("come by the arrow up in the area, and are sent as its value", async () => {
    const { el, area } = await startPrompt("typed");
    area.setSelectionRange(0, 0);
    await press(area, "ArrowUp");
    expect(area.value).toBe("two");
    expect(el.querySelector(".ck-prompt [role=status]")?.textContent).toContain("1 of 2");
    await press(area, "ArrowUp");
    expect(area.value).toBe("one");
    await press(area, "ArrowDown");
    await press(area, "ArrowDown");
    expect(area.value).toBe("typed");
    expect(page.model.getSent("prompts")).toHaveLength(1);
  });

  it("stay away with a selection, with Shift, and by the arrow down alone", async () => {
    const { area } = await startPrompt("typed");
    area.setSelectionRange(0, 3);
    await press(area, "ArrowUp");
    area.setSelectionRange(0, 0);
    await press(area, "ArrowUp", { shiftKey: true });
    await press(area, "ArrowDown");
    expect(page.model.getSent("prompts")).toEqual([]);
  });
});

describe("the area", () => {
  it("changes the weight of the selected words, which stay selected", async () => {
    const { area } = await startPrompt("a red fox");
    area.setSelectionRange(2, 5);
    await press(area, "ArrowUp", { ctrlKey: true });
    await press(area, "ArrowUp", { metaKey: true });
    expect(area.value).toBe("a (red:1.1) fox");
    expect(area.value.slice(area.selectionStart, area.selectionEnd)).toBe("(red:1.1)");
  });

  it("completes wildcards after two underscores", async () => {
    const { el, area } = await startPrompt("");
    area.value = "a __tr";
    area.setSelectionRange(4, 4);
    area.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    expect([...el.querySelectorAll('[role="option"]')].map(({ textContent }) => textContent)).toEqual([
      "animals",
      "trees",
    ]);
    await press(area, "ArrowDown");
    await press(area, "Enter");
    expect(area.value).toBe("a __trees__tr");
    expect(el.querySelector('[role="option"]')).toBeNull();
  });

  it("becomes a larger editor, the same element, until Escape", async () => {
    const { el, area } = await startPrompt("a red fox");
    area.setSelectionRange(3, 3);
    findButton(el, "Larger editor for prompt")?.click();
    await settle();
    expect(el.querySelector('[role="dialog"]')?.textContent).toContain("3 words");
    expect(findControl(el, "prompt")).toBe(area);
    expect(area.selectionStart).toBe(3);
    await press(area, "Escape");
    expect(el.querySelector('[role="dialog"]')).toBeNull();
  });
});

describe("names of wildcards", () => {
  it.each([
    ["a __", ""],
    ["a __an", "an"],
    ["__more/tr", "more/tr"],
    ["__animals__", undefined],
    ["__animals__ and __t", "t"],
    ["a _b", undefined],
  ])("begin in %s with %s", (text, name) => expect(findWildcard(text)).toBe(name));
});

it("counts words", () => expect([countWords(""), countWords(" a\n b,c ")]).toEqual([0, 2]));
