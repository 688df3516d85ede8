/** Tests of the line above a form: presets, undo, reset all. */

import { describe, expect, it } from "vitest";
import { makeField, settle } from "../model";
import { findButton, findControl, pressKey, setUpPage, typeText } from "../page";

const page = setUpPage();
const LISTED = [
  { name: "soft", own: true, workflow: "portrait", error: "" },
  { name: "bad", own: false, workflow: "", error: "not valid TOML" },
  { name: "other", own: false, workflow: "landscape", error: "" },
];

async function startForm(traits = {}) {
  const el = await page.start({
    fields: [
      makeField("cfg", "number", { default: 7 }),
      makeField("seed", "seed", { default: 1, seed_mode: "increment" }),
    ],
    values: { cfg: 5, seed: 1 },
    ...traits,
  });
  page.model.kernel = ({ kind }) => (kind === "presets" ? { presets: LISTED } : { names: ["cfg"] });
  return el;
}

async function openPanel(el: HTMLElement, opener = "Presets") {
  findButton(el, opener)?.click();
  await settle();
  await settle();
  return el.querySelector('[role="dialog"]') as HTMLElement;
}

describe("the panel of presets", () => {
  it("lists those of the workflow, the broken ones, and others apart", async () => {
    const panel = await openPanel(await startForm());
    const names = [...panel.querySelectorAll<HTMLButtonElement>(".ck-preset")].map((each) => [
      each.textContent,
      each.disabled,
    ]);
    expect(names).toEqual([
      ["soft", false],
      ["bad", true],
      ["other", false],
    ]);
    expect(panel.textContent).toContain("not valid TOML");
    expect(panel.querySelector("summary")?.textContent).toBe("Of other workflows (1)");
    expect(document.activeElement?.textContent).toBe("soft");
  });

  it("is read again each time that it opens, and closes by Escape or a click elsewhere", async () => {
    const el = await startForm();
    const panel = await openPanel(el);
    await pressKey(panel, "Escape");
    expect(el.querySelector('[role="dialog"]')).toBeNull();
    await openPanel(el);
    expect(page.model.getSent("presets")).toHaveLength(2);
    document.body.dispatchEvent(new Event("pointerdown", { bubbles: true }));
    await settle();
    expect(el.querySelector('[role="dialog"]')).toBeNull();
  });

  it("sends what was typed before it saves, and asks before it replaces another preset", async () => {
    const el = await startForm();
    const panel = await openPanel(el);
    page.model.kernel = ({ kind, replace }) => (kind === "preset_save" && !replace ? { exists: true } : {});
    const input = panel.querySelector("input") as HTMLInputElement;
    input.value = "soft";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    findButton(panel, "Save")?.click();
    await settle();
    findButton(panel, "Replace")?.click();
    await settle();
    expect(page.model.getSent("preset_save").map(({ name, replace }) => [name, replace])).toEqual([
      ["soft", false],
      ["soft", true],
    ]);
  });

  it("updates the preset of the form without a question", async () => {
    const el = await startForm({ preset: { name: "soft", changed: true, left_out: ["style: gone"] } });
    expect(el.querySelector(".ck-left-out li")?.textContent).toBe("style: gone");
    const panel = await openPanel(el, "soft · changed");
    findButton(panel, "Update")?.click();
    await settle();
    expect(page.model.getSent("preset_save")[0]?.replace).toBe(true);
  });

  it("shows an error of the kernel, and stays open", async () => {
    const el = await startForm();
    const panel = await openPanel(el);
    page.model.kernel = () => ({ error: "there is no preset" });
    findButton(panel, "soft")?.click();
    await settle();
    expect(panel.querySelector('[role="alert"]')?.textContent).toBe("there is no preset");
  });
});

describe("a change of many values", () => {
  it("drops rejected texts, and sets seeds to the workflow's modes", async () => {
    const el = await startForm();
    await typeText(findControl(el, "cfg"), "abc");
    const fixed = el.querySelector('.ck-modes [aria-label="fixed"]') as HTMLInputElement;
    fixed.checked = true;
    fixed.dispatchEvent(new Event("change", { bubbles: true }));
    await settle();
    findButton(el, "Reset all")?.click();
    await settle();
    page.model.setTraits({ values: { cfg: 7, seed: 1 }, undo: "reset all" });
    await settle();
    expect(findControl(el, "cfg").value).toBe("7");
    expect((el.querySelector('.ck-modes [aria-label="increment"]') as HTMLInputElement).checked).toBe(true);
    expect(findButton(el, "Reset all")).toBeUndefined();
    findButton(el, "Undo reset all")?.click();
    await settle();
    expect(page.model.getSent("undo")).toHaveLength(1);
    expect((el.querySelector('.ck-modes [aria-label="fixed"]') as HTMLInputElement).checked).toBe(true);
  });
});
