/** Lists the points of a layout in the order in which they are read: row by row. */

import type { Layout, Range } from "./layout";

/** List the points of some rows and columns, or of all. */
export function listCells(
  layout: Layout,
  rows: Range = { first: 0, end: layout.rows.count },
  columns: Range = { first: 0, end: layout.columns.count },
): number[] {
  const found: number[] = [];
  for (let row = rows.first; row < rows.end; row++)
    for (let column = columns.first; column < columns.end; column++) {
      const point = layout.pointAt(row, column);
      if (point >= 0) found.push(point);
    }
  return found;
}

/** List the points of one row. */
export function listRow(layout: Layout, row: number): number[] {
  return listCells(layout, { first: row, end: row + 1 });
}

/** List the points of the rectangle between two points; in lines, all points from one to the other. */
export function listBetween(layout: Layout, from: number, to: number): number[] {
  const [start, end] = [layout.find(from), layout.find(to)];
  if (!start || !end) return [to];
  const span = (at: 0 | 1): Range => ({ first: Math.min(start[at], end[at]), end: Math.max(start[at], end[at]) + 1 });
  if (!layout.flat) return listCells(layout, span(0), span(1));
  const lines = listCells(layout, span(0));
  const [one, other] = [lines.indexOf(from), lines.indexOf(to)];
  return lines.slice(Math.min(one, other), Math.max(one, other) + 1);
}
