import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { matching } from "../src/combobox";
import widget from "../src/index";
import type { Traits } from "../src/protocol";
import { countUrls, field, obliging, run, settled, TestModel } from "./model";

let urls: ReturnType<typeof countUrls>;
let model: TestModel;
let views: { el: HTMLElement; close: () => void }[];
let initialized: (() => void) | undefined;
let definition: ReturnType<typeof widget>;

beforeEach(() => {
  urls = countUrls();
  views = [];
});

afterEach(() => {
  for (const { close } of views) close();
  initialized?.();
  initialized = undefined;
  urls.restore();
  document.body.replaceChildren();
});

/** Starts the widget as anywidget does, with `count` views. */
async function start(traits: Partial<Traits>, count = 1): Promise<HTMLElement> {
  model = new TestModel(traits);
  definition = widget();
  initialized = definition.initialize({ model: model.asModel });
  for (let index = 0; index < count; index++) {
    const el = document.createElement("div");
    document.body.append(el);
    views.push({ el, close: definition.render({ model: model.asModel, el }) });
  }
  await settled();
  return views[0]?.el as HTMLElement;
}

/** The control that a label names. */
function control(el: HTMLElement, name: string): HTMLInputElement {
  const label = [...el.querySelectorAll("label")].find((each) => each.textContent === name);
  const found = label && el.querySelector(`[id="${label.getAttribute("for")}"]`);
  if (!found) throw new Error(`no control ${name}`);
  return found as HTMLInputElement;
}

function button(el: HTMLElement, name: string): HTMLButtonElement | undefined {
  const named = (each: HTMLButtonElement) => each.getAttribute("aria-label") ?? each.textContent;
  return [...el.querySelectorAll("button")].find((each) => named(each) === name);
}

async function type(input: HTMLInputElement, text: string) {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await settled();
  input.dispatchEvent(new Event("change", { bubbles: true }));
  await settled();
}

async function press(target: HTMLElement, key: string, more: KeyboardEventInit = {}) {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  await settled();
}

const newest = () => model.of("set").at(-1);

