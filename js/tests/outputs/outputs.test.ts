import { describe, expect, it, vi } from "vitest";
import { layOut } from "../../src/outputs/galleryLayout";
import type { Item, Run } from "../../src/session/protocol";
import { field, run, settled } from "../model";
import { button, press, stand } from "../view";

const here = stand();

const item = (key: string, kind: Item["kind"] = "image"): Item => ({
  key,
  kind,
  name: `${key}.png`,
  node: "Save",
  var: "cover",
  temp: false,
  mime: "image/png",
});

const thumbs = (content: Record<string, unknown>) =>
  content.kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};

const tile = (el: HTMLElement, index = 0) => el.querySelectorAll<HTMLElement>(".ck-gallery .ck-open")[index];

/** Opens the lightbox on the tile with this index, in a form with two runs of one picture. */
async function opened(index = 0) {
  const el = await here.start({
    fields: [field("image", "image"), field("prompt", "text", { default: "" })],
    runs: [
      run("b", { items: [item("x")], seeds: { seed: "2" } }),
      run("a", { items: [item("y")], seeds: { seed: "1" } }),
    ],
  });
  here.model.kernel = thumbs;
  for (const asked of here.model.of("media")) here.model.answer(asked, thumbs(asked));
  tile(el, index)?.click();
  await settled();
  return { el, dialog: () => el.querySelector("dialog") as HTMLElement };
}

describe("the actions of an output", () => {
  it("are there for the tile that has the focus, and for no other", async () => {
    const el = await here.start({ runs: [run("b", { items: [item("x"), item("y")] })] });
    expect(button(el, "Same settings")).toBeUndefined();
    for (const index of [0, 1]) {
      tile(el, index)?.focus();
      await settled();
      expect(el.querySelectorAll('[aria-label="Same settings"]')).toHaveLength(1);
      expect(tile(el, index)?.nextElementSibling?.contains(button(el, "Same settings") as Node)).toBe(true);
    }
  });

  it("put the settings of its run into the form, and leave the lightbox for it", async () => {
    const { el, dialog } = await opened();
    button(dialog(), "Same settings")?.click();
    await settled();
    expect(here.model.of("apply")).toMatchObject([{ run: "b" }]);
    expect(el.querySelector("dialog")).toBeNull();
  });

  it("stay in the lightbox and say what the kernel refused", async () => {
    const { dialog } = await opened();
    here.model.kernel = (content) => (content.kind === "apply" ? { error: "the run is gone" } : thumbs(content));
    button(dialog(), "Same settings")?.click();
    await settled();
    expect(dialog().querySelector('[role="alert"]')?.textContent).toBe("the run is gone");
  });

  it("make it the input of the one field of its kind", async () => {
    const { dialog } = await opened();
    button(dialog(), "Use as input")?.click();
    expect(here.model.of("use")).toMatchObject([{ run: "b", key: "x", name: "image" }]);
  });

  it("ask which field, where several take it", async () => {
    const el = await here.start({
      fields: [field("image", "image"), field("mask", "image"), field("clip", "video")],
      runs: [run("b", { items: [item("x")] })],
    });
    here.model.kernel = thumbs;
    tile(el)?.focus();
    await settled();
    const select = el.querySelector(".ck-use select") as HTMLSelectElement;
    expect([...select.options].map(({ text }) => text).filter(Boolean)).toEqual(["image", "mask"]);
    select.value = "mask";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    expect(here.model.of("use")).toMatchObject([{ key: "x", name: "mask" }]);
  });

  it("offer no form what has none", async () => {
    const el = await here.start({ view: "run", runs: [run("b", { items: [item("x"), item("y")] })] });
    tile(el)?.focus();
    await settled();
    expect(button(el, "Same settings")).toBeUndefined();
    expect(button(el, "Use as input")).toBeUndefined();
    expect(button(el, "Copy as code")).toBeUndefined();
    expect(button(el, "Parameters")).toBeDefined();
  });

  it("copy the code that the kernel writes", async () => {
    const writeText = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
    const { dialog } = await opened();
    here.model.kernel = (content) => (content.kind === "code" ? { code: 'kit.run("w.json")' } : thumbs(content));
    button(dialog(), "Copy as code")?.click();
    await vi.waitFor(() => expect(button(dialog(), "Copied")).toBeDefined());
    expect(writeText).toHaveBeenCalledWith('kit.run("w.json")');
    writeText.mockRestore();
  });

  it("show what made a tile", async () => {
    const { el, dialog } = await opened();
    await press(dialog(), "Escape");
    tile(el)?.focus();
    await settled();
    button(el, "Parameters")?.click();
    await settled();
    expect(dialog().querySelector("aside")?.textContent).toContain("seed2");
  });

  it("drop a tile on a media field", async () => {
    const el = await here.start({ fields: [field("image", "image")], runs: [run("b", { items: [item("x")] })] });
    const data = new Map<string, string>();
    const dataTransfer = {
      setData: (type: string, text: string) => data.set(type, text),
      getData: (type: string) => data.get(type) ?? "",
      files: [],
    };
    const drag = (kind: string) =>
      Object.assign(new Event(kind, { bubbles: true, cancelable: true }), { dataTransfer });
    tile(el)?.dispatchEvent(drag("dragstart"));
    el.querySelector(".ck-media-field")?.dispatchEvent(drag("drop"));
    expect(here.model.of("use")).toMatchObject([{ run: "b", key: "x", name: "image" }]);
    el.querySelector("form")?.dispatchEvent(drag("drop"));
    expect(here.model.of("use")).toHaveLength(2);
  });
});

