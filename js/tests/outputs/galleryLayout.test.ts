/** Tests of the layout of the gallery. */

import { describe, expect, it } from "vitest";
import { layOutRuns, measureMore } from "../../src/outputs/galleryLayout";
import type { Item, Run } from "../../src/session/protocol";
import { makeRun } from "../model";
import { makeItem } from "./outputs";

describe("the lines of the gallery", () => {
  const makeRuns = (...items: Item[][]): Run[] => items.map((each, index) => makeRun(`r${index}`, { items: each }));

  const getShape = (lines: ReturnType<typeof layOutRuns>) =>
    lines.map(({ segments }) => segments.map(({ run, items }) => `${run.id}:${items.length}`).join(" "));
  const makeImages = (count: number) => Array.from({ length: count }, (_, index) => makeItem(`${index}`));

  it("keep a run together, unless it is longer than a line", () => {
    const runs = makeRuns(makeImages(2), makeImages(3), makeImages(1), makeImages(9), makeImages(2));
    expect(getShape(layOutRuns(runs, 4))).toEqual(["r0:2", "r1:3 r2:1", "r3:4", "r3:4", "r3:1 r4:2"]);
  });

  it("never hold more than their cells", () => {
    const runs = makeRuns(makeImages(3), [makeItem("t", "text")], [makeItem("a", "audio"), makeItem("b")]);
    for (const columns of [1, 2, 3, 5, 8])
      for (const { segments } of layOutRuns(runs, columns))
        expect(segments.reduce((sum, { cells }) => sum + cells, 0)).toBeLessThanOrEqual(columns);
  });

  it("have texts below the images of their run, and as cards only where there are none", () => {
    const [line] = layOutRuns(makeRuns([makeItem("a"), makeItem("t", "text")], [makeItem("u", "text")]), 4);
    expect(line?.segments.map(({ items, texts }) => [items.length, texts.length])).toEqual([
      [1, 1],
      [1, 0],
    ]);
    const [without] = layOutRuns(makeRuns([makeItem("a")]), 4);
    expect(line?.height).toBe((without?.height ?? 0) + 24);
  });

  it("have room for the runs of a batch that are still to come", () => {
    const lines = layOutRuns(makeRuns(makeImages(1), makeImages(1)), 4);
    const height = lines[0]?.height ?? 0;
    expect([1, 2, 3, 6, 7].map((more) => measureMore(lines, 4, more))).toEqual([0, 0, height, height, 2 * height]);
    expect(measureMore([], 4, 4)).toBe(height);
    const five = layOutRuns(makeRuns(...Array.from({ length: 5 }, () => makeImages(1))), 4);
    expect([3, 4].map((more) => measureMore(five, 4, more))).toEqual([0, height]);
  });

  it("hold an output that is wider than they are", () => {
    expect(layOutRuns(makeRuns([makeItem("t", "text")]), 1)[0]?.segments[0]?.cells).toBe(1);
  });

  it("have a place for the error of a failed run", () => {
    const error = { kind: "x", message: "m", node_title: null, node_id: null, class_type: null, traceback: "" };
    expect(layOutRuns([makeRun("a", { status: "failed", error })], 5)[0]?.segments[0]?.items).toEqual([null]);
  });

  it("are placed below each other", () => {
    const lines = layOutRuns(makeRuns(...Array.from({ length: 50 }, (_, index) => [makeItem(`${index}`)])), 3);
    for (const [index, line] of lines.entries()) {
      const before = lines[index - 1];
      expect(line.top).toBe(before ? before.top + before.height : 0);
    }
  });
});
