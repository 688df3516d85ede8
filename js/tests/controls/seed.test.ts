/** Tests of seeds: fixed, random, incremented. */

import { describe, expect, it } from "vitest";
import { acceptAll, makeField, makeRun, settle } from "../model";
import { findButton, findControl, pressKey, setUpPage, typeText } from "../page";

const page = setUpPage();
const getNewest = () => page.model.getSent("set").at(-1);
const findMode = (el: HTMLElement) => el.querySelector(".ck-mode") as HTMLSelectElement;

async function selectMode(el: HTMLElement, value: string) {
  findMode(el).value = value;
  findMode(el).dispatchEvent(new Event("change", { bubbles: true }));
  await settle();
}

describe("a seed", () => {
  it("stays exact past 2^53", async () => {
    const largest = "18446744073709551615";
    const el = await page.start({ fields: [makeField("seed", "seed", { default: 0, min: 0, max: largest })] });
    acceptAll(page.model);
    await typeText(findControl(el, "seed"), "9007199254740993");
    expect(getNewest()).toMatchObject({ value: "9007199254740993" });
    expect(findControl(el, "seed").value).toBe("9007199254740993");
    await pressKey(findControl(el, "seed"), "ArrowUp");
    expect(findControl(el, "seed").value).toBe("9007199254740994");
    findButton(el, "New random seed")?.click();
    await settle();
    const drawn = BigInt(String(getNewest()?.value));
    expect(drawn >= 0n && drawn <= BigInt(largest)).toBe(true);
  });

  it("is random for each run, or the last one again", async () => {
    const el = await page.start({
      fields: [makeField("seed", "seed", { default: 0 })],
      runs: [makeRun("b", { seeds: { seed: "12345678901234567890" } }), makeRun("a", { seeds: { seed: "1" } })],
    });
    acceptAll(page.model);
    await selectMode(el, "random");
    expect(getNewest()).toMatchObject({ name: "seed", value: "random" });
    expect(findMode(el).value).toBe("random");
    expect(el.textContent).toContain("12345678901234567890");
    findButton(el, "Reuse")?.click();
    await settle();
    expect(getNewest()).toMatchObject({ name: "seed", value: "12345678901234567890" });
    expect(findMode(el).value).toBe("fixed");
  });

  it("is incremented exactly after each run, and starts again after the largest", async () => {
    const el = await page.start({
      fields: [makeField("seed", "seed", { default: 0, min: 0, max: "18446744073709551615" })],
      values: { seed: "18446744073709551614" },
    });
    acceptAll(page.model);
    await selectMode(el, "increment");
    for (const next of ["18446744073709551615", "0"]) {
      findButton(el, "Run")?.click();
      await settle();
      expect(findControl(el, "seed").value).toBe(next);
    }
    const kinds = page.model.sent.map(({ content }) => content.kind).filter((kind) => kind !== "hello");
    expect(kinds).toEqual(["run", "set", "run", "set"]);
  });
});
