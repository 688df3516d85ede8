/** Tests of the form: its fields, errors, drops and several runs. */

import { describe, expect, it, vi } from "vitest";
import { acceptAll, makeField, makeRun, settle } from "./model";
import { findButton, findControl, pressKey, setUpPage, typeOver, typeText } from "./page";

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

  it("names fields by their labels, and their places in tooltips", async () => {
    const el = await page.start({
      fields: [makeField("sampler.steps", "integer", { label: "steps", node: "Sampler", address: "3.steps" })],
    });
    const label = el.querySelector("label");
    expect(label?.textContent).toBe("steps");
    expect(label?.title).toBe("sampler.steps\nSampler\n3.steps");
    expect(findControl(el, "steps").getAttribute("role")).toBe("spinbutton");
  });

  it("swaps width and height, gives them an aspect ratio, and resets both", async () => {
    const bounds = { default: 1024, min: 64, max: 4096, step: 8 };
    const el = await page.start({
      fields: [makeField("width", "integer", bounds), makeField("height", "integer", bounds)],
      values: { width: 1024, height: 1024 },
    });
    acceptAll(page.model);
    const size = () => [findControl(el, "width").value, findControl(el, "height").value];
    const aspect = el.querySelector(".ck-aspect") as HTMLSelectElement;
    aspect.value = "16:9";
    aspect.dispatchEvent(new Event("change", { bubbles: true }));
    await settle();
    expect(size()).toEqual(["1344", "768"]);
    findButton(el, "Swap width and height")?.click();
    await settle();
    expect(size()).toEqual(["768", "1344"]);
    expect(aspect.value).toBe("9:16");
    findButton(el, "Reset width and height")?.click();
    await settle();
    expect(page.model.getSent("set").slice(-2)).toMatchObject([
      { name: "width", reset: true },
      { name: "height", reset: true },
    ]);
    expect(document.activeElement).toBe(findControl(el, "width"));
  });

  it("sends nothing while a required value is missing, and moves the focus there", async () => {
    const el = await page.start({
      fields: [makeField("prompt", "text", { default: "" }), makeField("image", "image", { required: true })],
    });
    acceptAll(page.model);
    for (const press of [
      () => findButton(el, "Run")?.click(),
      () => pressKey(findControl(el, "prompt"), "Enter", { ctrlKey: true }),
    ]) {
      findControl(el, "prompt").focus();
      press();
      await settle();
      expect(page.model.getSent("run")).toEqual([]);
      expect(document.activeElement).toBe(findControl(el, "image"));
      expect(findControl(el, "image").getAttribute("aria-invalid")).toBe("true");
      expect(el.querySelector(".ck-error")?.textContent).toBe("choose an image");
    }
    await typeText(findControl(el, "image"), "anna.png");
    expect(el.querySelector(".ck-error")).toBeNull();
    findButton(el, "Run")?.click();
    expect(page.model.getSent("run")).toHaveLength(1);
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

  it("keeps the number of runs that is being typed when the form changes", async () => {
    const el = await page.start({ fields: [makeField("prompt", "text")], values: {} });
    acceptAll(page.model);
    const runs = el.querySelector('[aria-label="Number of runs"]') as HTMLInputElement;
    await typeOver(runs, "");
    page.model.setTraits({ notes: ["the server is busy"] });
    await settle();
    expect(runs.value).toBe("");
    await typeText(runs, "8");
    findButton(el, "Run")?.click();
    expect(page.model.getSent("run")).toMatchObject([{ times: 8 }]);
    await typeText(runs, "");
    expect(runs.value).toBe("1");
  });

  it("keeps a path that is being typed when the form changes, until the field has another file", async () => {
    const el = await page.start({
      fields: [makeField("image", "image", { default: "/pictures/anna.png" })],
      values: { image: "/pictures/anna.png" },
    });
    acceptAll(page.model);
    const image = findControl(el, "image");
    expect(image.value).toBe("anna.png");
    image.focus();
    await settle();
    expect(image.value).toBe("/pictures/anna.png");
    await typeOver(image, "/pictures/fox");
    page.model.setTraits({ notes: ["the server is busy"] });
    await settle();
    expect(image.value).toBe("/pictures/fox");
    await pressKey(image, "Enter");
    expect(page.model.getSent("set")).toMatchObject([{ name: "image", value: "/pictures/fox" }]);
    await typeOver(image, "/pictures/cat");
    page.model.setTraits({ values: { image: "/output/9.png" } });
    await settle();
    expect(image.value).toBe("/output/9.png");
    await typeOver(image, "/pictures/cat");
    image.blur();
    await settle();
    expect(image.value).toBe("9.png");
  });

  it("marks a changed value, and resets it with a double click on the label", async () => {
    const el = await page.start({ fields: [makeField("steps", "integer", { default: 20 })], values: { steps: 30 } });
    findButton(el, "Reset steps")?.focus();
    expect(document.activeElement?.getAttribute("title")).toBe("Reset to 20");
    el.querySelector("label")?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    await settle();
    expect(getNewest()).toMatchObject({ name: "steps", reset: true });
    expect(findControl(el, "steps").value).toBe("20");
    expect(findButton(el, "Reset steps")).toBeUndefined();
    expect(document.activeElement).toBe(findControl(el, "steps"));
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
      server: { state: "unreachable", version: evil },
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
    page.model.sendToPage({ kind: "server", address: evil, message: evil });
    await settle();
    expect(el.textContent).toContain(evil);
    const several = [{ address: "gpu-a:8188", state: "ready", detail: evil }];
    page.model.sendToPage({ kind: "server", address: "2 servers", message: "", servers: several });
    await settle();
    expect(el.querySelector(".ck-title")?.textContent).toContain(`gpu-a:8188 · ${evil}`);
    expect(el.querySelector('img[src="x"]')).toBeNull();
    expect(el.textContent).toContain(evil);
  });

  it("rejects a file of another kind at its field, before anything is sent", async () => {
    const el = await page.start({ fields: [makeField("image", "image"), makeField("sound", "audio")] });
    const drop = async (target: Element | null | undefined, name: string, type: string) => {
      const event = new Event("drop", { bubbles: true, cancelable: true });
      Object.assign(event, { dataTransfer: { files: [new File(["x"], name, { type })], getData: () => "" } });
      target?.dispatchEvent(event);
      await settle();
    };
    await drop(findControl(el, "image"), "notes.txt", "text/plain");
    expect(el.querySelector(".ck-error")?.textContent).toBe("notes.txt is not an image file");
    await drop(el.querySelector("form"), "notes.pdf", "application/pdf");
    expect(el.querySelector('[role="alert"]')?.textContent).toBe("notes.pdf fits no field of this form");
    expect(page.model.getSent("upload")).toEqual([]);
    await drop(findControl(el, "sound"), "clip.mp4", "video/mp4");
    await drop(findControl(el, "image"), "photo.heic", "");
    await vi.waitFor(() => expect(page.model.getSent("upload")).toMatchObject([{ name: "sound" }, { name: "image" }]));
  });

  it("without a server and fields says when they appear, and tries again on request", async () => {
    const server = { address: "gpu-box:8188", state: "unreachable" } as const;
    const el = await page.start({ server, fields: [] });
    expect(el.querySelector(".ck-awaited")?.textContent).toContain("The parameters appear when gpu-box:8188 answers.");
    expect(findButton(el, "Run")?.disabled).toBe(true);
    const before = page.model.getSent("hello").length;
    findButton(el, "Retry")?.click();
    expect(page.model.getSent("hello")).toHaveLength(before + 1);
    page.model.setTraits({ server: { ...server, state: "ready" }, fields: [makeField("steps", "integer")] });
    await settle();
    expect(el.querySelector(".ck-awaited")).toBeNull();
    expect(findButton(el, "Run")?.disabled).toBe(false);
  });

  it("says where the workflow has no number, and asks for one before a run", async () => {
    const note = "the workflow has no number here: enter one";
    const el = await page.start({ fields: [makeField("cfg", "number", { note })] });
    acceptAll(page.model);
    const described = () => el.querySelector(`[id="${findControl(el, "cfg").getAttribute("aria-describedby")}"]`);
    expect(described()?.textContent).toBe(note);
    findButton(el, "Run")?.click();
    await settle();
    expect(page.model.getSent("run")).toEqual([]);
    expect(described()?.className).toBe("ck-error");
    await typeText(findControl(el, "cfg"), "7");
    expect(described()).toBeNull();
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
