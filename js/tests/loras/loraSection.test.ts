/** Tests of the section for a stack of LoRAs. */

import { describe, expect, it, vi } from "vitest";
import { addWord, hasWord, isSameFile, moveRow, type Row } from "../../src/loras/stack";
import type { Field, Value } from "../../src/session/protocol";
import { acceptAll, makeField, settle } from "../model";
import { findButton, pressKey, setUpPage } from "../page";

const page = setUpPage();
const STACK = "+loras";
const ROWS: Row[] = [
  ["people/anna.safetensors", 0.7, 0.7, true],
  ["glow.safetensors", 0.4, 0.2, true],
  ["style.safetensors", 0.5, 0.5, false],
];
const FIELD = makeField(STACK, "loras", {
  label: "LoRAs",
  default: [],
  choice_count: 4,
  is_known: true,
  has_clip: true,
  own: ["glow.safetensors"],
  prompt: "prompt",
  min: -100,
  max: 100,
});
const PROMPT = makeField("prompt", "multiline", { default: "a fox" });

async function start(rows: Value[] = ROWS, more: Partial<Field> = {}, traits = {}) {
  const el = await page.start({
    fields: [makeField("negative_prompt", "multiline", { default: "blurry" }), PROMPT, { ...FIELD, ...more }],
    values: { [STACK]: rows },
    ...traits,
  });
  acceptAll(page.model);
  const accept = page.model.kernel;
  page.model.kernel = (content, buffers) => {
    if (content.kind === "loras") return { choices: ["a.safetensors", "glow.safetensors", "style.safetensors"] };
    if (content.kind === "lora_words") return { words: ["anna", "<b>bold</b>"] };
    return accept(content, buffers);
  };
  return el;
}

function getRows(): Value {
  return (page.model.get("values") as Record<string, Value>)[STACK] ?? null;
}

function findByLabel(el: HTMLElement, label: string): HTMLElement {
  return el.querySelector(`[aria-label="${label}"]`) as HTMLElement;
}

async function typeInto(input: HTMLInputElement, text: string) {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await settle();
  input.dispatchEvent(new Event("change", { bubbles: true }));
  await settle();
}

async function click(element: HTMLElement | undefined | null) {
  element?.focus();
  element?.click();
  await settle();
}

