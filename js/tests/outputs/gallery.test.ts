/** Tests of the gallery and its captions. */

import { describe, expect, it } from "vitest";
import { makeField, makeRun } from "../model";
import { setUpPage } from "../page";
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

describe("the caption of a run", () => {
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
