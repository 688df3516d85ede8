/** Tests of fields with several values: typed lists and ranges, chosen values, what Run says, the grid. */

import { describe, expect, it, vi } from "vitest";
import { isList } from "../../src/controls/numeric";
import { makeField, settle, TestModel } from "../model";
import { findButton, findControl, pressKey, setUpPage, typeOver, typeText } from "../page";

const page = setUpPage();
const FIELDS = [
  makeField("steps", "integer", { default: 20, min: 1, max: 100 }),
  makeField("cfg", "number", { default: 7 }),
  makeField("sampler", "choice", { default: "euler", choices: ["euler", "heun", "ddim"] }),
  makeField("prompt", "text", { default: "a" }),
];

async function start() {
  const el = await page.start({ view: "form", fields: FIELDS, values: { steps: 20, cfg: 7, sampler: "euler" } });
  page.model.kernel = () => ({});
  return el;
}

describe("several values", () => {
  it.each([
    ["3, 4.5", true],
    ["1..9:2", true],
    ["*4", true],
    ["3*4", false],
    ["4.5", false],
  ])("%s is a list: %s", (text, expected) => expect(isList(text)).toBe(expected));

  it("are typed and run; a text stays one value", async () => {
    const el = await start();
    await typeText(findControl(el, "cfg"), " 3, 4.5, 6");
    await typeText(findControl(el, "prompt"), "a fox, a cat");
    expect(page.model.getSent("list")).toEqual([expect.objectContaining({ name: "cfg", list: "3, 4.5, 6", times: 1 })]);
    page.model.setTraits({ lists: { cfg: "3, 4.5, 6" }, plan: "Run 3 points · ~2:10" });
    await settle();
    expect(findControl(el, "cfg").value).toBe("3, 4.5, 6");
    await pressKey(findControl(el, "cfg"), "ArrowUp");
    expect(findControl(el, "cfg").value).toBe("3, 4.5, 6");
    expect(findButton(el, "Reset cfg")).toBeDefined();
    findButton(el, "Run 3 points · ~2:10")?.click();
    await settle();
    expect(page.model.getSent("sweep")).toEqual([expect.objectContaining({ times: 1 })]);
    expect(page.model.getSent("run")).toEqual([]);
  });

  it("are run by Ctrl+Enter, before the kernel has confirmed them", async () => {
    const el = await start();
    page.model.kernel = () => undefined;
    const cfg = findControl(el, "cfg");
    await typeOver(cfg, "3, 4.5, 6");
    await pressKey(cfg, "Enter", { ctrlKey: true });
    const kinds = page.model.sent.map(({ content }) => content.kind);
    expect(kinds.slice(-2)).toEqual(["list", "sweep"]);
    expect(page.model.getSent("run")).toEqual([]);
    await typeText(cfg, "");
    findButton(el, "Run")?.click();
    await settle();
    expect(page.model.getSent("list").at(-1)).toMatchObject({ name: "cfg", list: "" });
    expect(page.model.getSent("run")).toHaveLength(1);
  });

  it("end with an empty text, and when the kernel says so", async () => {
    const el = await start();
    page.model.setTraits({ lists: { steps: "10..30:10" } });
    await settle();
    await typeText(findControl(el, "steps"), "");
    expect(page.model.getSent("list")).toEqual([expect.objectContaining({ name: "steps", list: "" })]);
    page.model.setTraits({ lists: {} });
    await settle();
    expect(findControl(el, "steps").value).toBe("20");
  });

  it("are chosen from choices; the last one that is left is one value again", async () => {
    const el = await start();
    const select = el.querySelector("select.ck-select") as HTMLSelectElement;
    const several = [...select.options].find(({ textContent }) => textContent === "Several values…");
    if (several) several.selected = true;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await settle();
    expect(page.model.getSent("list").at(-1)).toMatchObject({ name: "sampler", list: ["euler"] });
    page.model.setTraits({ lists: { sampler: ["euler"] } });
    await settle();
    const combobox = el.querySelector<HTMLInputElement>('[role="combobox"]');
    expect(document.activeElement).toBe(combobox);
    combobox?.click();
    await settle();
    const heun = [...el.querySelectorAll<HTMLElement>('[role="option"]')].find((each) => each.textContent === "heun");
    heun?.click();
    await settle();
    expect(page.model.getSent("list").at(-1)).toMatchObject({ name: "sampler", list: ["euler", "heun"] });
    page.model.setTraits({ lists: { sampler: ["euler", "heun"] } });
    await settle();
    const remove = findButton(el, "Remove euler");
    remove?.focus();
    remove?.click();
    await settle();
    expect(page.model.getSent("set").at(-1)).toMatchObject({ name: "sampler", value: "heun" });
    // The button is gone: keys must not go to the notebook.
    expect(document.activeElement).toBe(combobox);
    page.model.setTraits({ lists: {} });
    await settle();
    expect(document.activeElement).toBe(el.querySelector("select.ck-select"));
  });

  it("have their grid below the form, once its model is there", async () => {
    const grid = new TestModel({ view: "sweep", title: "a sweep" });
    const get_model = (id: string) =>
      id === "grid-1" ? Promise.resolve(grid.asModel) : Promise.reject(new Error("gone"));
    const traits = { view: "form", fields: FIELDS, values: {}, grids: ["grid-1", "old"] } as const;
    const el = await page.start({ ...traits, fields: FIELDS, grids: [...traits.grids] }, 1, { get_model });
    await vi.waitFor(() => expect(grid.getSent("hello")).toHaveLength(1));
    await settle();
    expect(el.querySelectorAll(".ck-x")).toHaveLength(1);
  });
});