describe("the section of LoRAs", () => {
  it("is only there where LoRAs can be used", async () => {
    const section = (el: HTMLElement) => el.querySelector(".ck-loras");
    expect(section(await page.start({ fields: [PROMPT] }))).toBeNull();
    expect(section(await start([], { is_known: false }))).toBeNull();
    expect(section(await start(ROWS, { is_known: false }))).not.toBeNull();
    expect(section(await start([]))?.querySelectorAll(".ck-lora")).toHaveLength(0);
  });

  it("adds a LoRA that is chosen among those not in the stack yet", async () => {
    const el = await start();
    await click(findButton(el, "Add a LoRA"));
    const input = findByLabel(el, "New LoRA") as HTMLInputElement;
    expect(document.activeElement).toBe(input);
    input.value = "a";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    const options = [...el.querySelectorAll('[role="option"]')].map((option) => option.textContent);
    expect(options).toEqual(["a.safetensors"]);
    await pressKey(input, "Enter");
    expect(getRows()).toEqual([...ROWS, ["a.safetensors", 1, 1, true]]);
    expect(findByLabel(el, "New LoRA")).toBeNull();
    expect(document.activeElement).toBe([...el.querySelectorAll(".ck-strengths input")].at(-1));
  });

  it("gets the focus back when a strength is not a number", async () => {
    const el = await start();
    const strength = el.querySelector(".ck-strengths input") as HTMLInputElement;
    await typeInto(strength, "abc");
    await click(findButton(el, "Run"));
    expect(document.activeElement).toBe(strength);
    expect(page.model.getSent("run")).toEqual([]);
  });

  it("leaves out, moves and removes by keys, and the focus stays", async () => {
    const el = await start();
    await click(findByLabel(el, "Use anna.safetensors"));
    expect(getRows()).toEqual([["people/anna.safetensors", 0.7, 0.7, false], ROWS[1], ROWS[2]]);
    await click(findByLabel(el, "Use anna.safetensors"));
    await click(findByLabel(el, "Move glow.safetensors up"));
    expect(getRows()).toEqual([ROWS[1], ROWS[0], ROWS[2]]);
    expect(document.activeElement).toBe(findByLabel(el, "Move glow.safetensors down"));
    await click(findByLabel(el, "Move glow.safetensors down"));
    expect(document.activeElement).toBe(findByLabel(el, "Move glow.safetensors down"));
    await click(findByLabel(el, "Remove glow.safetensors"));
    expect(getRows()).toEqual([ROWS[0], ROWS[2]]);
    expect(document.activeElement).toBe(findByLabel(el, "Remove style.safetensors"));
    await click(findByLabel(el, "Remove style.safetensors"));
    await click(findByLabel(el, "Remove anna.safetensors"));
    expect(getRows()).toEqual([]);
    expect(document.activeElement?.textContent).toBe("Add a LoRA");
  });

  it("keeps the focus where another file is chosen", async () => {
    const el = await start();
    const input = el.querySelectorAll<HTMLInputElement>('[aria-label="LoRA"]')[1] as HTMLInputElement;
    await click(input);
    input.value = "a.saf";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    await pressKey(input, "Enter");
    expect(getRows()).toEqual([ROWS[0], ["a.safetensors", 0.4, 0.2, true], ROWS[2]]);
    expect(document.activeElement).toBe(el.querySelectorAll('[aria-label="LoRA"]')[1]);
    expect((document.activeElement as HTMLInputElement).value).toBe("a.safetensors");
  });

  it("has one strength, or two", async () => {
    const el = await start();
    const [first, second] = [...el.querySelectorAll<HTMLElement>(".ck-strengths")] as [HTMLElement, HTMLElement];
    const inputs = (row: HTMLElement) => [...row.querySelectorAll<HTMLInputElement>("input")];
    expect(inputs(first).map((input) => input.value)).toEqual(["0.7"]);
    expect(inputs(second).map((input) => input.value)).toEqual(["0.4", "0.2"]);
    await click(findButton(first, "+ CLIP"));
    await typeInto(inputs(first)[1] as HTMLInputElement, "0.3");
    expect(getRows()).toEqual([["people/anna.safetensors", 0.7, 0.3, true], ROWS[1], ROWS[2]]);
    await click(findButton(second, "− CLIP"));
    expect((getRows() as Row[])[1]).toEqual(["glow.safetensors", 0.4, 0.4, true]);
  });

  it("sends a list of strengths, which one strength ends", async () => {
    const el = await start();
    const input = el.querySelector(".ck-strengths input") as HTMLInputElement;
    await typeInto(input, "0.2, 0.8");
    const list = `${STACK}/people/anna.safetensors`;
    expect(page.model.getSent("list").at(-1)).toMatchObject({ name: list, list: "0.2, 0.8" });
    page.model.setTraits({ lists: { [list]: "0.2, 0.8" } });
    await settle();
    expect(input.value).toBe("0.2, 0.8");
    await typeInto(input, "0.9");
    expect(page.model.getSent("list").at(-1)).toEqual(expect.not.objectContaining({ list: expect.anything() }));
    expect((getRows() as Row[])[0]).toEqual(["people/anna.safetensors", 0.9, 0.9, true]);
  });

  it("prevents a run with a strength that is none, as long as its row is there", async () => {
    const el = await start();
    await typeInto(el.querySelector(".ck-strengths input") as HTMLInputElement, "much");
    await click(findButton(el, "Run"));
    expect(page.model.getSent("run")).toEqual([]);
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("people/anna.safetensors: “much”");
    await click(findByLabel(el, "Remove anna.safetensors"));
    await click(findButton(el, "Run"));
    expect(page.model.getSent("run")).toHaveLength(1);
  });

  it("puts a trigger word into the prompt, once", async () => {
    const el = await start([]);
    page.model.setTraits({ values: { [STACK]: [["a.safetensors", 1, 1, true]] } });
    const words = () => [...el.querySelectorAll<HTMLElement>(".ck-words button")];
    // They are requested after the row is painted.
    await vi.waitFor(() => expect(words().map((word) => word.textContent)).toEqual(["anna", "<b>bold</b>"]));
    await click(words()[0]);
    await click(words()[0]);
    await click(words()[1]);
    expect((page.model.get("values") as Record<string, Value>).prompt).toBe("a fox, anna, <b>bold</b>");
    await vi.waitFor(() => expect(words().map((word) => word.getAttribute("aria-pressed"))).toEqual(["true", "true"]));
  });

  it("shows what prevents a run, and which loader is set", async () => {
    const el = await start(ROWS, { problem: "several nodes load a model" });
    expect(el.querySelector(".ck-loras")?.textContent).toContain("several nodes load a model");
    expect(el.querySelectorAll(".ck-lora")[1]?.textContent).toContain("Sets the workflow's own loader");
    page.model.setTraits({
      errors: { [STACK]: "the server has no LoRA 'x'", [`${STACK}/glow.safetensors`]: "numbers" },
    });
    await settle();
    expect(el.textContent?.split("the server has no LoRA").length).toBe(2);
    expect(el.textContent?.split("numbers").length).toBe(2);
  });

  it("ignores rows that are none", async () => {
    const el = await start([null, 7, { name: "x" }, ["a", 1, 1, true]] as Value[]);
    expect(el.querySelectorAll(".ck-lora")).toHaveLength(1);
  });
});

describe("a stack", () => {
  it("moves its rows", () => {
    expect(moveRow(ROWS, 2, -1)).toEqual([ROWS[0], ROWS[2], ROWS[1]]);
    expect(moveRow(ROWS, 0, 1)).toEqual([ROWS[1], ROWS[0], ROWS[2]]);
  });

  it("knows its files", () => {
    expect(isSameFile("anna", "people/anna.safetensors")).toBe(true);
    expect(isSameFile("people/anna", "people/anna.safetensors")).toBe(true);
    expect(isSameFile("ann", "people/anna.safetensors")).toBe(false);
  });

  it("finds whole words, and adds others at the end", () => {
    expect(hasWord("a fox, Anna (b)", "anna")).toBe(true);
    expect(hasWord("hannah", "anna")).toBe(false);
    expect(hasWord("foxes and a fox", "fox")).toBe(true);
    expect(hasWord("axb", "a.b")).toBe(false);
    expect(hasWord("c++ (x)", "c++")).toBe(true);
    expect(addWord("", "anna")).toBe("anna");
    expect(addWord("a fox, ", "anna")).toBe("a fox, anna");
    expect(addWord("anna", "Anna")).toBe("anna");
  });
});
