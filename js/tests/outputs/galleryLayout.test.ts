/** Tests of the layout of the gallery. */

import { describe, expect, it } from "vitest";
import { layOutRuns } from "../../src/outputs/galleryLayout";
import type { Item, Run } from "../../src/session/protocol";
import { makeRun } from "../model";
import { makeItem } from "./outputs";

describe("the lines of the gallery", () => {
  const makeRuns = (...items: Item[][]): Run[] => items.map((each, index) => makeRun(`r${index}`, { items: each }));

  it("are filled one after the other, and never hold more than their cells", () => {
    const lines = layOutRuns(
      makeRuns([makeItem("a"), makeItem("b")], [makeItem("c"), makeItem("d"), makeItem("e")], [makeItem("t", "text")]),
      4,
    );
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
