/** Where each point is, in pixels. It is only arithmetic, so that ten thousand points cost nothing. */

import { clamp } from "../../number";
import { type Arrangement, isFlat, listPoints, MAX_SIZE, MIN_SIZE } from "./arrangement";
import type { Points } from "./points";
import type { AxisInfo, Label } from "./protocol";

/** Pixels between cells, and between groups of the outer axis. */
export const GAP = 4;
const GROUP_GAP = 14;
/** Pixels of a line of the caption below a cell without row and column. */
const CAPTION_LINE = 15;
const MAX_CAPTION_LINES = 3;
/** Pixels of a line of column labels. */
export const LABEL_LINE = 24;
/** The largest height of a grid, as a part of the window's. */
export const MAX_HEIGHT = 0.72;
/** Most cells in the page. */
export const MAX_CELLS = 400;
/** The widest cell that is chosen where all columns fit, and the narrowest one with which all rows are to fit. */
const MAX_FITTED = 240;
const MIN_FITTED = 128;
/** The widest cell where the rows don't fit. */
const SCROLLED = 180;
const FLAT_SIZE = 168;

/** A label over several columns or rows. */
export interface Group {
  label: string;
  from: number;
  count: number;
}

/** One direction of a grid. */
export interface Tracks {
  count: number;
  /** Tracks of each value of the outer axis. */
  inner: number;
  labels: string[];
  groups: Group[];
}

export interface Layout {
  flat: boolean;
  columns: Tracks;
  rows: Tracks;
  /** Pixels of a cell. */
  width: number;
  height: number;
  /** Pixels of the caption at its foot. */
  caption: number;
  /** Pixels of the row labels, and of the outer row labels beside them. */
  labelWidth: number;
  groupWidth: number;
  /** Pixels of the column labels. */
  headHeight: number;
  /** Pixels of all cells. */
  totalWidth: number;
  totalHeight: number;
  pointAt(row: number, column: number): number;
  find(point: number): [number, number] | undefined;
}

export interface Range {
  first: number;
  /** Past the last one. */
  end: number;
}

/** Return the text of a label. */
export function formatLabel(label: Label | undefined, names: readonly string[] = []): string {
  if (!Array.isArray(label)) return label ?? "";
  return label.flatMap((each, index) => (each === null ? [] : [`${names[index]} ${each}`])).join(", ");
}

/** Return the values of a point on all axes that have several, as pairs of name and value. */
export function describePoint(point: number, axes: readonly AxisInfo[]): [string, string][] {
  const found: [string, string][] = [];
  const position = findPosition(point, axes);
  for (const [index, axis] of axes.entries()) {
    const label = axis.labels[position[index] ?? 0];
    if (axis.labels.length < 2 && axes.length > 1) continue;
    if (Array.isArray(label))
      label.forEach((each, at) => {
        if (each !== null) found.push([axis.names[at] ?? "", each]);
      });
    else found.push([axis.names[0] ?? "", label ?? ""]);
  }
  return found;
}

/** Return where a point is on each axis. */
export function findPosition(point: number, axes: readonly AxisInfo[]): number[] {
  return findStrides(axes).map((stride, index) => Math.floor(point / stride) % (axes[index]?.labels.length ?? 1));
}

/** Return the number of points between two neighbours on each axis: the last axis varies fastest. */
function findStrides(axes: readonly AxisInfo[]): number[] {
  return axes.map((_, index) => axes.slice(index + 1).reduce((stride, { labels }) => stride * labels.length, 1));
}

/** Return the length of some tracks in pixels, without a gap at their end. */
export function measureTracks(count: number, size: number): number {
  return count * (size + GAP) - GAP;
}

/** Return the offset of a track in pixels. */
export function findOffset(tracks: Tracks, track: number, size: number): number {
  return track * (size + GAP) + (tracks.groups.length > 0 ? Math.floor(track / tracks.inner) * GROUP_GAP : 0);
}

/** Return the tracks that are between two offsets. */
export function findRange(tracks: Tracks, size: number, from: number, to: number): Range {
  const group = tracks.inner * (size + GAP) + (tracks.groups.length > 0 ? GROUP_GAP : 0);
  const locate = (offset: number) => {
    const outer = Math.max(0, Math.floor(offset / group));
    return outer * tracks.inner + clamp(Math.floor((offset - outer * group) / (size + GAP)), 0, tracks.inner - 1);
  };
  return { first: clamp(locate(from), 0, tracks.count), end: clamp(locate(Math.max(0, to)) + 1, 0, tracks.count) };
}

