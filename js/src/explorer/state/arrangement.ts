/** Where each axis is: columns, rows, or a slider; and which points are shown, in which order. */

import { clamp } from "../../number";
import type { Points } from "./points";
import type { AxisInfo } from "./protocol";

/** Axes that one direction has: an outer and an inner one. */
export const MAX_NESTED = 2;
/** Pixels of a cell's width. */
export const MIN_SIZE = 56;
export const MAX_SIZE = 384;

export type Filter = "all" | "done" | "picked" | "rated" | "unrated" | "rejected" | "failed" | "left";
export type Order = "axes" | "rating";

export interface Arrangement {
  /** The axes of the columns and rows by number, the outer one first. */
  columns: number[];
  rows: number[];
  /** The value of each axis that is a slider. */
  at: Record<string, number>;
  filter: Filter;
  order: Order;
  /** Whether the points are in lines, without axes. */
  flat: boolean;
  /** Pixels of a cell's width; 0 fits the columns into the page. */
  size: number;
}

/** Returns whether a point passes each filter. */
const FILTERS: Record<Filter, (points: Points, point: number) => boolean> = {
  all: () => true,
  done: (points, point) => points.isDone(point),
  picked: (points, point) => points.isPicked(point),
  rated: (points, point) => points.getMarks(point).rating > 0,
  unrated: (points, point) => points.isDone(point) && (points.getMarkByte(point) & 0x1f) === 0,
  rejected: (points, point) => points.getMarks(point).rejected,
  failed: (points, point) => points.getState(point) === "failed",
  left: (points, point) => ["waiting", "running", "lost"].includes(points.getState(point)),
};

/** Return the axes with several values, by number: the others say nothing. */
export function findFreeAxes(axes: readonly AxisInfo[]): number[] {
  return axes.map((_, index) => index).filter((index) => (axes[index]?.labels.length ?? 0) > 1);
}

/** Return a valid arrangement from stored data, which may be anything. */
export function readArrangement(kept: unknown, axes: readonly AxisInfo[]): Arrangement {
  const given = (typeof kept === "object" && kept !== null ? kept : {}) as Partial<Arrangement>;
  const free = findFreeAxes(axes);
  const used = new Set<number>();
  const take = (list: unknown) =>
    (Array.isArray(list) ? list : [])
      .filter((axis) => free.includes(axis) && !used.has(axis) && used.add(axis))
      .slice(0, MAX_NESTED);
  let columns = take(given.columns);
  let rows = take(given.rows);
  if (columns.length === 0 && rows.length === 0) {
    columns = free.slice(-1);
    rows = free.slice(-2, -1);
  }
  const at: Record<string, number> = {};
  for (const axis of free) {
    if (columns.includes(axis) || rows.includes(axis)) continue;
    const value = Number(given.at?.[axis]);
    at[axis] = clamp(Number.isInteger(value) ? value : 0, 0, (axes[axis]?.labels.length ?? 1) - 1);
  }
  return {
    columns,
    rows,
    at,
    filter: given.filter && Object.hasOwn(FILTERS, given.filter) ? given.filter : "all",
    order: given.order === "rating" ? "rating" : "axes",
    flat: given.flat === true,
    size: Number(given.size) > 0 ? clamp(Number(given.size), MIN_SIZE, MAX_SIZE) : 0,
  };
}

/** Return whether the points are in lines: they are chosen or ordered by marks, or there is nothing to cross. */
export function isFlat({ filter, order, flat }: Arrangement, axes: readonly AxisInfo[]): boolean {
  return flat || filter !== "all" || order !== "axes" || findFreeAxes(axes).length < 2;
}

/** List the points that pass the filter, in their order. */
export function listPoints({ filter, order }: Arrangement, points: Points): number[] {
  const found = points.list().filter((point) => FILTERS[filter](points, point));
  if (order === "rating") {
    const rank = (point: number) => {
      const { rejected, rating, star } = points.getMarks(point);
      return rejected ? -1 : 2 * rating + Number(star);
    };
    found.sort((one, other) => rank(other) - rank(one) || one - other);
  }
  return found;
}

export type Place = "columns" | "rows";

/** Put an axis at a place, and swap it with the one there. Null makes the axis at that place a slider. */
export function moveAxis(old: Arrangement, axis: number | null, place: Place, level: number): Arrangement {
  const lists = { columns: [...old.columns], rows: [...old.rows] };
  const there = lists[place][level];
  if (axis === null) {
    lists[place].splice(level, 1);
    return { ...old, ...lists };
  }
  for (const list of [lists.columns, lists.rows]) {
    const index = list.indexOf(axis);
    if (index < 0) continue;
    if (there !== undefined) list[index] = there;
    else list.splice(index, 1);
  }
  lists[place][Math.min(level, lists[place].length)] = axis;
  return { ...old, columns: dropTwice(lists.columns), rows: dropTwice(lists.rows) };
}

function dropTwice(list: number[]): number[] {
  return [...new Set(list)];
}

/** Swap rows and columns. */
export function transpose(old: Arrangement): Arrangement {
  return { ...old, columns: old.rows, rows: old.columns };
}
