import { describe, expect, it } from "vitest";
import { listPoints, moveAxis, readArrangement, transpose } from "../../src/explorer/state/arrangement";
import { chooseCells, describePoint, findOffset, findRange, layOut, MAX_CELLS } from "../../src/explorer/state/layout";
import { makeAxis, makePoints } from "./points";

const ALL = "c".repeat(24);
const THREE = [makeAxis("model", 2), makeAxis("cfg", 3), makeAxis("seed", 4)];

describe("arrangement", () => {
  it("puts the last axis in columns and the one before in rows; others are sliders", () => {
    expect(readArrangement(undefined, THREE)).toMatchObject({ columns: [2], rows: [1], at: { 0: 0 } });
  });

  it("passes over axes with one value, and whatever is not an arrangement", () => {
    const axes = [makeAxis("cfg", 3), makeAxis("steps", 1), makeAxis("seed", 4)];
    expect(readArrangement({ columns: [1, 9, "x"], rows: {}, size: -3, filter: "toString" }, axes)).toMatchObject({
      columns: [2],
      rows: [0],
      size: 0,
      filter: "all",
    });
  });

  it("swaps what is dropped onto a place with what is there", () => {
    const first = readArrangement(undefined, THREE);
    expect(moveAxis(first, 1, "columns", 0)).toMatchObject({ columns: [1], rows: [2] });
    expect(readArrangement(moveAxis(first, 0, "rows", 0), THREE)).toMatchObject({ rows: [0], at: { 1: 0 } });
    expect(readArrangement(moveAxis(first, 0, "rows", 1), THREE)).toMatchObject({ rows: [1, 0], columns: [2], at: {} });
    expect(readArrangement(moveAxis(first, null, "rows", 0), THREE)).toMatchObject({ rows: [], columns: [2] });
    expect(transpose(first)).toMatchObject({ columns: [1], rows: [2] });
  });

  it("filters and orders by marks", () => {
    const points = makePoints("ccfw", [1, 4 << 2, 0, 0]);
    const list = (change: object) => listPoints(readArrangement(change, [makeAxis("seed", 4)]), points);
    expect(list({ filter: "picked" })).toEqual([0]);
    expect(list({ filter: "rated" })).toEqual([1]);
    expect(list({ filter: "failed" })).toEqual([2]);
    expect(list({ filter: "left" })).toEqual([3]);
    expect(list({ order: "rating" })).toEqual([1, 0, 2, 3]);
  });
});

describe("layout", () => {
  it.each([
    [undefined, 12],
    [{ columns: [2, 0], rows: [1] }, 24],
    [{ columns: [0], rows: [1, 2] }, 24],
    [{ flat: true }, 24],
  ])("finds the point of each cell, and the cell of each point: %j", (kept, count) => {
    const { rows, columns, pointAt, find } = layOut(readArrangement(kept, THREE), THREE, makePoints(ALL), 1, 900);
    const places = Array.from({ length: rows.count * columns.count }, (_, index): [number, number] => [
      Math.floor(index / columns.count),
      index % columns.count,
    ]);
    const shown = places.filter(([row, column]) => pointAt(row, column) >= 0);
    expect(new Set(shown.map(([row, column]) => pointAt(row, column))).size).toBe(count);
    for (const [row, column] of shown) expect(find(pointAt(row, column))).toEqual([row, column]);
  });

  it("shows the slider's value", () => {
    const layout = layOut(readArrangement({ at: { 0: 1 } }, THREE), THREE, makePoints(ALL), 1, 900);
    expect(layout.pointAt(0, 0)).toBe(12);
    expect(layout.find(3)).toBeUndefined();
    expect(describePoint(17, THREE)).toEqual([
      ["model", "model 1"],
      ["cfg", "cfg 1"],
      ["seed", "seed 1"],
    ]);
  });

  it("finds the tracks between two offsets, with and without groups", () => {
    const layout = layOut(
      readArrangement({ columns: [0, 2], rows: [1], size: 100 }, THREE),
      THREE,
      makePoints(""),
      1,
      900,
    );
    const { columns } = layout;
    for (let column = 0; column < columns.count; column++) {
      const offset = findOffset(columns, column, 100);
      expect(findRange(columns, 100, offset, offset + 99)).toEqual({ first: column, end: column + 1 });
    }
  });

  it("has at most 400 cells in the page, and those in sight before all others", () => {
    const axes = [makeAxis("a", 100), makeAxis("b", 100)];
    const layout = layOut(readArrangement({ size: 56 }, axes), axes, makePoints("c".repeat(10_000)), 1, 1500);
    const sight = { rows: { first: 40, end: 53 }, columns: { first: 20, end: 44 } };
    const { rows, columns } = chooseCells(sight.rows, sight.columns, layout);
    expect((rows.end - rows.first) * (columns.end - columns.first)).toBeLessThanOrEqual(MAX_CELLS);
    expect(rows.first).toBeLessThanOrEqual(40);
    expect(columns.first).toBeLessThanOrEqual(20);
    expect(columns.end).toBeGreaterThanOrEqual(44);
    expect(rows.end).toBeGreaterThanOrEqual(53);
  });
});
