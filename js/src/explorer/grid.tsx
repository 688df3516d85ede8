/** The grid: its labels stay in sight, and only the cells in sight and around them are in the page. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "../buttons";
import { listen, observeSize } from "../listen";
import { isEqual } from "../session/protocol";
import { buildCellId, Cell } from "./cell";
import { listBetween, listCells } from "./state/cells";
import type { Explorer } from "./state/explorer";
import {
  chooseCells,
  findOffset,
  findSight,
  LABEL_LINE,
  type Layout,
  MAX_HEIGHT,
  measureTracks,
  type Range,
  type Tracks,
} from "./state/layout";

/** Pixels that the grid may be high in any window. */
const LEAST_HEIGHT = 320;
/** Pixels of a scroll bar. */
const SCROLL_BAR = 16;
/** Milliseconds without a scroll after which the grid is at rest. */
const REST = 120;
/** Milliseconds between two renderings of a grid that moves by more than half of what is in sight. */
const FAST = 80;

interface GridProps {
  explorer: Explorer;
  layout: Layout;
  uid: string;
  onKeyDown(event: KeyboardEvent): void;
  onOpen(point: number): void;
  /** Leaves out the value that a point has on the axis of the rows or columns, where that is possible. */
  onRemove: OnRemove | undefined;
  /** Called with the points in sight and those around them, and whether the grid is at rest. */
  onSight(visible: number[], around: number[], resting: boolean): void;
}

type OnRemove = (place: "rows" | "columns", point: number) => void;

interface Sight {
  rows: Range;
  columns: Range;
  /** Whether the grid moves so fast that only what is in sight is rendered. */
  fast: boolean;
}

const NO_SIGHT: Sight = { rows: { first: 0, end: 8 }, columns: { first: 0, end: 12 }, fast: false };

