/** Tests of the widget as a whole: runs, Cancel, several views. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import createWidget from "../src/index";
import { acceptAll, makeField, makeRun, settle, TestModel } from "./model";
import { findButton, findControl, pressKey, setUpPage, typeText } from "./page";

type Slot = (sender: unknown, value: string) => void;

const page = setUpPage();

describe("a run", () => {
  it("is started by the button and by Ctrl+Enter, after the values are sent", async () => {
    const el = await page.start({ fields: [makeField("prompt", "text", { default: "" })] });
    const input = findControl(el, "prompt");
    input.value = "a fox";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    await pressKey(input, "Enter", { ctrlKey: true });
    expect(page.model.sent.map(({ content }) => content.kind)).toEqual(["hello", "set", "run"]);
    findButton(el, "Run")?.click();
    expect(page.model.getSent("run")).toHaveLength(2);
  });

  it("is started by a press at the very edge of the button, and by none that ends beside it", async () => {
    const el = await page.start({});
    const button = findButton(el, "Run") as HTMLButtonElement;
    button.getBoundingClientRect = () => new DOMRect(20.4, 100.6, 80, 28);
    button.setPointerCapture = () => {};
    const press = (clientX: number, clientY: number) => {
      button.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
      button.dispatchEvent(new MouseEvent("click", { bubbles: true, detail: 1, clientX, clientY }));
    };
    press(20, 100); // at 20.6, 100.8: a click has whole pixels
    press(100, 128);
    expect(page.model.getSent("run")).toHaveLength(2);
    press(19, 110);
    press(50, 129);
    expect(page.model.getSent("run")).toHaveLength(2);
  });

  it("can be cancelled while it is queued or running", async () => {
    const el = await page.start({});
    expect(findButton(el, "Cancel")).toBeUndefined();
    for (const status of ["queued", "running"] as const) {
      page.model.setTraits({ status });
      await settle();
      expect(findButton(el, "Cancel")).toBeDefined();
    }
    findButton(el, "Cancel")?.click();
    expect(page.model.getSent("cancel")).toMatchObject([{ prompt_id: null }]);
    page.model.setTraits({ status: "cancelled" });
    await settle();
    expect(findButton(el, "Cancel")).toBeUndefined();
  });

  it("shows that the kernel is busy until it answers", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const el = await page.start({});
      const isBusy = () => el.textContent?.includes("Kernel busy");
      findButton(el, "Run")?.click();
      vi.advanceTimersByTime(900);
      await settle();
      expect(isBusy()).toBe(false);
      vi.advanceTimersByTime(200);
      await settle();
      expect(isBusy()).toBe(true);
      for (const { content } of page.model.sent) page.model.answer(content);
      await settle();
      expect(isBusy()).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it("shows the kernel's error", async () => {
    const el = await page.start({});
    page.model.kernel = ({ kind }) => (kind === "run" ? { error: "prompt is required" } : {});
    findButton(el, "Run")?.click();
    await settle();
    expect(el.querySelector('[role="alert"]')?.textContent).toBe("prompt is required");
  });
});

describe("keys", () => {
  it("without Ctrl, Alt or the command key never reach the notebook", async () => {
    const el = await page.start({ fields: [makeField("seed", "seed", { default: 0 })] });
    const received: string[] = [];
    const listen = (event: KeyboardEvent) => received.push(event.key);
    document.addEventListener("keydown", listen);
    try {
      for (const target of el.querySelectorAll<HTMLElement>("button, input, select"))
        for (const key of ["a", "0", "Escape", "Enter", "ArrowDown"]) await pressKey(target, key);
      expect(received).toEqual([]);
      await pressKey(findButton(el, "Run") as HTMLElement, "s", { ctrlKey: true });
      expect(received).toEqual(["s"]);
    } finally {
      document.removeEventListener("keydown", listen);
    }
  });
});

describe("Cancel without an answer", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  it("interrupts the kernel after 300 ms in the view of a running cell", async () => {
    const el = await page.start({ view: "run", status: "running" });
    findButton(el, "Cancel")?.click();
    vi.advanceTimersByTime(299);
    expect(page.model.interrupts).toBe(0);
    vi.advanceTimersByTime(1);
    expect(page.model.interrupts).toBe(1);
  });

  it("interrupts nothing after an answer, after the run, or in a form", async () => {
    const el = await page.start({ view: "run", status: "running" });
    findButton(el, "Cancel")?.click();
    page.model.answer(page.model.getSent("cancel")[0] ?? {});
    await settle();
    vi.advanceTimersByTime(1000);
    page.model.setTraits({ status: "completed" });
    page.model.setTraits({ status: "running" });
    await settle();
    findButton(el, "Cancel")?.click();
    page.model.setTraits({ status: "completed" });
    vi.advanceTimersByTime(1000);
    page.model.setTraits({ view: "form", status: "running" });
    await settle();
    findButton(el, "Cancel")?.click();
    vi.advanceTimersByTime(1000);
    expect(page.model.getSent("cancel")).toHaveLength(3);
    expect(page.model.interrupts).toBe(0);
  });
});

describe("the views of a model", () => {
  it("show the same values, whether set by the kernel or a view", async () => {
    await page.start({ fields: [makeField("steps", "integer", { default: 20 })], values: { steps: 20 } }, 2);
    acceptAll(page.model);
    const [first, second] = page.views as [HTMLElement, HTMLElement];
    page.model.setTraits({ values: { steps: 25 } });
    await settle();
    expect([findControl(first, "steps").value, findControl(second, "steps").value]).toEqual(["25", "25"]);
    await typeText(findControl(first, "steps"), "30");
    expect(findControl(second, "steps").value).toBe("30");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("miss no change between initialize and render", async () => {
    const model = new TestModel({ title: "old.json" });
    const { initialize, render } = createWidget();
    const destroy = initialize({ model: model.asModel });
    model.setTraits({ title: "new.json" });
    const el = document.createElement("div");
    render({ model: model.asModel, el });
    model.setTraits({ title: "newest.json" });
    await settle();
    expect(el.textContent).toContain("newest.json");
    destroy();
  });

  it("are each announced to the kernel", async () => {
    await page.start({}, 2);
    expect(page.model.getSent("hello")).toHaveLength(2);
  });

  it("disable their controls while the kernel is disconnected", async () => {
    const el = await page.start({ fields: [makeField("steps", "integer", { default: 20 })] });
    page.model.emit("comm_live_update");
    await settle();
    expect(el.querySelector("fieldset")?.disabled).toBe(true);
    expect(el.textContent).toContain("Kernel disconnected");
    page.model.setTraits({ title: "back.json" });
    await settle();
    expect(el.querySelector("fieldset")?.disabled).toBe(false);
  });

  it("are disabled when the kernel ends, and live again when it answers", async () => {
    const slots = { statusChanged: new Set<Slot>(), connectionStatusChanged: new Set<Slot>() };
    const makeSignal = (signal: Set<Slot>) => ({
      connect: (slot: Slot) => void signal.add(slot),
      disconnect: (slot: Slot) => void signal.delete(slot),
    });
    const kernel = Object.fromEntries(Object.entries(slots).map(([name, signal]) => [name, makeSignal(signal)]));
    const el = await page.start({ fields: [makeField("steps", "integer")] }, 1, { kernel });
    const emit = async (signal: keyof typeof slots, value: string) => {
      for (const slot of slots[signal]) slot(null, value);
      await settle();
      return el.querySelector("fieldset")?.disabled;
    };
    expect(await emit("statusChanged", "busy")).toBe(false);
    expect(await emit("connectionStatusChanged", "connecting")).toBe(false);
    expect(await emit("statusChanged", "autorestarting")).toBe(true);
    page.model.setTraits({ title: "back.json" });
    await settle();
    expect(await emit("connectionStatusChanged", "disconnected")).toBe(true);
    page.model.kernel = () => ({});
    await emit("connectionStatusChanged", "connected");
    expect(el.querySelector("fieldset")?.disabled).toBe(false);
  });

  it("are disabled when a message can't be sent", async () => {
    const el = await page.start({});
    page.model.send = () => {
      throw new Error("Cannot send");
    };
    findButton(el, "Run")?.click();
    await settle();
    expect(el.querySelector("fieldset")?.disabled).toBe(true);
    expect(el.textContent).toContain("Kernel disconnected");
  });

  it("free listeners, object URLs and elements", async () => {
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
      runs: [makeRun("a", { items: [key] })],
    });
    model.kernel = ({ kind }) =>
      kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};
    const { initialize, render } = createWidget();
    const destroy = initialize({ model: model.asModel });
    const el = document.createElement("div");
    document.body.append(el);
    const close = render({ model: model.asModel, el });
    await settle();
    model.sendToPage({ kind: "preview", prompt_id: "p", mime: "image/jpeg" }, [new Uint8Array([1])]);
    await vi.waitFor(() => expect(page.urls.alive.size).toBeGreaterThan(0));
    close();
    expect(el.childElementCount).toBe(0);
    destroy();
    await settle();
    expect(page.urls.alive.size).toBe(0);
    expect(model.listenerCount).toBe(0);
  });
});

describe("the title line", () => {
  it("has the server's address only from a message, and keeps it when the state changes", async () => {
    const el = await page.start({ title: "portrait", server: { state: "ready", version: "0.3.64" } });
    const line = el.querySelector(".ck-title");
    expect(line?.textContent).toBe("portrait");
    page.model.sendToPage({ kind: "server", address: "gpu-box:8188", message: "ComfyUI 0.3.64" });
    await settle();
    expect(line?.textContent).toContain("gpu-box:8188");
    page.model.setTraits({ server: { state: "unreachable", version: null } });
    page.model.sendToPage({ kind: "server", address: "gpu-box:8188", message: "no ComfyUI server there" });
    await settle();
    expect(line?.textContent).toContain("no ComfyUI server there");
    expect(JSON.stringify(page.model.get("server"))).not.toContain("gpu-box");
  });
});
