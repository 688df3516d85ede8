/** Tests of the form: its fields, errors, drops and several runs. */

import { describe, expect, it, vi } from "vitest";
import { acceptAll, makeField, makeRun, settle } from "./model";
import { findButton, findControl, setUpPage, typeText } from "./page";

const page = setUpPage();
const getNewest = () => page.model.getSent("set").at(-1);

describe("the form", () => {
  it("shows the notes about the workflow as text", async () => {
    const el = await page.start({ notes: ["a title is not read: <b>$my width</b>"] });
    expect(el.querySelector(".ck-note")?.textContent).toBe("a title is not read: <b>$my width</b>");
  });

  it("has a control for each kind of field, with the parameter's name", async () => {
    const el = await page.start({
      fields: [
        makeField("steps", "integer", { default: 20 }),
        makeField("cfg", "number", { default: 7 }),
        makeField("seed", "seed", { default: 0 }),
        makeField("sampler", "choice", { default: "euler", choices: ["euler", "heun"] }),
        makeField("model", "choice", { default: "a", choice_count: 300 }),
        makeField("upscale", "toggle", { default: false }),
        makeField("title", "text", { default: "" }),
        makeField("prompt", "multiline", { default: "" }),
        makeField("image", "image"),
        makeField("clip", "video"),
        makeField("sound", "audio"),
        makeField("mesh", "file"),
      ],
    });
    const roles = Object.fromEntries(
      [...el.querySelectorAll("label")].map((label) => {
        const found = findControl(el, label.textContent ?? "");
        return [label.textContent, found.getAttribute("role") ?? found.tagName.toLowerCase()];
      }),
    );
    expect(roles).toEqual({
      steps: "spinbutton",
      cfg: "spinbutton",
      seed: "spinbutton",
      sampler: "select",
      model: "combobox",
      upscale: "switch",
      title: "input",
      prompt: "textarea",
      image: "input",
      clip: "input",
      sound: "input",
      mesh: "input",
    });
  });

  it("has headings where nodes have titles of their own", async () => {
    const headings = (el: HTMLElement) => [...el.querySelectorAll(".ck-heading")].map(({ textContent }) => textContent);
    const el = await page.start({
      fields: [
        makeField("prompt", "text"),
        makeField("width", "integer", { group: "Size" }),
        makeField("height", "integer", { group: "Size" }),
        makeField("steps", "integer", { group: "Sampler" }),
      ],
    });
    expect(headings(el).filter(Boolean)).toEqual(["Size", "Sampler"]);
    page.model.setTraits({ fields: [makeField("prompt", "text"), makeField("width", "integer", { group: "Size" })] });
    await settle();
    expect(headings(el)).toEqual([]);
  });

  it("starts several runs with different seeds", async () => {
    const el = await page.start({ fields: [makeField("seed", "seed", { default: 0 })], values: { seed: "random" } });
    acceptAll(page.model);
    const runs = el.querySelector('[aria-label="Number of runs"]') as HTMLInputElement;
    await typeText(runs, "4");
    findButton(el, "Run")?.click();
    expect(page.model.getSent("run")).toMatchObject([{ times: 4, seed: "random" }]);
    await typeText(findControl(el, "seed"), "7");
    findButton(el, "Run")?.click();
    expect(page.model.getSent("run").at(-1)).toMatchObject({ times: 4, seed: "increment" });
    expect(findControl(el, "seed").value).toBe("7");
    await typeText(runs, "-3");
    expect(runs.value).toBe("1");
  });

  it("marks a changed value, and resets it with a double click on the label", async () => {
    const el = await page.start({ fields: [makeField("steps", "integer", { default: 20 })], values: { steps: 30 } });
    expect(findButton(el, "Reset")).toBeDefined();
    el.querySelector("label")?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    await settle();
    expect(getNewest()).toMatchObject({ name: "steps", reset: true });
    expect(findControl(el, "steps").value).toBe("20");
    expect(findButton(el, "Reset")).toBeUndefined();
  });

  it("shows the kernel's errors at their fields, and other errors above the buttons", async () => {
    const el = await page.start({
      fields: [makeField("steps", "integer", { default: 20, advanced: true })],
      errors: { steps: "steps must be at most 60", other: "no such parameter" },
    });
    const input = findControl(el, "steps");
    expect(el.querySelector(`[id="${input.getAttribute("aria-describedby")}"]`)?.textContent).toContain("at most 60");
    expect(el.querySelector("details")?.open).toBe(true);
    expect(el.textContent).toContain("other: no such parameter");
  });

  it("shows everything from the kernel as text, never as markup", async () => {
    const evil = '<img src=x onerror="globalThis.hacked=1">';
    const el = await page.start({
      title: evil,
      server: { address: evil, state: "unreachable", message: evil },
      fields: [makeField("prompt", "multiline", { default: evil, tooltip: evil })],
      errors: { prompt: evil },
      status: "failed",
      runs: [
        makeRun("a", {
          status: "failed",
          error: {
            kind: "node_error",
            message: evil,
            node_title: evil,
            node_id: "1",
            class_type: "X",
            traceback: evil,
          },
          items: [
            { key: "t", kind: "text", name: evil, node: evil, var: evil, temp: false, mime: "text/plain", text: evil },
          ],
          changed: { prompt: evil },
        }),
      ],
    });
    expect(el.querySelector('img[src="x"]')).toBeNull();
    expect(el.textContent).toContain(evil);
  });

  it("uploads a dropped file for the first field of its kind", async () => {
    const el = await page.start({ fields: [makeField("mesh", "file"), makeField("image", "image")] });
    page.model.kernel = ({ kind }) => (kind === "upload" ? { value: "anna.png" } : {});
    const drop = new Event("drop", { bubbles: true, cancelable: true });
    const files = [new File(["x"], "anna.png", { type: "image/png" })];
    Object.assign(drop, { dataTransfer: { files, getData: () => "" } });
    el.querySelector("form")?.dispatchEvent(drop);
    await vi.waitFor(() =>
      expect(page.model.getSent("upload")).toMatchObject([{ name: "image", file: "anna.png", size: 1 }]),
    );
  });
});
