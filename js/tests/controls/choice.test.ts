/** Tests of choices: few, many, several, missing. */

import { describe, expect, it } from "vitest";
import { acceptAll, makeField, settle } from "../model";
import { findButton, findControl, pressKey, setUpPage } from "../page";

const page = setUpPage();
const getNewest = () => page.model.getSent("set").at(-1);

describe("a choice", () => {
  it("groups choices by folder", async () => {
    const el = await page.start({
      fields: [makeField("model", "choice", { default: "a", choices: ["a", "flux/b", "flux/c"] })],
    });
    const group = findControl(el, "model").querySelector("optgroup");
    expect(group?.label).toBe("flux/");
    expect([...(group?.querySelectorAll("option") ?? [])].map(({ value, text }) => [value, text])).toEqual([
      ["flux/b", "b"],
      ["flux/c", "c"],
    ]);
  });

  it("keeps a value that the server does not have, with a note", async () => {
    const el = await page.start({
      fields: [makeField("sampler", "choice", { default: "euler", choices: ["euler", "heun"] })],
      values: { sampler: "gone" },
    });
    const select = findControl(el, "sampler");
    expect(select.value).toBe("gone");
    const note = el.querySelector(`[id="${select.getAttribute("aria-describedby")}"]`);
    expect(note?.textContent).toContain("gone");
    select.value = "heun";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await settle();
    expect(getNewest()).toMatchObject({ name: "sampler", value: "heun" });
  });

  it("sends numbers as numbers", async () => {
    const el = await page.start({ fields: [makeField("factor", "choice", { default: 2, choices: [2, 4, "8"] })] });
    const select = findControl(el, "factor");
    select.value = "4";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    expect(getNewest()?.value).toBe(4);
  });

  it("loads many choices once, when the list is opened, and filters them", async () => {
    const choices = Array.from({ length: 300 }, (_, index) => `Flux/model_${index}.safetensors`);
    const el = await page.start({
      fields: [makeField("model", "choice", { default: choices[0] ?? "", choice_count: 300 })],
    });
    page.model.kernel = ({ kind }) => (kind === "choices" ? { choices } : {});
    expect(page.model.getSent("choices")).toEqual([]);
    const input = findControl(el, "model");
    await pressKey(input, "ArrowDown");
    expect(page.model.getSent("choices")).toMatchObject([{ name: "model" }]);
    input.value = "model_29 flux";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    expect(input.getAttribute("aria-expanded")).toBe("true");
    const options = [...el.querySelectorAll('[role="option"]')].map((option) => option.textContent);
    expect(options).toHaveLength(11);
    await pressKey(input, "ArrowDown");
    const active = el.querySelector(`[id="${input.getAttribute("aria-activedescendant")}"]`);
    expect(active?.textContent).toBe(options[1]);
    await pressKey(input, "Enter");
    expect(getNewest()).toMatchObject({ name: "model", value: options[1] });
    expect(input.getAttribute("aria-expanded")).toBe("false");
    expect(page.model.getSent("choices")).toHaveLength(1);
  });

  it("adds and removes several of many", async () => {
    const choices = Array.from({ length: 300 }, (_, index) => `style ${index}`);
    const el = await page.start({
      fields: [makeField("styles", "choice", { multiselect: true, choice_count: 300, default: [] })],
      values: { styles: ["style 7"] },
    });
    acceptAll(page.model);
    const kernel = page.model.kernel;
    page.model.kernel = (content, buffers) => (content.kind === "choices" ? { choices } : kernel(content, buffers));
    const input = findControl(el, "styles");
    const options = () => [...el.querySelectorAll('[role="option"]')].map(({ textContent }) => textContent);
    await pressKey(input, "ArrowDown");
    expect(options()).toHaveLength(200);
    expect(options()).not.toContain("style 7");
    input.value = "style 299";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    await pressKey(input, "Enter");
    expect(getNewest()).toMatchObject({ name: "styles", value: ["style 7", "style 299"] });
    expect(input.value).toBe("");
    findButton(el, "Remove style 7")?.click();
    await settle();
    expect(getNewest()).toMatchObject({ value: ["style 299"] });
    expect([...el.querySelectorAll(".ck-chip")].map(({ textContent }) => textContent)).toEqual(["style 299"]);
  });

  it("keeps its value on Escape", async () => {
    const el = await page.start({
      fields: [makeField("model", "choice", { default: "m1", choices: Array.from({ length: 30 }, (_, i) => `m${i}`) })],
    });
    const input = findControl(el, "model");
    input.value = "m2";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    await pressKey(input, "Escape");
    expect(input.value).toBe("m1");
    expect(page.model.getSent("set")).toEqual([]);
  });
});
