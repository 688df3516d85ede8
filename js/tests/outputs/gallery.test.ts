/** Tests of the gallery and its captions. */

import { describe, expect, it } from "vitest";
import { makeField, makeRun, settle } from "../model";
import { findButton, setUpPage } from "../page";
import { makeItem, serveMedia } from "./outputs";

const page = setUpPage();

describe("the gallery", () => {
  it("describes each output in words", async () => {
    const el = await page.start({
      fields: [makeField("prompt", "text", { default: "a cat" })],
      runs: [makeRun("a", { items: [makeItem("x")] })],
    });
    page.model.kernel = serveMedia;
    expect(el.querySelector(".ck-gallery button")?.getAttribute("aria-label")).toBe("cover: a cat");
  });

  it("of 1,000 outputs has at most 500 elements, and fetches few thumbnails at once", async () => {
    const runs = Array.from({ length: 100 }, (_, index) =>
      makeRun(`r${index}`, { items: Array.from({ length: 10 }, (_, at) => makeItem(`${at}`)) }),
    );
    const el = await page.start({ fields: [makeField("prompt", "text")], runs });
    expect(el.querySelectorAll("*").length).toBeLessThanOrEqual(500);
    expect(page.model.getSent("media").length).toBeLessThanOrEqual(8);
  });
});

describe("a text output", () => {
  it("is a line under the image of its run, and opens the lightbox", async () => {
    const text = { ...makeItem("text0", "text"), text: "a long\nstory" };
    const el = await page.start({ runs: [makeRun("a", { items: [makeItem("x"), text, { ...text, key: "text1" }] })] });
    const line = el.querySelector<HTMLElement>(".ck-text-line");
    expect(line?.textContent).toBe("a long story+1");
    expect(el.querySelectorAll(".ck-gallery .ck-tile")).toHaveLength(1);
    line?.click();
    await settle();
    expect(el.querySelector("dialog pre")?.textContent).toBe("a long\nstory");
  });
});

describe("discarded outputs", () => {
  it("are restored by the button that has the focus", async () => {
    const el = await page.start({ runs: [makeRun("a", { items: [makeItem("x")] })] });
    page.model.kernel = () => ({});
    el.querySelector<HTMLElement>(".ck-gallery .ck-open")?.focus();
    await settle();
    findButton(el, "Discard outputs")?.click();
    page.model.setTraits({ runs: [] });
    await settle();
    const undo = findButton(el, "Undo");
    expect(document.activeElement).toBe(undo);
    undo?.click();
    await settle();
    expect(page.model.getSent("discard")).toMatchObject([{ run: "a" }, { run: "a", restore: true }]);
    expect(findButton(el, "Undo")).toBeUndefined();
  });
});

describe("runs that failed for the same reason", () => {
  const error = { kind: "x", message: "boom", node_title: null, node_id: null, class_type: null, traceback: "" };
  const failed = makeRun("b", { status: "failed", error, alike: 64 });

  it("are counted on the stage", async () => {
    const el = await page.start({ status: "failed", progress: { prompt_id: "b" }, runs: [failed] });
    expect(el.querySelector("[role=status]")?.textContent).toBe("64 runs failed");
    expect(el.querySelector(".ck-gallery")).toBeNull();
  });

  it("are one card behind another run", async () => {
    const el = await page.start({ runs: [makeRun("c", { items: [makeItem("x")] }), failed] });
    const captions = [...el.querySelectorAll("figcaption")].map(({ textContent }) => textContent);
    expect(captions).toEqual(["3.1 s", "64 runs failed"]);
  });
});

describe("the caption of a run", () => {
  it("leaves out a seed that the workflow fixes", async () => {
    const el = await page.start({
      fields: [makeField("seed", "seed", { default: 7 })],
      runs: [makeRun("a", { items: [makeItem("x")], seeds: { seed: "7" }, changed: { cfg: 9 } })],
    });
    expect(el.querySelector("figcaption")?.textContent).toBe("cfg 9 · 3.1 s");
    expect(el.querySelector("figcaption strong")?.textContent).toBe("cfg 9");
  });

  it("has its cost", async () => {
    const el = await page.start({
      runs: [makeRun("r", { cost: "17 coins", seeds: { seed: "2" }, items: [makeItem("0")] })],
    });
    expect(el.querySelector("figcaption")?.textContent).toBe("seed 2 · 3.1 s · 17 coins");
  });

  it("has what changed since the previous run", async () => {
    const el = await page.start({
      runs: [
        makeRun("b", { items: [makeItem("x")], seeds: { seed: "2" }, changed: { prompt: "a fox" } }),
        makeRun("a", { items: [makeItem("y")], seeds: { seed: "1" }, changed: { prompt: "a fox" } }),
      ],
    });
    const captions = [...el.querySelectorAll("figcaption")];
    expect(captions.map(({ textContent }) => textContent)).toEqual(["seed 2 · 3.1 s", "prompt a fox · seed 1 · 3.1 s"]);
    expect(captions[0]?.title).toContain("prompt: a fox");
  });

  it("has the values that went back to the workflow's own", async () => {
    const runs = [
      makeRun("c", { items: [makeItem("x")], seeds: { seed: "7" } }),
      makeRun("b", { items: [makeItem("x")], seeds: { seed: "8" }, changed: { cfg: 9, "3.denoise": 0.5 } }),
    ];
    const fields = [
      makeField("cfg", "number", { default: 4.5, label: "CFG" }),
      makeField("seed", "seed", { default: 7 }),
    ];
    const el = await page.start({ fields, runs });
    expect([...el.querySelectorAll("figcaption")].map(({ textContent }) => textContent)).toEqual([
      "CFG 4.5 · denoise as in the workflow · seed 7 · 3.1 s",
      "CFG 9 · denoise 0.5 · seed 8 · 3.1 s",
    ]);
  });

  it("claims nothing of a run that ended before it had values", async () => {
    const runs = [
      makeRun("b", { status: "cancelled", seconds: null, items: [makeItem("x")] }),
      makeRun("a", { items: [makeItem("x")], changed: { cfg: 9 } }),
    ];
    const el = await page.start({ fields: [makeField("cfg", "number", { default: 4.5 })], runs });
    expect(el.querySelector("figcaption")?.textContent).toBe("cancelled ");
  });

  it("does not repeat the error on the stage", async () => {
    const error = { kind: "x", message: "boom", node_title: null, node_id: null, class_type: null, traceback: "" };
    const el = await page.start({
      status: "failed",
      progress: { prompt_id: "b" },
      runs: [makeRun("b", { status: "failed", error }), makeRun("a", { items: [makeItem("y")] })],
    });
    expect(el.textContent?.split("boom")).toHaveLength(2);
  });
});
