/** Tests the list of all inputs and its search. */

import { describe, expect, it, vi } from "vitest";
import { filterInputs } from "../../src/controls/allInputs";
import { makeField, settle } from "../model";
import { findButton, findControl, setUpPage, typeText } from "../page";

const OTHERS = [
  makeField("7.denoise", "number", { label: "Denoise", group: "KSampler", default: 1 }),
  makeField("9.filename_prefix", "text", { label: "File name prefix", group: "Save Image", default: "x" }),
];

describe("all inputs", () => {
  const page = setUpPage();

  it("are asked for when the list is opened, searched, and set by their addresses", async () => {
    const el = await page.start({ fields: [makeField("prompt", "text")], values: {} });
    expect(page.model.getSent("inputs")).toEqual([]);
    const details = el.querySelector(".ck-all") as HTMLDetailsElement;
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    // Effects run after the next frame.
    await vi.waitFor(() => expect(page.model.getSent("inputs")).toHaveLength(1));
    page.model.answer(page.model.getSent("inputs")[0] ?? {}, { fields: OTHERS });
    await settle();
    expect(details.textContent).toContain("2 more inputs");
    const order = () => [...details.querySelectorAll("label")].map(({ textContent }) => textContent);
    const before = order();
    page.model.setTraits({ values: { "9.filename_prefix": "y" } });
    await settle();
    expect(order()).toEqual(before);
    await typeText(details.querySelector("[type=search]") as HTMLInputElement, "save prefix");
    expect(details.textContent).toContain("1 of 2");
    await typeText(findControl(details, "File name prefix"), "y");
    expect(page.model.getSent("set").at(-1)).toMatchObject({ kind: "set", name: "9.filename_prefix", value: "y" });
  });

  it("prevent a run with a wrong number only as long as it can be corrected", async () => {
    const el = await page.start({ view: "form", fields: [makeField("prompt", "text")], values: {} });
    page.model.kernel = ({ kind }) => (kind === "inputs" ? { fields: OTHERS } : {});
    const details = el.querySelector(".ck-all") as HTMLDetailsElement;
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    await vi.waitFor(() => expect(details.textContent).toContain("2 more inputs"));
    await typeText(findControl(details, "Denoise"), "abc");
    findButton(el, "Run")?.click();
    await settle();
    expect(page.model.getSent("run")).toEqual([]);
    expect(document.activeElement).toBe(findControl(details, "Denoise"));
    await typeText(details.querySelector("[type=search]") as HTMLInputElement, "prefix");
    findButton(el, "Run")?.click();
    await settle();
    expect(page.model.getSent("run")).toHaveLength(1);
  });

  it("are found by all words of the query", () => {
    expect(filterInputs(OTHERS, "ksampler").map(({ name }) => name)).toEqual(["7.denoise"]);
    expect(filterInputs(OTHERS, "9. image")).toHaveLength(1);
    expect(filterInputs(OTHERS, "")).toHaveLength(2);
  });
});