/** Return the tracks in sight from an offset on: as many at every offset, so that their cells can be used again. */
export function findSight(tracks: Tracks, size: number, from: number, view: number): Range {
  const length = Math.ceil(view / (size + GAP)) + 1;
  return place(findRange(tracks, size, from, from).first, length, tracks.count);
}

function place(first: number, length: number, count: number): Range {
  const start = clamp(first, 0, Math.max(0, count - length));
  return { first: start, end: Math.min(count, start + length) };
}

/** Return a range with `more` tracks around it. */
function extend({ first, end }: Range, more: number, count: number): Range {
  return place(first - Math.floor(more / 2), end - first + more, count);
}

/**
 * Return the rows and columns that are in the page: those in sight, and as much of a screen around them as fits into
 * the number of cells. Their number is the same wherever the grid is scrolled to.
 */
export function chooseCells(rows: Range, columns: Range, layout: Layout): { rows: Range; columns: Range } {
  const [high, seen] = [rows.end - rows.first, columns.end - columns.first];
  const sides = high * (seen + 4) <= MAX_CELLS ? 4 : 0;
  const wide = extend(columns, sides, layout.columns.count);
  const room = Math.floor(MAX_CELLS / Math.max(1, wide.end - wide.first)) - high;
  return { rows: extend(rows, clamp(room, 0, 2 * high), layout.rows.count), columns: wide };
}

const NO_TRACKS: Tracks = { count: 0, inner: 1, labels: [], groups: [] };

function buildTracks(chosen: readonly number[], axes: readonly AxisInfo[]): Tracks {
  const [outer, inner] = chosen.length > 1 ? chosen : [undefined, chosen[0]];
  const innerAxis = inner === undefined ? undefined : axes[inner];
  const innerLabels = innerAxis ? innerAxis.labels.map((label) => formatLabel(label, innerAxis.names)) : [""];
  const outerAxis = outer === undefined ? undefined : axes[outer];
  if (!outerAxis) return { count: innerLabels.length, inner: innerLabels.length, labels: innerLabels, groups: [] };
  const groups = outerAxis.labels.map((label, index) => ({
    label: formatLabel(label, outerAxis.names),
    from: index * innerLabels.length,
    count: innerLabels.length,
  }));
  const labels = groups.flatMap(() => innerLabels);
  return { count: labels.length, inner: innerLabels.length, labels, groups };
}

/** Return pixels that a label of the longest of some texts takes. */
function measureLabels(labels: readonly string[], least: number, most: number): number {
  const longest = labels.reduce((length, label) => Math.max(length, label.length), 0);
  return clamp(Math.ceil(longest * 7.2) + 18, least, most);
}

/** Return the pixels of captions: as many lines as the longest values of the first points take. */
function measureCaption(axes: readonly AxisInfo[], width: number): number {
  let longest = 0;
  for (let point = 0; point < 64; point++) {
    const length = describePoint(point, axes).reduce((sum, pair) => sum + pair.join(" ").length + 1, 0);
    longest = Math.max(longest, length);
  }
  return 4 + CAPTION_LINE * clamp(Math.ceil((longest * 6.4) / width), 1, MAX_CAPTION_LINES);
}

/** Points under one heading. */
export interface Section {
  label: string;
  points: readonly number[];
}

interface Shape {
  /** Pixels of a cell's width, which may be larger where it fits the lines. */
  size: number;
  fits: boolean;
  available: number;
  /** Pixels of the headings beside the cells; 0 for none. */
  gutter: number;
  toHeight(width: number): number;
  /** Returns the pixels of a caption. */
  measure(width: number): number;
}

/** Lay out points in lines, one after the other; each section begins a line. */
export function layOutLines(sections: readonly Section[], shape: Shape): Layout {
  const room = shape.available - shape.gutter;
  const perLine = Math.max(1, Math.floor((room + GAP) / (shape.size + GAP)));
  const width = shape.fits ? Math.floor((room + GAP) / perLine) - GAP : shape.size;
  const lines: (readonly number[])[] = [];
  const places = new Map<number, [number, number]>();
  const groups = sections.map(({ label, points }) => {
    const from = lines.length;
    for (let start = 0; start < points.length; start += perLine) {
      const line = points.slice(start, start + perLine);
      for (const [column, point] of line.entries()) places.set(point, [lines.length, column]);
      lines.push(line);
    }
    return { label, from, count: lines.length - from };
  });
  const caption = shape.measure(width);
  const height = shape.toHeight(width) + caption;
  return {
    flat: true,
    columns: { ...NO_TRACKS, count: perLine, inner: perLine },
    // All lines are inner ones, so that there are no gaps between sections.
    rows: { ...NO_TRACKS, count: lines.length, inner: lines.length + 1, groups: shape.gutter > 0 ? groups : [] },
    width,
    height,
    caption,
    labelWidth: 0,
    groupWidth: shape.gutter,
    headHeight: 0,
    totalWidth: measureTracks(perLine, width),
    totalHeight: Math.max(0, measureTracks(lines.length, height)),
    pointAt: (row, column) => lines[row]?.[column] ?? -1,
    find: (point) => places.get(point),
  };
}