describe("the form", () => {
  it("has a control for each kind, with the parameter's name", async () => {
    const el = await start({
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
    const el = await start({
      fields: [field("width", "integer", { default: 512 }), field("cfg", "number", { default: 7 })],
    });
    obliging(model);
    await type(control(el, "width"), "512*1.5");
    expect(newest()).toMatchObject({ name: "width", value: 768 });
    expect(control(el, "width").value).toBe("768");
    await type(control(el, "cfg"), "7.25");
    expect(newest()).toMatchObject({ name: "cfg", value: 7.25 });
  });

  it("sends a value once, although the input tells of it twice", async () => {
    const el = await start({ fields: [field("width", "integer", { default: 512 })] });
    const input = control(el, "width");
    input.value = "640";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.dispatchEvent(new Event("blur"));
    await settled();
    expect(model.of("set")).toMatchObject([{ value: 640 }]);
  });

  it("keeps what is no number, says so at the field and sends nothing", async () => {
    const el = await start({ fields: [field("width", "integer", { default: 512 })] });
    await type(control(el, "width"), "wide");
    const input = control(el, "width");
    expect(model.of("set")).toEqual([]);
    expect(input.value).toBe("wide");
    expect(input.getAttribute("aria-invalid")).toBe("true");
    const described = el.querySelector(`[id="${input.getAttribute("aria-describedby")}"]`);
    expect(described?.textContent).toContain("wide");
  });

  it("steps by the arrow keys, ten times with shift, within the bounds", async () => {
    const el = await start({ fields: [field("steps", "integer", { default: 20, min: 1, max: 45, step: 2 })] });
    obliging(model);
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
    const el = await start({ fields: [field("seed", "seed", { default: 0, min: 0, max: largest })] });
    obliging(model);
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
    const el = await start({
      fields: [field("seed", "seed", { default: 0 })],
      runs: [run("b", { seeds: { seed: "12345678901234567890" } }), run("a", { seeds: { seed: "1" } })],
    });
    obliging(model);
    button(el, "Random")?.click();
    await settled();
    expect(newest()).toMatchObject({ name: "seed", value: "random" });
    expect(button(el, "Random")?.getAttribute("aria-pressed")).toBe("true");
    expect(el.textContent).toContain("12345678901234567890");
    button(el, "Keep")?.click();
    await settled();
    expect(newest()).toMatchObject({ name: "seed", value: "12345678901234567890" });
  });

  it("marks what was changed, and takes it back by a double click on the label or a button", async () => {
    const el = await start({ fields: [field("steps", "integer", { default: 20 })], values: { steps: 30 } });
    expect(button(el, "Reset")).toBeDefined();
    el.querySelector("label")?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    await settled();
    expect(newest()).toMatchObject({ name: "steps", reset: true });
    expect(control(el, "steps").value).toBe("20");
    expect(button(el, "Reset")).toBeUndefined();
  });

  it("keeps a choice that the server lacks, marked and explained", async () => {
    const el = await start({
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
    const el = await start({ fields: [field("factor", "choice", { default: 2, choices: [2, 4, "8"] })] });
    const select = control(el, "factor");
    select.value = "4";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    expect(newest()?.value).toBe(4);
  });

  it("asks for many choices when they are wanted, once, and filters them", async () => {
    const choices = Array.from({ length: 300 }, (_, index) => `Flux/model_${index}.safetensors`);
    const el = await start({ fields: [field("model", "choice", { default: choices[0] ?? "", choice_count: 300 })] });
    model.kernel = ({ kind }) => (kind === "choices" ? { choices } : {});
    expect(model.of("choices")).toEqual([]);
    const input = control(el, "model");
    await press(input, "ArrowDown");
    expect(model.of("choices")).toMatchObject([{ name: "model" }]);
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
    expect(model.of("choices")).toHaveLength(1);
  });

  it("leaves a choice as it was on Escape", async () => {
    const el = await start({
      fields: [field("model", "choice", { default: "m1", choices: Array.from({ length: 30 }, (_, i) => `m${i}`) })],
    });
    const input = control(el, "model");
    input.value = "m2";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    await press(input, "Escape");
    expect(input.value).toBe("m1");
    expect(model.of("set")).toEqual([]);
  });

  it("shows the kernel's errors at their fields, and others above the buttons", async () => {
    const el = await start({
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
    const el = await start({
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
    const el = await start({ fields: [field("mesh", "file"), field("image", "image")] });
    model.kernel = ({ kind }) => (kind === "upload" ? { value: "anna.png" } : {});
    const drop = new Event("drop", { bubbles: true, cancelable: true });
    Object.assign(drop, { dataTransfer: { files: [new File(["x"], "anna.png", { type: "image/png" })] } });
    el.querySelector("form")?.dispatchEvent(drop);
    await vi.waitFor(() => expect(model.of("upload")).toMatchObject([{ name: "image", file: "anna.png", size: 1 }]));
  });
});

describe("running", () => {
  it("is started by the button and by Ctrl+Enter, after the values", async () => {
    const el = await start({ fields: [field("prompt", "text", { default: "" })] });
    const input = control(el, "prompt");
    input.value = "a fox";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    await press(input, "Enter", { ctrlKey: true });
    expect(model.sent.map(({ content }) => content.kind)).toEqual(["hello", "set", "run"]);
    button(el, "Run")?.click();
    expect(model.of("run")).toHaveLength(2);
  });

  it("shows Cancel only while a run is queued or runs", async () => {
    const el = await start({});
    expect(button(el, "Cancel")).toBeUndefined();
    for (const status of ["queued", "running"] as const) {
      model.put({ status });
      await settled();
      expect(button(el, "Cancel")).toBeDefined();
    }
    button(el, "Cancel")?.click();
    expect(model.of("cancel")).toMatchObject([{ prompt_id: null }]);
    model.put({ status: "cancelled" });
    await settled();
    expect(button(el, "Cancel")).toBeUndefined();
  });

  it("says in words and in a progress bar how it stands", async () => {
    const el = await start({
      status: "running",
      progress: {
        prompt_id: "p",
        node_title: "KSampler",
        step: 12,
        steps: 20,
        nodes_done: 2,
        nodes_total: 7,
        elapsed: 8,
        remaining: 5,
        fraction: 0.5,
      },
    });
    expect(el.querySelector('[role="status"]')?.textContent).toBe("KSampler 12/20 · 2 of 7 nodes");
    expect(el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("50");
    expect(el.textContent).toContain("0:08 · ~0:05 left");
  });

  it("changes what is read aloud at most once a second, and ends with the last", async () => {
    vi.useFakeTimers();
    try {
      const step = (number: number) => ({ prompt_id: "p", node_title: "KSampler", step: number, steps: 100 });
      const el = await start({ status: "running", progress: step(0) });
      const texts: (string | null | undefined)[] = [];
      const observer = new MutationObserver(() => texts.push(el.querySelector('[role="status"]')?.textContent));
      observer.observe(el.querySelector('[role="status"]') as Node, {
        childList: true,
        characterData: true,
        subtree: true,
      });
      for (let number = 1; number <= 60; number++) {
        model.put({ progress: step(number) });
        await settled();
        await vi.advanceTimersByTimeAsync(50);
      }
      await vi.advanceTimersByTimeAsync(1500);
      await settled();
      observer.disconnect();
      expect(new Set(texts).size).toBeLessThanOrEqual(5);
      expect(texts.at(-1)).toBe("KSampler 60/100");
    } finally {
      vi.useRealTimers();
    }
  });

  it("takes a waiting run out of the queue", async () => {
    const el = await start({ status: "running", waiting: [{ id: "w1", position: 1 }] });
    button(el, "Take number 1 out of the queue")?.click();
    expect(model.of("cancel")).toMatchObject([{ prompt_id: "w1" }]);
  });

  it("shows why the kernel refused to run", async () => {
    const el = await start({});
    model.kernel = ({ kind }) => (kind === "run" ? { error: "prompt is required." } : {});
    button(el, "Run")?.click();
    await settled();
    expect(el.querySelector('[role="alert"]')?.textContent).toBe("prompt is required.");
  });

  it("shows the error of a failed run at its node, the traceback folded", async () => {
    const error = {
      kind: "node_error",
      message: "out of memory",
      node_title: "KSampler",
      node_id: "3",
      class_type: "KSampler",
      traceback: "line 1",
    };
    const el = await start({
      status: "failed",
      progress: { prompt_id: "a" },
      runs: [run("a", { status: "failed", error })],
    });
    expect(el.textContent).toContain("KSampler: out of memory");
    expect(el.querySelector("details:not(.ck-advanced)")?.hasAttribute("open")).toBe(false);
    expect(el.querySelector('[role="status"]')?.textContent).toBe("Failed after 3.1 s");
  });
});

describe("Cancel without an answer", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  it("interrupts the kernel after 300 ms in the view of a cell that runs", async () => {
    const el = await start({ view: "run", status: "running" });
    button(el, "Cancel")?.click();
    vi.advanceTimersByTime(299);
    expect(model.interrupts).toBe(0);
    vi.advanceTimersByTime(1);
    expect(model.interrupts).toBe(1);
  });

  it("interrupts nothing when the answer came, the run has ended, or there is a form", async () => {
    const el = await start({ view: "run", status: "running" });
    button(el, "Cancel")?.click();
    model.answer(model.of("cancel")[0] ?? {});
    await settled();
    vi.advanceTimersByTime(1000);
    button(el, "Cancel")?.click();
    model.put({ status: "completed" });
    vi.advanceTimersByTime(1000);
    model.put({ view: "form", status: "running" });
    await settled();
    button(el, "Cancel")?.click();
    vi.advanceTimersByTime(1000);
    expect(model.of("cancel")).toHaveLength(3);
    expect(model.interrupts).toBe(0);
  });
});

describe("outputs", () => {
  const picture = { kind: "image", node: "Save", var: "cover", temp: false, mime: "image/png" } as const;
  const items = (...keys: string[]) => keys.map((key) => ({ ...picture, key, name: `${key}.png` }));
  const thumbs = (content: Record<string, unknown>) =>
    content.kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};

  it("have a text that says what they are", async () => {
    const el = await start({
      fields: [field("prompt", "text", { default: "a cat" })],
      runs: [run("a", { items: items("x") })],
    });
    model.kernel = thumbs;
    expect(el.querySelector(".ck-gallery button")?.getAttribute("aria-label")).toBe("cover: a cat");
  });

  it("open in a lightbox that keys go through", async () => {
    const el = await start({ runs: [run("b", { items: items("x", "y") }), run("a", { items: items("z") })] });
    model.kernel = thumbs;
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.click();
    await settled();
    const dialog = () => el.querySelector("dialog") as HTMLElement;
    expect(dialog().getAttribute("aria-label")).toBe("x.png");
    await press(dialog(), "ArrowRight");
    await press(dialog(), "ArrowRight");
    expect(dialog().getAttribute("aria-label")).toBe("z.png");
    await press(dialog(), "ArrowRight");
    expect(dialog().getAttribute("aria-label")).toBe("z.png");
    await press(dialog(), "+");
    expect(dialog().innerHTML).toContain("scale(1.25)");
    await press(dialog(), "0");
    expect(dialog().innerHTML).toContain("scale(1)");
    await press(dialog(), "i");
    expect(dialog().querySelector("aside")?.textContent).toContain("w.json");
    await press(dialog(), "Escape");
    expect(el.querySelector("dialog")).toBeNull();
  });

  it("let no key of the lightbox out to the notebook", async () => {
    const el = await start({ runs: [run("b", { items: items("x") })] });
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.click();
    await settled();
    const outside = vi.fn();
    document.body.addEventListener("keydown", outside);
    for (const key of ["ArrowLeft", "d", "i", "?"]) await press(el.querySelector("dialog") as HTMLElement, key);
    document.body.removeEventListener("keydown", outside);
    expect(outside).not.toHaveBeenCalled();
  });

  it("go when the kernel is told to discard them", async () => {
    const el = await start({ runs: [run("a", { items: items("x") })] });
    button(el, "Discard outputs")?.click();
    expect(model.of("remove")).toMatchObject([{ run: "a" }]);
  });
});

describe("views and their end", () => {
  it("keeps two views in step, from the kernel and from either", async () => {
    await start({ fields: [field("steps", "integer", { default: 20 })], values: { steps: 20 } }, 2);
    obliging(model);
    const [first, second] = views.map(({ el }) => el) as [HTMLElement, HTMLElement];
    model.put({ values: { steps: 25 } });
    await settled();
    expect([control(first, "steps").value, control(second, "steps").value]).toEqual(["25", "25"]);
    await type(control(first, "steps"), "30");
    expect(control(second, "steps").value).toBe("30");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("loses no change made between initialize and render", async () => {
    model = new TestModel({ title: "old.json" });
    definition = widget();
    initialized = definition.initialize({ model: model.asModel });
    model.put({ title: "new.json" });
    const el = document.createElement("div");
    views.push({ el, close: definition.render({ model: model.asModel, el }) });
    model.put({ title: "newest.json" });
    await settled();
    expect(el.textContent).toContain("newest.json");
  });

  it("says hello for each view", async () => {
    await start({}, 2);
    expect(model.of("hello")).toHaveLength(2);
  });

  it("disables its controls when the kernel is gone, and enables them when it is heard of again", async () => {
    const el = await start({ fields: [field("steps", "integer", { default: 20 })] });
    model.fire("comm_live_update");
    await settled();
    expect(el.querySelector("fieldset")?.disabled).toBe(true);
    expect(el.textContent).toContain("The kernel is gone");
    model.put({ title: "back.json" });
    await settled();
    expect(el.querySelector("fieldset")?.disabled).toBe(false);
  });

  it("frees listeners, object URLs and elements", async () => {
    const key = {
      key: "x",
      kind: "image",
      name: "x.png",
      node: "Save",
      var: "",
      temp: false,
      mime: "image/png",
    } as const;
    model = new TestModel({ status: "running", progress: { prompt_id: "p" }, runs: [run("a", { items: [key] })] });
    model.kernel = ({ kind }) =>
      kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};
    definition = widget();
    const destroy = definition.initialize({ model: model.asModel });
    const el = document.createElement("div");
    document.body.append(el);
    const close = definition.render({ model: model.asModel, el });
    await settled();
    model.message({ kind: "preview", prompt_id: "p", mime: "image/jpeg" }, [new Uint8Array([1])]);
    await vi.waitFor(() => expect(urls.alive.size).toBeGreaterThan(0));
    close();
    expect(el.childElementCount).toBe(0);
    destroy();
    await settled();
    expect(urls.alive.size).toBe(0);
    expect(model.listening).toBe(0);
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