/** The grid of an explorer. It has the focus; the point that keys act on is its active descendant. */
export function Grid({ explorer, layout, uid, onKeyDown, onOpen, onRemove, onSight }: GridProps) {
  const box = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState(NO_SIGHT);
  const moving = useRef(false);
  const pictureHeight = layout.height - layout.caption;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let shown = NO_SIGHT;
    let shownAt = 0;
    const find = (): Sight => {
      const { width, height } = measureView(element, layout);
      return {
        rows: findSight(layout.rows, layout.height, element.scrollTop, height),
        columns: findSight(layout.columns, layout.width, element.scrollLeft, width),
        fast: false,
      };
    };
    const show = (next: Sight) => {
      [shown, shownAt] = [next, performance.now()];
      setSight((old) => (isEqual(old, next) ? old : next));
    };
    const rest = () => {
      moving.current = false;
      show(find());
      setSight((old) => ({ ...old }));
    };
    const onScroll = () => {
      moving.current = true;
      clearTimeout(timer);
      timer = setTimeout(rest, REST);
      const next = find();
      next.fast = isFar(shown.rows, next.rows) || isFar(shown.columns, next.columns);
      if (!next.fast || performance.now() - shownAt > FAST) show(next);
    };
    show(find());
    const stops = [
      observeSize(element, () => show(find())),
      listen(element, "scroll", onScroll, { passive: true }),
      () => clearTimeout(timer),
    ];
    return () => {
      moving.current = false;
      for (const stop of stops) stop();
    };
  }, [layout]);

  const { rows, columns } = sight.fast ? sight : chooseCells(sight.rows, sight.columns, layout);
  useLayoutEffect(() => {
    const visible = listCells(layout, sight.rows, sight.columns);
    if (!sight.fast) onSight(visible, listCells(layout, rows, columns), !moving.current);
  });
  useLayoutEffect(() => {
    if (box.current) scrollToPoint(box.current, layout, explorer.focused);
  }, [explorer.focused, explorer.reveals]);

  const side = layout.labelWidth + layout.groupWidth;
  const onPointer = (event: MouseEvent) => {
    const point = findPoint(event);
    if (point === undefined) return;
    if (event.ctrlKey || event.metaKey) explorer.toggleSelected(point);
    else if (event.shiftKey) explorer.select(listBetween(layout, explorer.focused, point));
    else if (explorer.selected.size > 0) explorer.select([]);
    if (!event.shiftKey) explorer.focus(point);
  };
  const rowIndices = listTracks(rows);
  const columnIndices = listTracks(columns);
  const maxHeight = Math.max(LEAST_HEIGHT, Math.round(innerHeight * MAX_HEIGHT));
  const hasBar = side + layout.totalWidth > (box.current?.clientWidth ?? Number.POSITIVE_INFINITY);
  const height = Math.min(maxHeight, layout.headHeight + layout.totalHeight + 2 + (hasBar ? SCROLL_BAR : 0));
  return (
    <div
      ref={box}
      class="ck-x-grid"
      role="grid"
      tabIndex={0}
      aria-label={`Points of ${explorer.about.name}`}
      aria-rowcount={layout.rows.count}
      aria-colcount={layout.columns.count}
      aria-multiselectable="true"
      aria-activedescendant={layout.find(explorer.focused) ? buildCellId(uid, explorer.focused) : undefined}
      style={{ height: `${height}px` }}
      onKeyDown={onKeyDown}
      onClick={onPointer}
      onDblClick={(event) => {
        const point = findPoint(event);
        if (point !== undefined) onOpen(point);
      }}
    >
      {layout.headHeight > 0 && (
        <ColumnLabels layout={layout} side={side} columns={columnIndices} onRemove={onRemove} />
      )}
      <div
        class="ck-x-body"
        role="rowgroup"
        style={{ width: `${side + layout.totalWidth}px`, height: `${layout.totalHeight}px` }}
      >
        {layout.groupWidth > 0 && <RowGroups layout={layout} rows={rows} />}
        {rowIndices.map((row) => (
          // The cells of a row that has gone out of sight become those of one that comes into sight.
          <div
            key={row % rowIndices.length}
            role="row"
            aria-rowindex={row + 1}
            class="ck-x-row"
            style={{ top: `${findOffset(layout.rows, row, layout.height)}px`, height: `${layout.height}px` }}
          >
            {layout.labelWidth > 0 && (
              <TrackLabel
                what="row"
                tracks={layout.rows}
                track={row}
                style={{ width: `${layout.labelWidth}px`, left: `${layout.groupWidth}px` }}
                onRemove={onRemove && (() => onRemove("rows", layout.pointAt(row, 0)))}
              />
            )}
            {columnIndices.map((column) => {
              const point = layout.pointAt(row, column);
              return (
                point >= 0 && (
                  <Cell
                    key={column % columnIndices.length}
                    explorer={explorer}
                    uid={uid}
                    point={point}
                    column={column + 1}
                    left={side + findOffset(layout.columns, column, layout.width)}
                    width={layout.width}
                    height={pictureHeight}
                    caption={layout.caption}
                  />
                )
              );
            })}
          </div>
        ))}
      </div>
    </div>
  );
}

interface ColumnLabelsProps {
  layout: Layout;
  side: number;
  columns: number[];
  onRemove: OnRemove | undefined;
}

function ColumnLabels({ layout, side, columns, onRemove }: ColumnLabelsProps) {
  const { groups } = layout.columns;
  const [first = 0, last = 0] = [columns[0], columns.at(-1)];
  const labelTop = groups.length > 0 ? LABEL_LINE : 0;
  return (
    <div
      role="row"
      class="ck-x-head"
      style={{ width: `${side + layout.totalWidth}px`, height: `${layout.headHeight}px` }}
    >
      <div class="ck-x-corner" style={{ width: `${side}px` }} />
      {groups
        .filter(({ from, count }) => from <= last && from + count > first)
        .map(({ label, from, count }) => (
          <div
            key={from}
            role="columnheader"
            aria-colspan={count}
            class="ck-x-label ck-x-group"
            title={label}
            style={{
              left: `${side + findOffset(layout.columns, from, layout.width)}px`,
              width: `${measureTracks(count, layout.width)}px`,
            }}
          >
            <span style={{ left: `${side}px` }}>{label}</span>
          </div>
        ))}
      {columns.map((column) => (
        <TrackLabel
          key={`c${column % columns.length}`}
          what="column"
          tracks={layout.columns}
          track={column}
          style={{
            top: `${labelTop}px`,
            left: `${side + findOffset(layout.columns, column, layout.width)}px`,
            width: `${layout.width}px`,
          }}
          onRemove={onRemove && (() => onRemove("columns", layout.pointAt(0, column)))}
        />
      ))}
    </div>
  );
}

