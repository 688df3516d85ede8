/** The grid: its labels stay in sight, and only the cells in sight and around them are in the page. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "../buttons";
import { buildCellId, Cell } from "./cell";
import { scrollToPoint, useSight } from "./sight";
import { listBetween, listCells } from "./state/cells";
import type { Explorer } from "./state/explorer";
import {
  chooseCells,
  findOffset,
  type Group,
  LABEL_LINE,
  type Layout,
  MAX_HEIGHT,
  measureTracks,
  type Range,
  type Tracks,
} from "./state/layout";

/** Pixels that the grid may be high in any window. */
const LEAST_HEIGHT = 320;
/** Pixels of the borders above and below, and of a scroll bar. */
const BORDERS = 2;
const SCROLL_BAR = 16;

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

/** The grid of an explorer. The focus is on the whole grid; its active descendant is the point that keys act on. */
export function Grid({ explorer, layout, uid, onKeyDown, onOpen, onRemove, onSight }: GridProps) {
  const box = useRef<HTMLDivElement>(null);
  const sight = useSight(box, layout);
  const { rows, columns } = sight.fast ? sight : chooseCells(sight.rows, sight.columns, layout);
  useLayoutEffect(() => {
    const visible = listCells(layout, sight.rows, sight.columns);
    if (!sight.fast) onSight(visible, listCells(layout, rows, columns), sight.resting);
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
  const height = Math.min(maxHeight, layout.headHeight + layout.totalHeight + BORDERS + (hasBar ? SCROLL_BAR : 0));
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
      {layout.headHeight > 0 && <ColumnLabels layout={layout} side={side} columns={columns} onRemove={onRemove} />}
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
                    height={layout.height - layout.caption}
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
  columns: Range;
  onRemove: OnRemove | undefined;
}

function ColumnLabels({ layout, side, columns, onRemove }: ColumnLabelsProps) {
  const labelTop = layout.columns.groups.length > 0 ? LABEL_LINE : 0;
  const indices = listTracks(columns);
  return (
    <div
      role="row"
      class="ck-x-head"
      style={{ width: `${side + layout.totalWidth}px`, height: `${layout.headHeight}px` }}
    >
      <div class="ck-x-corner" style={{ width: `${side}px` }} />
      {listGroups(layout.columns, columns).map(({ label, from, count }) => (
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
      {indices.map((column) => (
        <TrackLabel
          key={`c${column % indices.length}`}
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

/** The label of a row or column. Tab skips its button, since the key Delete does the same. */
function TrackLabel({ what, tracks, track, style, onRemove }: TrackLabelProps) {
  const { labels, groups, inner } = tracks;
  const label = labels[track];
  const attributes = {
    role: `${what}header` as const,
    "aria-label": [groups[Math.floor(track / inner)]?.label, label].filter(Boolean).join(", "),
    "aria-colindex": what === "column" ? track + 1 : undefined,
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
      {listGroups(layout.rows, rows).map(({ label, from, count }) => (
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

/** List the groups that have tracks in a range. */
function listGroups({ groups }: Tracks, { first, end }: Range): Group[] {
  return groups.filter(({ from, count }) => from < end && from + count > first);
}

function listTracks({ first, end }: Range): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
}

function findPoint(event: MouseEvent): number | undefined {
  const cell = (event.target as Element).closest<HTMLElement>("[data-point]");
  return cell ? Number(cell.dataset.point) : undefined;
}