/** Return the width of a cell below which a large window would show more cells than the page has. */
function findLeastSize(available: number, ratio: number): number {
  return Math.floor(Math.sqrt((available * innerHeight * MAX_HEIGHT * ratio) / (0.75 * MAX_CELLS)));
}

/** Lay out the points in a page that is `available` pixels wide. */
export function layOut(
  arrangement: Arrangement,
  axes: readonly AxisInfo[],
  points: Points,
  ratio: number,
  available: number,
): Layout {
  const toHeight = (width: number) => Math.round(clamp(width / ratio, width / 2.5, width * 2));
  if (isFlat(arrangement, axes)) {
    const list = listPoints(arrangement, points);
    const wanted = Math.min(
      Math.max(arrangement.size || FLAT_SIZE, findLeastSize(available, ratio)),
      Math.max(MIN_SIZE, available),
    );
    const shape = { size: wanted, fits: !arrangement.size, available, gutter: 0, toHeight };
    return layOutLines([{ label: "", points: list }], { ...shape, measure: (width) => measureCaption(axes, width) });
  }
  const columns = buildTracks(arrangement.columns, axes);
  const rows = buildTracks(arrangement.rows, axes);
  const labelWidth = arrangement.rows.length > 0 ? measureLabels(rows.labels, 44, Math.min(180, available / 4)) : 0;
  const groupWidth = rows.groups.length > 0 ? 28 : 0;
  const gaps = columns.groups.length > 0 ? (columns.groups.length - 1) * GROUP_GAP : 0;
  const fitted = (available - labelWidth - groupWidth - gaps - 12) / columns.count - GAP;
  const tallest = (innerHeight * MAX_HEIGHT - 2 * LABEL_LINE) / Math.max(rows.count, 1) - GAP;
  const tall = (tallest * 100) / toHeight(100);
  const whole = Math.min(fitted, tall < MIN_FITTED ? SCROLLED : tall);
  const width = Math.max(arrangement.size || Math.floor(clamp(whole, 88, MAX_FITTED)), findLeastSize(available, ratio));
  const height = toHeight(width);
  const strides = findStrides(axes);
  let base = 0;
  for (const [axis, value] of Object.entries(arrangement.at)) base += value * (strides[Number(axis)] ?? 0);
  const locate = (chosen: readonly number[], tracks: Tracks, track: number) => {
    const places = chosen.length > 1 ? [Math.floor(track / tracks.inner), track % tracks.inner] : [track];
    return chosen.reduce((sum, axis, level) => sum + (places[level] ?? 0) * (strides[axis] ?? 0), 0);
  };
  return {
    flat: false,
    columns,
    rows,
    width,
    height,
    caption: 0,
    labelWidth,
    groupWidth,
    headHeight: LABEL_LINE * ((columns.groups.length > 0 ? 1 : 0) + (arrangement.columns.length > 0 ? 1 : 0)),
    totalWidth: findOffset(columns, columns.count - 1, width) + width,
    totalHeight: findOffset(rows, rows.count - 1, height) + height,
    pointAt: (row, column) =>
      row >= 0 && row < rows.count && column >= 0 && column < columns.count
        ? base + locate(arrangement.rows, rows, row) + locate(arrangement.columns, columns, column)
        : -1,
    find: (point) => {
      const position = findPosition(point, axes);
      for (const [axis, value] of Object.entries(arrangement.at))
        if (position[Number(axis)] !== value) return undefined;
      const place = (chosen: readonly number[], tracks: Tracks) =>
        chosen.reduce((track, axis) => track * tracks.inner + (position[axis] ?? 0), 0);
      return [place(arrangement.rows, rows), place(arrangement.columns, columns)];
    },
  };
}

/** Return the next size of the cells: larger or smaller by a fifth. */
export function stepSize(size: number, up: boolean): number {
  return clamp(Math.round(up ? size * 1.2 : size / 1.2), MIN_SIZE, MAX_SIZE);
}