interface TrackLabelProps {
  what: "row" | "column";
  tracks: Tracks;
  track: number;
  style: Record<string, string>;
  /** Leaves the value out, where that is possible. */
  onRemove: (() => void) | undefined;
}

/** The label of a row or column. The key Delete does the same as its button, so that Tab goes past it. */
function TrackLabel({ what, tracks, track, style, onRemove }: TrackLabelProps) {
  const { labels, groups, inner } = tracks;
  const label = labels[track];
  const attributes = {
    role: `${what}header` as const,
    "aria-label": [groups[Math.floor(track / inner)]?.label, label].filter(Boolean).join(", "),
    ...(what === "column" && { "aria-colindex": track + 1 }),
  };
  return (
    <div class="ck-x-label" style={style} title={label} {...attributes}>
      <span>{label}</span>
      {onRemove && (
        <Button
          class="ck-quiet ck-x-leave"
          tabIndex={-1}
          aria-label={`Leave this ${what} out`}
          title={`Leave this ${what} out; its runs are kept`}
          onClick={(event) => {
            event.stopPropagation();
            onRemove();
          }}
        >
          ✕
        </Button>
      )}
    </div>
  );
}

/** The labels of the outer axis of the rows, upright beside their rows. */
function RowGroups({ layout, rows }: { layout: Layout; rows: Range }) {
  return (
    <div class="ck-x-row-groups" aria-hidden="true">
      {layout.rows.groups
        .filter(({ from, count }) => from < rows.end && from + count > rows.first)
        .map(({ label, from, count }) => (
          <div
            key={from}
            class="ck-x-row-group"
            title={label}
            style={{
              top: `${findOffset(layout.rows, from, layout.height)}px`,
              height: `${measureTracks(count, layout.height)}px`,
              width: `${layout.groupWidth}px`,
            }}
          >
            <span>{label}</span>
          </div>
        ))}
    </div>
  );
}

function listTracks({ first, end }: Range): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
}

/** Return whether a range has moved by more than half of its length. */
function isFar(one: Range, other: Range): boolean {
  return 2 * Math.abs(other.first - one.first) > other.end - other.first;
}

function findPoint(event: MouseEvent): number | undefined {
  const cell = (event.target as Element).closest<HTMLElement>("[data-point]");
  return cell ? Number(cell.dataset.point) : undefined;
}

/** Scroll just as far as a point needs to be in sight as a whole. */
function scrollToPoint(box: HTMLElement, layout: Layout, point: number): void {
  const place = layout.find(point);
  if (!place) return;
  const top = findOffset(layout.rows, place[0], layout.height);
  const left = findOffset(layout.columns, place[1], layout.width);
  const view = measureView(box, layout);
  box.scrollTop = findScroll(box.scrollTop, view.height, top, layout.height);
  box.scrollLeft = findScroll(box.scrollLeft, view.width, left, layout.width);
}

/** Return where to scroll to, from `scroll`, so that something of this size is in sight. */
function findScroll(scroll: number, view: number, offset: number, size: number): number {
  return offset < scroll ? offset : Math.max(scroll, offset + size - view);
}

/** Return the pixels in which cells are in sight, beside their labels. */
function measureView(box: HTMLElement, layout: Layout): { width: number; height: number } {
  return {
    width: (box.clientWidth || innerWidth) - layout.labelWidth - layout.groupWidth,
    height: (box.clientHeight || innerHeight) - layout.headHeight,
  };
}
