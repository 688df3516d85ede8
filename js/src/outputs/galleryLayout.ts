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

/** The outputs of one run on one line; null stands for the run's error. */
export interface Segment {
  run: Run;
  /** The run before it in time. */
  previous: Run | undefined;
  items: (Item | null)[];
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

/** Lay out runs, the newest first, in lines of `columns` cells. */
export function layOutRuns(runs: readonly Run[], columns: number): Line[] {
  const lines: Line[] = [];
  let line: Line | undefined;
  let free = 0;
  for (const [index, run] of runs.entries()) {
    let segment: Segment | undefined;
    for (const item of listTiles(run)) {
      const cells = Math.min(columns, countCells(item));
      if (!line || cells > free) {
        line = { top: 0, height: 0, captionLines: 0, segments: [] };
        lines.push(line);
        segment = undefined;
        free = columns;
      }
      if (!segment) {
        segment = { run, previous: runs[index + 1], items: [], cells: 0 };
        line.segments.push(segment);
      }
      segment.items.push(item);
      segment.cells += cells;
      free -= cells;
    }
  }
  placeLines(lines);
  return lines;
}

/** List the items of a run, and null for the error of a failed run. */
function listTiles(run: Run): (Item | null)[] {
  return run.error && run.status === "failed" ? [...run.items, null] : run.items;
}

/** Count the cells of an item: one for an image or video, two for what is read or heard. */
function countCells(item: Item | null): number {
  return item && isVisual(item) ? 1 : 2;
}

function placeLines(lines: Line[]): void {
  let top = 0;
  for (const line of lines) {
    line.captionLines = Math.max(...line.segments.map(({ cells }) => Math.max(1, MAX_CAPTION_LINES - cells)));
    line.top = top;
    line.height = CELL + line.captionLines * CAPTION_LINE + GAP;
    top += line.height;
  }
}
