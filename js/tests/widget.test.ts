import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/index";
import { field, obliging, run, settled, TestModel } from "./model";
import { button, control, press, stand, type } from "./view";

const here = stand();

describe("running", () => {
  it("is started by the button and by Ctrl+Enter, after the values", async () => {
    const el = await here.start({ fields: [field("prompt", "text", { default: "" })] });
    const input = control(el, "prompt");
    input.value = "a fox";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    await press(input, "Enter", { ctrlKey: true });
    expect(here.model.sent.map(({ content }) => content.kind)).toEqual(["hello", "set", "run"]);
    button(el, "Run")?.click();
    expect(here.model.of("run")).toHaveLength(2);
  });

  it("shows Cancel only while a run is queued or runs", async () => {
    const el = await here.start({});
    expect(button(el, "Cancel")).toBeUndefined();
    for (const status of ["queued", "running"] as const) {
      here.model.put({ status });
      await settled();
      expect(button(el, "Cancel")).toBeDefined();
    }
    button(el, "Cancel")?.click();
    expect(here.model.of("cancel")).toMatchObject([{ prompt_id: null }]);
    here.model.put({ status: "cancelled" });
    await settled();
    expect(button(el, "Cancel")).toBeUndefined();
  });

  it("says in words and in a progress bar how it stands", async () => {
    const el = await here.start({
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

  it("says what is waited for, where it is no node", async () => {
    const el = await here.start({ status: "queued", progress: { prompt_id: "p", note: "Sending image" } });
    expect(el.querySelector('[role="status"]')?.textContent).toBe("Sending image");
    const progress = { prompt_id: "p", note: "Fetching 2 of 5", node_title: "KSampler", nodes_done: 7, nodes_total: 7 };
    const other = await here.start({ status: "running", progress });
    expect(other.querySelector('[role="status"]')?.textContent).toBe("Fetching 2 of 5 · 7 of 7 nodes");
  });

  it("changes what is read aloud at most once a second, and ends with the last", async () => {
    vi.useFakeTimers();
    try {
      const step = (number: number) => ({ prompt_id: "p", node_title: "KSampler", step: number, steps: 100 });
      const el = await here.start({ status: "running", progress: step(0) });
      const texts: (string | null | undefined)[] = [];
      const observer = new MutationObserver(() => texts.push(el.querySelector('[role="status"]')?.textContent));
      observer.observe(el.querySelector('[role="status"]') as Node, {
        childList: true,
        characterData: true,
        subtree: true,
      });
      for (let number = 1; number <= 60; number++) {
        here.model.put({ progress: step(number) });
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

  it("says that the kernel is busy when it does not answer, and no longer when it does", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const el = await here.start({});
      const busy = () => el.textContent?.includes("The kernel is busy");
      button(el, "Run")?.click();
      vi.advanceTimersByTime(900);
      await settled();
      expect(busy()).toBe(false);
      vi.advanceTimersByTime(200);
      await settled();
      expect(busy()).toBe(true);
      for (const { content } of here.model.sent) here.model.answer(content);
      await settled();
      expect(busy()).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it("takes a waiting run out of the queue", async () => {
    const el = await here.start({ status: "running", waiting: [{ id: "w1", position: 1 }] });
    button(el, "Take number 1 out of the queue")?.click();
    expect(here.model.of("cancel")).toMatchObject([{ prompt_id: "w1" }]);
  });

  it("shows why the kernel refused to run", async () => {
    const el = await here.start({});
    here.model.kernel = ({ kind }) => (kind === "run" ? { error: "prompt is required." } : {});
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
    const el = await here.start({
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
    const el = await here.start({ view: "run", status: "running" });
    button(el, "Cancel")?.click();
    vi.advanceTimersByTime(299);
    expect(here.model.interrupts).toBe(0);
    vi.advanceTimersByTime(1);
    expect(here.model.interrupts).toBe(1);
  });

  it("interrupts nothing when the answer came, the run has ended, or there is a form", async () => {
    const el = await here.start({ view: "run", status: "running" });
    button(el, "Cancel")?.click();
    here.model.answer(here.model.of("cancel")[0] ?? {});
    await settled();
    vi.advanceTimersByTime(1000);
    button(el, "Cancel")?.click();
    here.model.put({ status: "completed" });
    vi.advanceTimersByTime(1000);
    here.model.put({ view: "form", status: "running" });
    await settled();
    button(el, "Cancel")?.click();
    vi.advanceTimersByTime(1000);
    expect(here.model.of("cancel")).toHaveLength(3);
    expect(here.model.interrupts).toBe(0);
  });
});

describe("outputs", () => {
  const picture = { kind: "image", node: "Save", var: "cover", temp: false, mime: "image/png" } as const;
  const items = (...keys: string[]) => keys.map((key) => ({ ...picture, key, name: `${key}.png` }));
  const thumbs = (content: Record<string, unknown>) =>
    content.kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};

  it("have a text that says what they are", async () => {
    const el = await here.start({
      fields: [field("prompt", "text", { default: "a cat" })],
      runs: [run("a", { items: items("x") })],
    });
    here.model.kernel = thumbs;
    expect(el.querySelector(".ck-gallery button")?.getAttribute("aria-label")).toBe("cover: a cat");
  });

  it("open in a lightbox that keys go through", async () => {
    const el = await here.start({ runs: [run("b", { items: items("x", "y") }), run("a", { items: items("z") })] });
    here.model.kernel = thumbs;
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
    const el = await here.start({ runs: [run("b", { items: items("x") })] });
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.click();
    await settled();
    const outside = vi.fn();
    document.body.addEventListener("keydown", outside);
    for (const key of ["ArrowLeft", "d", "i", "?"]) await press(el.querySelector("dialog") as HTMLElement, key);
    document.body.removeEventListener("keydown", outside);
    expect(outside).not.toHaveBeenCalled();
  });

  it("go when the kernel is told to discard them", async () => {
    const el = await here.start({ runs: [run("a", { items: items("x") })] });
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.focus();
    await settled();
    button(el, "Discard outputs")?.click();
    expect(here.model.of("remove")).toMatchObject([{ run: "a" }]);
  });
});

describe("views and their end", () => {
  it("keeps two views in step, from the kernel and from either", async () => {
    await here.start({ fields: [field("steps", "integer", { default: 20 })], values: { steps: 20 } }, 2);
    obliging(here.model);
    const [first, second] = here.views as [HTMLElement, HTMLElement];
    here.model.put({ values: { steps: 25 } });
    await settled();
    expect([control(first, "steps").value, control(second, "steps").value]).toEqual(["25", "25"]);
    await type(control(first, "steps"), "30");
    expect(control(second, "steps").value).toBe("30");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("loses no change made between initialize and render", async () => {
    const model = new TestModel({ title: "old.json" });
    const { initialize, render } = widget();
    const destroy = initialize({ model: model.asModel });
    model.put({ title: "new.json" });
    const el = document.createElement("div");
    render({ model: model.asModel, el });
    model.put({ title: "newest.json" });
    await settled();
    expect(el.textContent).toContain("newest.json");
    destroy();
  });

  it("says hello for each view", async () => {
    await here.start({}, 2);
    expect(here.model.of("hello")).toHaveLength(2);
  });

  it("disables its controls when the kernel is gone, and enables them when it is heard of again", async () => {
    const el = await here.start({ fields: [field("steps", "integer", { default: 20 })] });
    here.model.fire("comm_live_update");
    await settled();
    expect(el.querySelector("fieldset")?.disabled).toBe(true);
    expect(el.textContent).toContain("The kernel is gone");
    here.model.put({ title: "back.json" });
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
    const model = new TestModel({
      status: "running",
      progress: { prompt_id: "p" },
      runs: [run("a", { items: [key] })],
    });
    model.kernel = ({ kind }) =>
      kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};
    const { initialize, render } = widget();
    const destroy = initialize({ model: model.asModel });
    const el = document.createElement("div");
    document.body.append(el);
    const close = render({ model: model.asModel, el });
    await settled();
    model.message({ kind: "preview", prompt_id: "p", mime: "image/jpeg" }, [new Uint8Array([1])]);
    await vi.waitFor(() => expect(here.urls.alive.size).toBeGreaterThan(0));
    close();
    expect(el.childElementCount).toBe(0);
    destroy();
    await settled();
    expect(here.urls.alive.size).toBe(0);
    expect(model.listening).toBe(0);
  });
});
