/** Where the outputs of runs stand: in lines of equal cells, so that only those in sight need to be in the page. */

import type { Item, Run } from "../session/protocol";

/** Pixels from one cell to the next, the gap included, and between two lines. */
export const CELL = 136;
export const GAP = 8;
const CAPTION_LINE = 16;

/** The outputs of one run on one line; null stands for why it failed. */
export interface Segment {
  run: Run;
  /** The run that ended before it. */
  before: Run | undefined;
  items: (Item | null)[];
  cells: number;
}

export interface Line {
  /** In pixels, from the top of all. */
  top: number;
  height: number;
  /** Lines of text that a caption may have. */
  caption: number;
  segments: Segment[];
}

/** Pictures take a cell, what is read or heard two. */
function cellsOf(item: Item | null): number {
  return item && (item.kind === "image" || item.kind === "video") ? 1 : 2;
}

export function layOut(runs: readonly Run[], columns: number): Line[] {
  const lines: Line[] = [];
  let line: Line | undefined;
  let free = 0;
  for (const [index, run] of runs.entries()) {
    let segment: Segment | undefined;
    for (const item of run.error && run.status === "failed" ? [...run.items, null] : run.items) {
      const cells = Math.min(columns, cellsOf(item));
      if (!line || cells > free) {
        line = { top: 0, height: 0, caption: 0, segments: [] };
        lines.push(line);
        segment = undefined;
        free = columns;
      }
      if (!segment) {
        segment = { run, before: runs[index + 1], items: [], cells: 0 };
        line.segments.push(segment);
      }
      segment.items.push(item);
      segment.cells += cells;
      free -= cells;
    }
  }
  let top = 0;
  for (const each of lines) {
    each.caption = Math.max(...each.segments.map(({ cells }) => Math.max(1, 4 - cells)));
    each.top = top;
    each.height = CELL + each.caption * CAPTION_LINE + GAP;
    top += each.height;
  }
  return lines;
}
