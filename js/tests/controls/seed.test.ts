/** Tests of seeds: fixed, random, incremented. */

import { describe, expect, it } from "vitest";
import { acceptAll, makeField, makeRun, settle } from "../model";
import { chooseMode, findButton, findControl, getMode, pressKey, setUpPage, typeText } from "../page";

const page = setUpPage();
const getNewest = () => page.model.getSent("set").at(-1);

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
    await chooseMode(el, "random");
    await chooseMode(el, "fixed");
    const drawn = BigInt(String(getNewest()?.value));
    expect(drawn >= 0n && drawn <= BigInt(largest)).toBe(true);
  });

  it("is random for each run, or the last one again", async () => {
    const el = await page.start({
      fields: [makeField("seed", "seed", { default: 0 })],
      runs: [makeRun("b", { seeds: { seed: "12345678901234567890" } }), makeRun("a", { seeds: { seed: "1" } })],
    });
    acceptAll(page.model);
    await chooseMode(el, "random");
    expect(getNewest()).toMatchObject({ name: "seed", value: "random" });
    expect(getMode(el)).toBe("random");
    expect(findControl(el, "seed").placeholder).toBe("random · …7890");
    expect(findControl(el, "seed").title).toContain("12345678901234567890");
    await chooseMode(el, "fixed");
    expect(getNewest()).toMatchObject({ name: "seed", value: "12345678901234567890" });
    expect(getMode(el)).toBe("fixed");
  });

  it("is incremented if the workflow says so, until the user says otherwise", async () => {
    const el = await page.start({
      fields: [makeField("seed", "seed", { default: 7, seed_mode: "increment" })],
      values: { seed: 7 },
    });
    acceptAll(page.model);
    expect(getMode(el)).toBe("increment");
    findButton(el, "Run")?.click();
    await settle();
    expect(findControl(el, "seed").value).toBe("8");
    await chooseMode(el, "fixed");
    page.model.setTraits({ fields: [makeField("seed", "seed", { default: 7, seed_mode: "increment" })] });
    await settle();
    expect(getMode(el)).toBe("fixed");
  });

  it("is incremented exactly after each run, and starts again after the largest", async () => {
    const el = await page.start({
      fields: [makeField("seed", "seed", { default: 0, min: 0, max: "18446744073709551615" })],
      values: { seed: "18446744073709551614" },
    });
    acceptAll(page.model);
    await chooseMode(el, "increment");
    for (const next of ["18446744073709551615", "0"]) {
      findButton(el, "Run")?.click();
      await settle();
      expect(findControl(el, "seed").value).toBe(next);
    }
    const kinds = page.model.sent.map(({ content }) => content.kind).filter((kind) => kind !== "hello");
    expect(kinds).toEqual(["run", "set", "run", "set"]);
  });
});
