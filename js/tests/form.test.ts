import { describe, expect, it, vi } from "vitest";
import { matching } from "../src/controls/combobox";
import { field, obliging, run, settled } from "./model";
import { button, control, press, stand, type } from "./view";

const here = stand();
const newest = () => here.model.of("set").at(-1);
const mode = (el: HTMLElement) => el.querySelector(".ck-mode") as HTMLSelectElement;

async function choose(select: HTMLSelectElement, value: string) {
  select.value = value;
  select.dispatchEvent(new Event("change", { bubbles: true }));
  await settled();
}

describe("the form", () => {
  it("has a control for each kind, with the parameter's name", async () => {
    const el = await here.start({
      fields: [
        field("steps", "integer", { default: 20 }),
        field("cfg", "number", { default: 7 }),
        field("seed", "seed", { default: 0 }),
        field("sampler", "choice", { default: "euler", choices: ["euler", "heun"] }),
        field("model", "choice", { default: "a", choice_count: 300 }),
        field("upscale", "toggle", { default: false }),
        field("title", "text", { default: "" }),
        field("prompt", "multiline", { default: "" }),
        field("image", "image"),
        field("clip", "video"),
        field("sound", "audio"),
        field("mesh", "file"),
      ],
    });
    const roles = Object.fromEntries(
      [...el.querySelectorAll("label")].map((label) => {
        const found = control(el, label.textContent ?? "");
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

  it("sends what was typed, arithmetic worked out", async () => {
    const el = await here.start({
      fields: [field("width", "integer", { default: 512 }), field("cfg", "number", { default: 7 })],
    });
    obliging(here.model);
    await type(control(el, "width"), "512*1.5");
    expect(newest()).toMatchObject({ name: "width", value: 768 });
    expect(control(el, "width").value).toBe("768");
    await type(control(el, "cfg"), "7.25");
    expect(newest()).toMatchObject({ name: "cfg", value: 7.25 });
  });

  it("sends a value once, although the input tells of it twice", async () => {
    const el = await here.start({ fields: [field("width", "integer", { default: 512 })] });
    const input = control(el, "width");
    input.value = "640";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.dispatchEvent(new Event("blur"));
    await settled();
    expect(here.model.of("set")).toMatchObject([{ value: 640 }]);
  });

  it("keeps what is no number, says so at the field and sends nothing", async () => {
    const el = await here.start({ fields: [field("width", "integer", { default: 512 })] });
    await type(control(el, "width"), "wide");
    const input = control(el, "width");
    expect(here.model.of("set")).toEqual([]);
    expect(input.value).toBe("wide");
    expect(input.getAttribute("aria-invalid")).toBe("true");
    const described = el.querySelector(`[id="${input.getAttribute("aria-describedby")}"]`);
    expect(described?.textContent).toContain("wide");
  });

  it("says at once what no further key can put right, and runs nothing with it", async () => {
    const el = await here.start({ fields: [field("width", "integer", { default: 512, min: 64, max: 2048 })] });
    const input = control(el, "width");
    const press = async (text: string) => {
      input.value = text;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      await settled();
      return input.getAttribute("aria-invalid");
    };
    expect([await press("5"), await press("512*"), await press("2049"), await press("wide")]).toEqual([
      "false",
      "false",
      "true",
      "true",
    ]);
    button(el, "Run")?.click();
    await settled();
    expect(here.model.of("run")).toEqual([]);
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("width: “wide”");
    await type(input, "512");
    button(el, "Run")?.click();
    expect(here.model.of("run")).toHaveLength(1);
  });

  it("stands in groups where the nodes have titles of their own", async () => {
    const headings = (el: HTMLElement) => [...el.querySelectorAll(".ck-heading")].map(({ textContent }) => textContent);
    const el = await here.start({
      fields: [
        field("prompt", "text"),
        field("width", "integer", { group: "Size" }),
        field("height", "integer", { group: "Size" }),
        field("steps", "integer", { group: "Sampler" }),
      ],
    });
    expect(headings(el).filter(Boolean)).toEqual(["Size", "Sampler"]);
    here.model.put({ fields: [field("prompt", "text"), field("width", "integer", { group: "Size" })] });
    await settled();
    expect(headings(el)).toEqual([]);
  });

  it("has the choices of folders in groups", async () => {
    const el = await here.start({
      fields: [field("model", "choice", { default: "a", choices: ["a", "flux/b", "flux/c"] })],
    });
    const group = control(el, "model").querySelector("optgroup");
    expect(group?.label).toBe("flux/");
    expect([...(group?.querySelectorAll("option") ?? [])].map(({ value, text }) => [value, text])).toEqual([
      ["flux/b", "b"],
      ["flux/c", "c"],
    ]);
  });

  it("steps by the arrow keys, ten times with shift, within the bounds", async () => {
    const el = await here.start({ fields: [field("steps", "integer", { default: 20, min: 1, max: 45, step: 2 })] });
    obliging(here.model);
    const input = control(el, "steps");
    await press(input, "ArrowUp");
    expect(input.value).toBe("22");
    await press(input, "ArrowUp", { shiftKey: true });
    expect(input.value).toBe("42");
    await press(input, "ArrowUp", { shiftKey: true });
    expect(input.value).toBe("45");
  });

  it("keeps seeds past 2^53 exact", async () => {
    const largest = "18446744073709551615";
    const el = await here.start({ fields: [field("seed", "seed", { default: 0, min: 0, max: largest })] });
    obliging(here.model);
    await type(control(el, "seed"), "9007199254740993");
    expect(newest()).toMatchObject({ value: "9007199254740993" });
    expect(control(el, "seed").value).toBe("9007199254740993");
    await press(control(el, "seed"), "ArrowUp");
    expect(control(el, "seed").value).toBe("9007199254740994");
    button(el, "Draw")?.click();
    await settled();
    const drawn = BigInt(String(newest()?.value));
    expect(drawn >= 0n && drawn <= BigInt(largest)).toBe(true);
  });

  it("draws a seed anew each time or keeps the last one used", async () => {
    const el = await here.start({
      fields: [field("seed", "seed", { default: 0 })],
      runs: [run("b", { seeds: { seed: "12345678901234567890" } }), run("a", { seeds: { seed: "1" } })],
    });
    obliging(here.model);
    await choose(mode(el), "random");
    expect(newest()).toMatchObject({ name: "seed", value: "random" });
    expect(mode(el).value).toBe("random");
    expect(el.textContent).toContain("12345678901234567890");
    button(el, "Keep")?.click();
    await settled();
    expect(newest()).toMatchObject({ name: "seed", value: "12345678901234567890" });
    expect(mode(el).value).toBe("fixed");
  });

  it("counts a seed up after each run, exact, and begins anew past the largest", async () => {
    const el = await here.start({
      fields: [field("seed", "seed", { default: 0, min: 0, max: "18446744073709551615" })],
      values: { seed: "18446744073709551614" },
    });
    obliging(here.model);
    await choose(mode(el), "next");
    for (const next of ["18446744073709551615", "0"]) {
      button(el, "Run")?.click();
      await settled();
      expect(control(el, "seed").value).toBe(next);
    }
    const kinds = here.model.sent.map(({ content }) => content.kind).filter((kind) => kind !== "hello");
    expect(kinds).toEqual(["run", "set", "run", "set"]);
  });

  it("runs as often as it is told, with new seeds", async () => {
    const el = await here.start({ fields: [field("seed", "seed", { default: 0 })], values: { seed: "random" } });
    obliging(here.model);
    const runs = el.querySelector('[aria-label="Runs"]') as HTMLInputElement;
    await type(runs, "4");
    button(el, "Run")?.click();
    expect(here.model.of("run")).toMatchObject([{ times: 4, seed: "random" }]);
    await type(control(el, "seed"), "7");
    button(el, "Run")?.click();
    expect(here.model.of("run").at(-1)).toMatchObject({ times: 4, seed: "increment" });
    expect(control(el, "seed").value).toBe("7");
    await type(runs, "-3");
    expect(runs.value).toBe("1");
  });

  it("marks what was changed, and takes it back by a double click on the label or a button", async () => {
    const el = await here.start({ fields: [field("steps", "integer", { default: 20 })], values: { steps: 30 } });
    expect(button(el, "Reset")).toBeDefined();
    el.querySelector("label")?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    await settled();
    expect(newest()).toMatchObject({ name: "steps", reset: true });
    expect(control(el, "steps").value).toBe("20");
    expect(button(el, "Reset")).toBeUndefined();
  });

  it("keeps a choice that the server lacks, marked and explained", async () => {
    const el = await here.start({
      fields: [field("sampler", "choice", { default: "euler", choices: ["euler", "heun"] })],
      values: { sampler: "gone" },
    });
    const select = control(el, "sampler");
    expect(select.value).toBe("gone");
    const note = el.querySelector(`[id="${select.getAttribute("aria-describedby")}"]`);
    expect(note?.textContent).toContain("gone");
    select.value = "heun";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await settled();
    expect(newest()).toMatchObject({ name: "sampler", value: "heun" });
  });

  it("sends numbers of a choice as numbers", async () => {
    const el = await here.start({ fields: [field("factor", "choice", { default: 2, choices: [2, 4, "8"] })] });
    const select = control(el, "factor");
    select.value = "4";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    expect(newest()?.value).toBe(4);
  });

  it("asks for many choices when they are wanted, once, and filters them", async () => {
    const choices = Array.from({ length: 300 }, (_, index) => `Flux/model_${index}.safetensors`);
    const el = await here.start({
      fields: [field("model", "choice", { default: choices[0] ?? "", choice_count: 300 })],
    });
    here.model.kernel = ({ kind }) => (kind === "choices" ? { choices } : {});
    expect(here.model.of("choices")).toEqual([]);
    const input = control(el, "model");
    await press(input, "ArrowDown");
    expect(here.model.of("choices")).toMatchObject([{ name: "model" }]);
    input.value = "model_29 flux";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(input.getAttribute("aria-expanded")).toBe("true");
    const options = [...el.querySelectorAll('[role="option"]')].map((option) => option.textContent);
    expect(options).toHaveLength(11);
    await press(input, "ArrowDown");
    const active = el.querySelector(`[id="${input.getAttribute("aria-activedescendant")}"]`);
    expect(active?.textContent).toBe(options[1]);
    await press(input, "Enter");
    expect(newest()).toMatchObject({ name: "model", value: options[1] });
    expect(input.getAttribute("aria-expanded")).toBe("false");
    expect(here.model.of("choices")).toHaveLength(1);
  });

  it("takes several of many: each is added from the list, and taken away by its cross", async () => {
    const choices = Array.from({ length: 300 }, (_, index) => `style ${index}`);
    const el = await here.start({
      fields: [field("styles", "choice", { multiselect: true, choice_count: 300, default: [] })],
      values: { styles: ["style 7"] },
    });
    obliging(here.model);
    const kernel = here.model.kernel;
    here.model.kernel = (content, buffers) => (content.kind === "choices" ? { choices } : kernel(content, buffers));
    const input = control(el, "styles");
    const options = () => [...el.querySelectorAll('[role="option"]')].map(({ textContent }) => textContent);
    await press(input, "ArrowDown");
    expect(options()).toHaveLength(200);
    expect(options()).not.toContain("style 7");
    input.value = "style 299";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    await press(input, "Enter");
    expect(newest()).toMatchObject({ name: "styles", value: ["style 7", "style 299"] });
    expect(input.value).toBe("");
    button(el, "Without style 7")?.click();
    await settled();
    expect(newest()).toMatchObject({ value: ["style 299"] });
    expect([...el.querySelectorAll(".ck-chip")].map(({ textContent }) => textContent)).toEqual(["style 299"]);
  });

  it("leaves a choice as it was on Escape", async () => {
    const el = await here.start({
      fields: [field("model", "choice", { default: "m1", choices: Array.from({ length: 30 }, (_, i) => `m${i}`) })],
    });
    const input = control(el, "model");
    input.value = "m2";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    await press(input, "Escape");
    expect(input.value).toBe("m1");
    expect(here.model.of("set")).toEqual([]);
  });

  it("shows the kernel's errors at their fields, and others above the buttons", async () => {
    const el = await here.start({
      fields: [field("steps", "integer", { default: 20, advanced: true })],
      errors: { steps: "steps must be at most 60.", other: "no such parameter." },
    });
    const input = control(el, "steps");
    expect(el.querySelector(`[id="${input.getAttribute("aria-describedby")}"]`)?.textContent).toContain("at most 60");
    expect(el.querySelector("details")?.open).toBe(true);
    expect(el.textContent).toContain("other: no such parameter.");
  });

  it("writes what comes from the kernel as text, never as markup", async () => {
    const evil = '<img src=x onerror="globalThis.hacked=1">';
    const el = await here.start({
      title: evil,
      server: { address: evil, state: "unreachable", message: evil },
      fields: [field("prompt", "multiline", { default: evil, tooltip: evil })],
      errors: { prompt: evil },
      status: "failed",
      runs: [
        run("a", {
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

  it("sends a file that is dropped anywhere on it to the field of its kind", async () => {
    const el = await here.start({ fields: [field("mesh", "file"), field("image", "image")] });
    here.model.kernel = ({ kind }) => (kind === "upload" ? { value: "anna.png" } : {});
    const drop = new Event("drop", { bubbles: true, cancelable: true });
    const files = [new File(["x"], "anna.png", { type: "image/png" })];
    Object.assign(drop, { dataTransfer: { files, getData: () => "" } });
    el.querySelector("form")?.dispatchEvent(drop);
    await vi.waitFor(() =>
      expect(here.model.of("upload")).toMatchObject([{ name: "image", file: "anna.png", size: 1 }]),
    );
  });
});

describe("filtering choices", () => {
  const choices = [
    "SDXL/base.safetensors",
    "Flux/dev.safetensors",
    "Flux/schnell.safetensors",
    "other/flux_dev.safetensors",
  ];

  it("wants every word, in any order and case", () => {
    expect(matching(choices, "DEV flux")).toEqual(["Flux/dev.safetensors", "other/flux_dev.safetensors"]);
    expect(matching(choices, "nothing")).toEqual([]);
    expect(matching(choices, "  ")).toEqual(choices);
  });

  it("puts names that begin with the word first", () => {
    expect(matching(choices, "flux")[0]).toBe("other/flux_dev.safetensors");
  });
});
