/** Tests of the buttons of an output. */

import { describe, expect, it, vi } from "vitest";
import { makeField, makeRun, settle } from "../model";
import { findButton, pressKey, setUpPage } from "../page";
import { findTile, makeItem, openLightbox, serveMedia } from "./outputs";

const page = setUpPage();

describe("the actions of an output", () => {
  it("belong to the tile with the focus only", async () => {
    const el = await page.start({ runs: [makeRun("b", { items: [makeItem("x"), makeItem("y")] })] });
    expect(findButton(el, "Reuse values")).toBeUndefined();
    for (const index of [0, 1]) {
      findTile(el, index)?.focus();
      await settle();
      expect(el.querySelectorAll('[aria-label="Reuse values"]')).toHaveLength(1);
      expect(findTile(el, index)?.nextElementSibling?.contains(findButton(el, "Reuse values") as Node)).toBe(true);
    }
  });

  it("load the values of its run into the form, and close the lightbox", async () => {
    const { el, dialog } = await openLightbox(page);
    findButton(dialog(), "Reuse values")?.click();
    await settle();
    expect(page.model.getSent("apply")).toMatchObject([{ run: "b" }]);
    expect(el.querySelector("dialog")).toBeNull();
  });

  it("stay in the lightbox and show the kernel's error", async () => {
    const { dialog } = await openLightbox(page);
    page.model.kernel = (content) =>
      content.kind === "apply" ? { error: "the run has been deleted" } : serveMedia(content);
    findButton(dialog(), "Reuse values")?.click();
    await settle();
    expect(dialog().querySelector('[role="alert"]')?.textContent).toBe("the run has been deleted");
  });

  it("use it as input of the only field of its kind", async () => {
    const { dialog } = await openLightbox(page);
    findButton(dialog(), "Use as input")?.click();
    expect(page.model.getSent("use")).toMatchObject([{ run: "b", key: "x", name: "image" }]);
  });

  it("give the kernel the time of the frame that a video shows", async () => {
    const clip = { ...makeItem("x", "video"), mime: "video/mp4" };
    const el = await page.start({
      fields: [makeField("image", "image")],
      runs: [makeRun("b", { items: [clip] })],
    });
    page.model.kernel = serveMedia;
    findTile(el)?.click();
    await settle();
    const dialog = el.querySelector("dialog") as HTMLElement;
    const use = async (state: number) => {
      const video = dialog.querySelector("video") as HTMLVideoElement;
      Object.defineProperty(video, "readyState", { value: state, configurable: true });
      vi.spyOn(video, "pause").mockReturnValue();
      video.currentTime = 1.5;
      findButton(dialog, "Use this frame")?.click();
      await settle();
    };
    await use(1);
    expect(dialog.querySelector('[role="alert"]')?.textContent).toContain("Play the video first");
    await use(2);
    expect(page.model.getSent("frame")).toMatchObject([{ run: "b", key: "x", name: "image", at: 1.5 }]);
    expect(findButton(dialog, "Frame used")).toBeDefined();
    findButton(dialog, "Use last frame")?.click();
    expect(page.model.getSent("frame")[1]).toMatchObject({ run: "b", key: "x", name: "image" });
  });

  it("ask for a field where several accept it", async () => {
    const el = await page.start({
      fields: [makeField("image", "image"), makeField("mask", "image"), makeField("clip", "video")],
      runs: [makeRun("b", { items: [makeItem("x")] })],
    });
    page.model.kernel = serveMedia;
    findTile(el)?.focus();
    await settle();
    const select = el.querySelector(".ck-use select") as HTMLSelectElement;
    expect([...select.options].map(({ text }) => text).filter(Boolean)).toEqual(["image", "mask"]);
    select.value = "mask";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    expect(page.model.getSent("use")).toMatchObject([{ key: "x", name: "mask" }]);
  });

  it("need a form", async () => {
    const el = await page.start({ view: "run", runs: [makeRun("b", { items: [makeItem("x"), makeItem("y")] })] });
    findTile(el)?.focus();
    await settle();
    expect(findButton(el, "Reuse values")).toBeUndefined();
    expect(findButton(el, "Use as input")).toBeUndefined();
    expect(findButton(el, "Copy as code")).toBeUndefined();
    expect(findButton(el, "Details")).toBeDefined();
  });

  it("copy the code that the kernel writes", async () => {
    const writeText = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
    const { dialog } = await openLightbox(page);
    page.model.kernel = (content) => (content.kind === "code" ? { code: 'kit.run("w.json")' } : serveMedia(content));
    findButton(dialog(), "Copy as code")?.click();
    await vi.waitFor(() => expect(findButton(dialog(), "Copied")).toBeDefined());
    expect(writeText).toHaveBeenCalledWith('kit.run("w.json")');
    writeText.mockRestore();
  });

  it("open its details", async () => {
    const { el, dialog } = await openLightbox(page);
    await pressKey(dialog(), "Escape");
    findTile(el)?.focus();
    await settle();
    findButton(el, "Details")?.click();
    await settle();
    expect(dialog().querySelector("aside")?.textContent).toContain("seed2");
  });

  it("use a tile that is dropped on a media field", async () => {
    const el = await page.start({
      fields: [makeField("image", "image")],
      runs: [makeRun("b", { items: [makeItem("x")] })],
    });
    const data = new Map<string, string>();
    const dataTransfer = {
      setData: (type: string, text: string) => data.set(type, text),
      getData: (type: string) => data.get(type) ?? "",
      files: [],
    };
    const drag = (kind: string) =>
      Object.assign(new Event(kind, { bubbles: true, cancelable: true }), { dataTransfer });
    findTile(el)?.dispatchEvent(drag("dragstart"));
    el.querySelector(".ck-media-field")?.dispatchEvent(drag("drop"));
    expect(page.model.getSent("use")).toMatchObject([{ run: "b", key: "x", name: "image" }]);
    el.querySelector("form")?.dispatchEvent(drag("drop"));
    expect(page.model.getSent("use")).toHaveLength(2);
  });

  it("discard the outputs of a run", async () => {
    const el = await page.start({ runs: [makeRun("a", { items: [makeItem("x")] })] });
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.focus();
    await settle();
    findButton(el, "Discard outputs")?.click();
    expect(page.model.getSent("discard")).toMatchObject([{ run: "a" }]);
  });
});
