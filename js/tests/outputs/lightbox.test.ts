/** Tests of the lightbox and comparison. */

import { describe, expect, it, vi } from "vitest";
import type { Run } from "../../src/session/protocol";
import { makeRun, settle } from "../model";
import { pressKey, setUpPage } from "../page";
import { findTile, makeItem, openLightbox, serveMedia } from "./outputs";

const page = setUpPage();

describe("the lightbox", () => {
  it("goes through all outputs with the arrow keys", async () => {
    const el = await page.start({
      runs: [makeRun("b", { items: [makeItem("x"), makeItem("y")] }), makeRun("a", { items: [makeItem("z")] })],
    });
    page.model.kernel = serveMedia;
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.click();
    await settle();
    const dialog = () => el.querySelector("dialog") as HTMLElement;
    expect(dialog().getAttribute("aria-label")).toBe("x.png");
    await pressKey(dialog(), "ArrowRight");
    await pressKey(dialog(), "ArrowRight");
    expect(dialog().getAttribute("aria-label")).toBe("z.png");
    await pressKey(dialog(), "ArrowRight");
    expect(dialog().getAttribute("aria-label")).toBe("z.png");
    await pressKey(dialog(), "+");
    expect(dialog().innerHTML).toContain("scale(1.25)");
    await pressKey(dialog(), "z");
    expect(dialog().innerHTML).toContain("scale(1)");
    await pressKey(dialog(), "i");
    expect(dialog().querySelector("aside")?.textContent).toContain("w.json");
    await pressKey(dialog(), "Escape");
    expect(el.querySelector("dialog")).toBeNull();
  });

  it("shows an image in its place only: once its size is known", async () => {
    const el = await page.start({ runs: [makeRun("b", { items: [makeItem("x")] })] });
    findTile(el)?.click();
    await settle();
    const answer = async (size: string, pixels = {}) => {
      for (const sent of page.model.getSent("media").filter((each) => each.size === size))
        page.model.answer(sent, { ...serveMedia(sent), ...pixels });
      await settle();
    };
    const image = () => el.querySelector<HTMLElement>(".ck-pane img");
    await answer("full");
    expect(image()).toBeNull();
    await answer("thumb", { width: 256, height: 128 });
    expect(image()?.getAttribute("width")).toBe("256");
    expect(image()?.dataset.full).toBe("");
  });

  it("keeps the number of an output while others come in", async () => {
    const { dialog } = await openLightbox(page, 1);
    expect(dialog().textContent).toContain("2 of 2");
    const runs = page.model.get("runs") as Run[];
    page.model.setTraits({ runs: [makeRun("c", { items: [makeItem("z")] }), ...runs] });
    await settle();
    expect(dialog().textContent).toContain("2 of 2 · 1 new");
    await pressKey(dialog(), "Home");
    expect(dialog().textContent).toContain("1 of 3");
    await pressKey(dialog(), "End");
    expect(dialog().textContent).toContain("3 of 3");
  });

  it("leaves the keys of star, rating and reject free", async () => {
    const { dialog } = await openLightbox(page);
    const before = dialog().innerHTML;
    for (const key of ["s", "x", "0", "1", "2", "3", "4", "5"]) await pressKey(dialog(), key);
    expect(dialog().innerHTML).toBe(before);
  });

  it("says where the time went", async () => {
    const { dialog } = await openLightbox(page);
    page.model.kernel = (content) =>
      content.kind === "times" ? { nodes: [{ node: "KSampler", seconds: 2.5 }] } : serveMedia(content);
    await pressKey(dialog(), "i");
    expect(dialog().querySelector(".ck-times")?.textContent).toBe("Where the time wentKSampler2.5 s");
  });

  it("lets no key through to the notebook", async () => {
    const el = await page.start({ runs: [makeRun("b", { items: [makeItem("x")] })] });
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.click();
    await settle();
    const outside = vi.fn();
    document.body.addEventListener("keydown", outside);
    for (const key of ["ArrowLeft", "d", "i", "?"]) await pressKey(el.querySelector("dialog") as HTMLElement, key);
    document.body.removeEventListener("keydown", outside);
    expect(outside).not.toHaveBeenCalled();
  });
});

describe("comparing", () => {
  it("shows two outputs side by side with the same zoom", async () => {
    const { dialog } = await openLightbox(page);
    await pressKey(dialog(), "c");
    expect(dialog().querySelectorAll(".ck-pane")).toHaveLength(1);
    await pressKey(dialog(), "ArrowRight");
    const tags = () => [...dialog().querySelectorAll(".ck-tag")].map(({ textContent }) => textContent);
    expect(tags()).toEqual(["seed 2", "seed 1"]);
    await pressKey(dialog(), "+");
    const places = () =>
      [...dialog().querySelectorAll<HTMLElement>(".ck-pane img")].map(({ style }) => style.transform);
    await vi.waitFor(() => expect(places()).toHaveLength(2));
    expect(places()[0]).toContain("scale(1.25)");
    expect(places()[1]).toBe(places()[0]);
    await pressKey(dialog(), "c");
    expect(tags()).toEqual([]);
  });

  it("shows one over the other, with a slider that the arrow keys move", async () => {
    const { dialog } = await openLightbox(page);
    for (const key of ["c", "ArrowRight", "d"]) await pressKey(dialog(), key);
    const slider = dialog().querySelector('input[type="range"]') as HTMLInputElement;
    expect(document.activeElement).toBe(slider);
    slider.value = "30";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    expect(slider.parentElement?.style.getPropertyValue("--ck-at")).toBe("0.3");
    // The slider uses the key itself: the output stays.
    await pressKey(slider, "ArrowLeft");
    expect(dialog().getAttribute("aria-label")).toBe("y.png");
    await pressKey(slider, "d");
    expect(dialog().querySelector('input[type="range"]')).toBeNull();
  });
});