describe("comparing", () => {
  it("shows the one that is kept beside each other one, looked at in the same place", async () => {
    const { dialog } = await opened();
    await press(dialog(), "c");
    expect(dialog().querySelectorAll(".ck-pane")).toHaveLength(1);
    await press(dialog(), "ArrowRight");
    const tags = () => [...dialog().querySelectorAll(".ck-tag")].map(({ textContent }) => textContent);
    expect(tags()).toEqual(["seed 2", "seed 1"]);
    await press(dialog(), "+");
    const places = () => [...dialog().querySelectorAll("img")].map(({ style }) => style.transform);
    await vi.waitFor(() => expect(places()).toHaveLength(2));
    expect(places()[0]).toContain("scale(1.25)");
    expect(places()[1]).toBe(places()[0]);
    await press(dialog(), "c");
    expect(tags()).toEqual([]);
  });

  it("puts them over each other, parted by a slider that arrow keys move", async () => {
    const { dialog } = await opened();
    for (const key of ["c", "ArrowRight", "s"]) await press(dialog(), key);
    const slider = dialog().querySelector('input[type="range"]') as HTMLInputElement;
    expect(document.activeElement).toBe(slider);
    slider.value = "30";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(slider.parentElement?.style.getPropertyValue("--ck-at")).toBe("0.3");
    // Its keys are its own: the picture stays.
    await press(slider, "ArrowLeft");
    expect(dialog().getAttribute("aria-label")).toBe("y.png");
    await press(slider, "s");
    expect(dialog().querySelector('input[type="range"]')).toBeNull();
  });
});

describe("the lines of the gallery", () => {
  const runs = (...items: Item[][]): Run[] => items.map((each, index) => run(`r${index}`, { items: each }));

  it("fill up before the next begins, and never hold more than they have room for", () => {
    const lines = layOut(runs([item("a"), item("b")], [item("c"), item("d"), item("e")], [item("t", "text")]), 4);
    const shape = lines.map(({ segments }) => segments.map(({ run, items }) => [run.id, items.length]));
    expect(shape).toEqual([
      [
        ["r0", 2],
        ["r1", 2],
      ],
      [
        ["r1", 1],
        ["r2", 1],
      ],
    ]);
    for (const { segments } of lines)
      expect(segments.reduce((sum, { cells }) => sum + cells, 0)).toBeLessThanOrEqual(4);
  });

  it("hold what is wider than they are", () => {
    expect(layOut(runs([item("t", "text")]), 1)[0]?.segments[0]?.cells).toBe(1);
  });

  it("have a place for why a run failed", () => {
    const error = { kind: "x", message: "m", node_title: null, node_id: null, class_type: null, traceback: "" };
    expect(layOut([run("a", { status: "failed", error })], 5)[0]?.segments[0]?.items).toEqual([null]);
  });

  it("stand under each other", () => {
    const lines = layOut(runs(...Array.from({ length: 50 }, (_, index) => [item(`${index}`)])), 3);
    for (const [index, line] of lines.entries()) {
      const before = lines[index - 1];
      expect(line.top).toBe(before ? before.top + before.height : 0);
    }
  });
});

describe("the caption of a run", () => {
  it("says what it cost", async () => {
    const el = await here.start({ runs: [run("r", { cost: "17 coins", seeds: { seed: "2" }, items: [item("0")] })] });
    expect(el.querySelector("figcaption")?.textContent).toBe("3.1 s · 17 coins · seed 2");
  });

  it("says what is different from the run before", async () => {
    const el = await here.start({
      runs: [
        run("b", { items: [item("x")], seeds: { seed: "2" }, changed: { prompt: "a fox" } }),
        run("a", { items: [item("y")], seeds: { seed: "1" }, changed: { prompt: "a fox" } }),
      ],
    });
    const captions = [...el.querySelectorAll("figcaption")];
    expect(captions.map(({ textContent }) => textContent)).toEqual(["3.1 s · seed 2", "3.1 s · seed 1 · prompt a fox"]);
    expect(captions[0]?.title).toContain("prompt: a fox");
  });

  it("is not there twice: why the newest run failed stands on the stage", async () => {
    const error = { kind: "x", message: "boom", node_title: null, node_id: null, class_type: null, traceback: "" };
    const el = await here.start({
      status: "failed",
      progress: { prompt_id: "b" },
      runs: [run("b", { status: "failed", error }), run("a", { items: [item("y")] })],
    });
    expect(el.textContent?.split("boom")).toHaveLength(2);
  });
});

describe("a gallery of 1,000 outputs", () => {
  it("has at most 500 elements in the page, and asks for few pictures at once", async () => {
    const runs = Array.from({ length: 100 }, (_, index) =>
      run(`r${index}`, { items: Array.from({ length: 10 }, (_, at) => item(`${at}`)) }),
    );
    const el = await here.start({ fields: [field("prompt", "text")], runs });
    expect(el.querySelectorAll("*").length).toBeLessThanOrEqual(500);
    expect(here.model.of("media").length).toBeLessThanOrEqual(8);
  });
});
