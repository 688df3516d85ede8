/** Lays out the outputs of runs in lines of equal cells, so that only the visible lines need to be in the page. */

import type { Item, Run } from "../session/protocol";
import { isVisual } from "./runs";

/** Pixels from one cell to the next, the gap included. */
export const CELL = 136;
/** Pixels between cells and between lines. */
export const GAP = 8;
/** Pixels of a line of a caption. */
const CAPTION_LINE = 16;
/** Lines of text that a caption gets; one line less for each cell of its segment, but at least one. */
const MAX_CAPTION_LINES = 4;
/** Pixels of the line with the texts of a run. */
const TEXT_LINE = 24;

/** The outputs of one run on one line; null stands for the run's error. */
export interface Segment {
  run: Run;
  /** The run before it in time. */
  previous: Run | undefined;
  items: (Item | null)[];
  /** The texts that stand below the images, on one line. */
  texts: Item[];
  cells: number;
}

export interface Line {
  /** In pixels, from the top of the gallery. */
  top: number;
  height: number;
  /** Lines of text that the captions have room for. */
  captionLines: number;
  segments: Segment[];
}

/**
 * Lay out runs, the newest first, in lines of `columns` cells.
 *
 * A run stays on one line unless it is longer than a line.
 */
export function layOutRuns(runs: readonly Run[], columns: number): Line[] {
  const lines: Line[] = [];
  let free = 0;
  for (const [index, run] of runs.entries()) {
    const { tiles, texts } = sortItems(run);
    if (countCells(tiles, columns) > free) free = 0;
    for (const segment of splitTiles(tiles, columns, free)) {
      if (segment.cells > free) {
        lines.push({ top: 0, height: 0, captionLines: 0, segments: [] });
        free = columns;
      }
      const isFirst = segment.items[0] === tiles[0];
      lines.at(-1)?.segments.push({ run, previous: runs[index + 1], texts: isFirst ? texts : [], ...segment });
      free -= segment.cells;
    }
  }
  placeLines(lines);
  return lines;
}

/** Split the tiles of a run into as many as fit on each line, or all of them if they fit into the free cells. */
function splitTiles(tiles: readonly (Item | null)[], columns: number, free: number) {
  const parts: Pick<Segment, "items" | "cells">[] = [];
  let left = 0;
  for (const item of tiles) {
    const cells = countCells([item], columns);
    let part = parts.at(-1);
    if (!part || cells > left) {
      part = { items: [], cells: 0 };
      left = parts.length === 0 && free > 0 ? free : columns;
      parts.push(part);
    }
    part.items.push(item);
    part.cells += cells;
    left -= cells;
  }
  return parts;
}

/** Return the height of `runs` more runs like the last one, in pixels. */
export function measureMore(lines: readonly Line[], columns: number, runs: number): number {
  const newest = lines[0]?.segments[0];
  const perLine = Math.max(1, Math.floor(columns / (newest?.cells ?? 1)));
  const height = lines[0]?.height ?? CELL + (MAX_CAPTION_LINES - 1) * CAPTION_LINE + GAP;
  // The newest stands first, so that the last line is the one that is not full.
  const last = lines.at(-1);
  const free = last ? perLine - last.segments.length : 0;
  return Math.ceil(Math.max(0, runs - free) / perLine) * height;
}

/** Separate the items that get a tile from the texts below them; null stands for the error of a failed run. */
function sortItems(run: Run): { tiles: (Item | null)[]; texts: Item[] } {
  const media = run.items.filter(({ kind }) => kind !== "text");
  const texts = run.items.filter(({ kind }) => kind === "text");
  const error = run.error && run.status === "failed" ? [null] : [];
  // A run of texts only has nothing that they could stand below.
  return media.length > 0 ? { tiles: [...media, ...error], texts } : { tiles: [...texts, ...error], texts: [] };
}

/** Count cells: one for an image or video, two for what is read or heard. */
function countCells(items: readonly (Item | null)[], columns: number): number {
  return items.reduce((sum, item) => sum + (item && isVisual(item) ? 1 : Math.min(columns, 2)), 0);
}

function placeLines(lines: Line[]): void {
  let top = 0;
  for (const line of lines) {
    line.captionLines = Math.max(...line.segments.map(({ cells }) => Math.max(1, MAX_CAPTION_LINES - cells)));
    const hasTexts = line.segments.some(({ texts }) => texts.length > 0);
    line.top = top;
    line.height = CELL + line.captionLines * CAPTION_LINE + (hasTexts ? TEXT_LINE : 0) + GAP;
    top += line.height;
  }
}
