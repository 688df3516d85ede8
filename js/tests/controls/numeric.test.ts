/** Tests of number inputs. */

import { describe, expect, it } from "vitest";
import { acceptAll, makeField, settle } from "../model";
import { findButton, findControl, pressKey, setUpPage, typeText } from "../page";

const page = setUpPage();
const getNewest = () => page.model.getSent("set").at(-1);

describe("a number input", () => {
  it("evaluates arithmetic and sends the result", async () => {
    const el = await page.start({
      fields: [makeField("width", "integer", { default: 512 }), makeField("cfg", "number", { default: 7 })],
    });
    acceptAll(page.model);
    await typeText(findControl(el, "width"), "512*1.5");
    expect(getNewest()).toMatchObject({ name: "width", value: 768 });
    expect(findControl(el, "width").value).toBe("768");
    await typeText(findControl(el, "cfg"), "7.25");
    expect(getNewest()).toMatchObject({ name: "cfg", value: 7.25 });
  });

  it("sends a value once, although the input reports it twice", async () => {
    const el = await page.start({ fields: [makeField("width", "integer", { default: 512 })] });
    const input = findControl(el, "width");
    input.value = "640";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.dispatchEvent(new Event("blur"));
    await settle();
    expect(page.model.getSent("set")).toMatchObject([{ value: 640 }]);
  });

  it("keeps a text that is not a number, marks it as an error and sends nothing", async () => {
    const el = await page.start({ fields: [makeField("width", "integer", { default: 512 })] });
    await typeText(findControl(el, "width"), "wide");
    const input = findControl(el, "width");
    expect(page.model.getSent("set")).toEqual([]);
    expect(input.value).toBe("wide");
    expect(input.getAttribute("aria-invalid")).toBe("true");
    const described = el.querySelector(`[id="${input.getAttribute("aria-describedby")}"]`);
    expect(described?.textContent).toContain("wide");
  });

  it("reports at once what further keys can't correct, and prevents a run", async () => {
    const el = await page.start({ fields: [makeField("width", "integer", { default: 512, min: 64, max: 2048 })] });
    const input = findControl(el, "width");
    const enterText = async (text: string) => {
      input.value = text;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      await settle();
      return input.getAttribute("aria-invalid");
    };
    expect([await enterText("5"), await enterText("512*"), await enterText("2049"), await enterText("wide")]).toEqual([
      "false",
      "false",
      "true",
      "true",
    ]);
    findButton(el, "Run")?.click();
    await settle();
    expect(page.model.getSent("run")).toEqual([]);
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("width: “wide”");
    await typeText(input, "512");
    findButton(el, "Run")?.click();
    expect(page.model.getSent("run")).toHaveLength(1);
  });

  it("steps with the arrow keys, ten times with Shift, within the bounds", async () => {
    const el = await page.start({ fields: [makeField("steps", "integer", { default: 20, min: 1, max: 45, step: 2 })] });
    acceptAll(page.model);
    const input = findControl(el, "steps");
    await pressKey(input, "ArrowUp");
    expect(input.value).toBe("22");
    await pressKey(input, "ArrowUp", { shiftKey: true });
    expect(input.value).toBe("42");
    await pressKey(input, "ArrowUp", { shiftKey: true });
    expect(input.value).toBe("45");
  });
});
