/** One view of an explorer: header, toolbar, grid, footer, and the lightbox. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Button } from "../icons";
import { Rows } from "../outputs/details";
import { Lightbox, type Opened } from "../outputs/lightbox";
import { findMainItem } from "../outputs/runs";
import { useTopics } from "../session/hooks";
import { Annotation } from "./annotation";
import { isFlat, transpose } from "./arrangement";
import { MarkSigns } from "./cell";
import { Compare } from "./compare";
import type { Explorer } from "./explorer";
import { Footer } from "./footer";
import { Grid, listBetween } from "./grid";
import { SweepHeader } from "./header";
import { type Action, findAction } from "./keys";
import { findPosition, type Layout, layOut, stepSize } from "./layout";
import { Library, layOutDays } from "./library";
import { LibraryBar } from "./libraryBar";
import { Toolbar } from "./toolbar";

/** Points on each side of the one in the lightbox that it can go to at once. */
const REACH = 15;
/** Pixels of a cell from which its thumbnail is a large one. */
const LARGE = 260;

/** Which keys of the legend work in the lightbox, too. */
const MARK_KEYS = [2, 7] as const;

type Chosen = Extract<Action, { kind: "compare" }>;

/** The explorer of a sweep, or the library of all runs. */
export function ExplorerView({ explorer, uid }: { explorer: Explorer; uid: string }) {
  useTopics(explorer, "state");
  const [turn, render] = useState({});
  useLayoutEffect(() => explorer.watch(() => render({})), [explorer]);
  const root = useRef<HTMLDivElement>(null);
  const width = useWidth(root);
  const [opened, setOpened] = useState<Opened | null>(null);
  const [zoomed, setZoomed] = useState(false);
  const [legend, setLegend] = useState(false);
  const [comparing, setComparing] = useState(false);
  const [annotating, setAnnotating] = useState(false);
  const anchor = useRef(0);
  /** How often the lightbox has gone to a point, or was closed. */
  const openings = useRef(0);
  const { points } = explorer;
  const library = explorer instanceof Library ? explorer : undefined;
  const layout = useLayout(explorer, library, width, turn);
  const list = useMemo(() => listInOrder(layout), [layout]);
  const sequence = explorer.sequence ?? list;
  useFocusInSight(explorer, layout, list);
  useLayoutEffect(() => {
    if (explorer.summons > 0) root.current?.scrollIntoView();
  }, [explorer.summons]);
  // The lightbox shows marks, too.
  useLayoutEffect(() => explorer.watchPoint(explorer.focused, () => opened && render({})), [explorer.focused, opened]);

  const show = (point: number, key?: string, info = false) => {
    const opening = ++openings.current;
    void showPoint(explorer, sequence, point, key).then((found) => {
      // Meanwhile it may have been closed, or have gone on.
      if (found && opening === openings.current) setOpened({ ...found, info });
    });
  };
  const open = (point: number, how: "open" | "zoom" | "info" = "open") => {
    if (points.getState(point) !== "completed") return;
    setZoomed(how === "zoom");
    show(point, undefined, how === "info");
  };
  const annotate = () => explorer.hasRun(explorer.focused) && setAnnotating(true);
  const focus = (name: string) => root.current?.querySelector<HTMLElement>(name)?.focus();
  const annotation = annotating && (
    <Annotation
      explorer={explorer}
      points={opened ? [explorer.focused] : explorer.targets}
      onClose={() => {
        setAnnotating(false);
        focus(opened ? ".ck-lightbox" : ".ck-x-grid");
      }}
    />
  );
  const actions: Partial<Record<Action["kind"], (action: Action) => void>> = {
    open: () => open(explorer.focused),
    zoom: () => open(explorer.focused, "zoom"),
    info: () => open(explorer.focused, "info"),
    keys: () => setLegend(!legend),
    note: annotate,
    compare: (action) => setComparing(chooseCompared(explorer, action as Chosen)),
    search: () => focus(".ck-x-search"),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = findAction(event);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    const act = actions[action.kind] ?? (() => perform(explorer, layout, list, action, anchor));
    act(action);
    explorer.reveal();
  };
  const close = () => {
    openings.current++;
    setOpened(null);
    setComparing(false);
    focus(".ck-x-grid");
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it keeps plain keys from the notebook
    <div
      ref={root}
      class={`ck-root ck-x${library ? " ck-x-days" : ""}`}
      data-lm-suppress-shortcuts="true"
      onKeyDown={keepPlainKey}
    >
      <Connection explorer={explorer} />
      {explorer.loaded && (
        <>
          <Head explorer={explorer} library={library} layout={layout} />
          {list.length > 0 ? (
            <>
              <Grid
                explorer={explorer}
                layout={layout}
                uid={uid}
                onKeyDown={onKeyDown}
                onOpen={open}
                onRemove={
                  explorer.canRemove ? (place, point) => removeValue(explorer, layout, place, point) : undefined
                }
                onSight={(visible, around, resting) => look(explorer, visible, around, layout, resting)}
              />
              <Footer
                explorer={explorer}
                annotation={!opened && annotation}
                onAnnotate={annotate}
                onOpen={open}
                onCompare={() => setComparing(true)}
              />
            </>
          ) : (
            <p class="ck-x-empty ck-muted">{explorer.nothing}</p>
          )}
          {legend && <Legend explorer={explorer} onClose={() => setLegend(false)} />}
        </>
      )}
      {comparing && <Compare explorer={explorer} onClose={close} />}
      {opened && (
        <PointLightbox
          explorer={explorer}
          sequence={sequence}
          opened={opened}
          zoomed={zoomed}
          annotation={annotation}
          onAnnotate={annotate}
          onShow={show}
          onClose={close}
        />
      )}
    </div>
  );
}

/** Lay the points out again when they, their arrangement or the width have changed. */
function useLayout(explorer: Explorer, library: Library | undefined, width: number, turn: object): Layout {
  const { arrangement, about, points } = explorer;
  // Marks and states change a layout only where points are chosen or ordered by them.
  const depends = arrangement.filter !== "all" || arrangement.order !== "axes" ? turn : null;
  return useMemo(() => {
    const available = Math.max(200, width - 18);
    return library
      ? layOutDays(library.listShown(), arrangement.size, available)
      : layOut(arrangement, about.axes, points, about.ratio, available);
  }, [arrangement, about, points.count, width, depends, library?.days]);
}

/** Keep a key from the notebook, which has commands on plain keys. */
function keepPlainKey(event: KeyboardEvent): void {
  if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
}

/** Says why nothing can be seen or done. */
function Connection({ explorer }: { explorer: Explorer }) {
  const { closed, busy } = explorer.channel;
  if (closed)
    return (
      <p class="ck-note ck-disconnected" role="status">
        Kernel disconnected. Run the cell again to continue.
      </p>
    );
  if (explorer.loaded) return null;
  return (
    <p class="ck-x-empty ck-muted" role="status">
      {busy && "Kernel busy: the grid appears when the current cell finishes."}
    </p>
  );
}

interface HeadProps {
  explorer: Explorer;
  library: Library | undefined;
  layout: Layout;
}

function Head({ explorer, library, layout }: HeadProps) {
  if (library) return <LibraryBar library={library} size={layout.width} />;
  return (
    <>
      <SweepHeader explorer={explorer} />
      <Toolbar explorer={explorer} layout={layout} />
    </>
  );
}

/** Choose the point with the focus for comparison, or no longer, or all that are selected; return whether to compare. */
function chooseCompared(explorer: Explorer, { now }: Chosen): boolean {
  const isAll = explorer.selected.size > 1;
  if (isAll) explorer.compareOnly([...explorer.selected]);
  else if (!now) explorer.toggleCompared(explorer.focused);
  return (now || isAll) && explorer.compared.size > 1;
}

interface PointLightboxProps {
  explorer: Explorer;
  sequence: readonly number[];
  opened: Opened;
  zoomed: boolean;
  /** The fields of the note and the tags, while they are edited. */
  annotation: ComponentChildren;
  onAnnotate(): void;
  onShow(point: number, key: string): void;
  onClose(): void;
}

/** The lightbox, with the marks of its point and the keys that set them. */
function PointLightbox({ explorer, sequence, annotation, onAnnotate, onShow, ...props }: PointLightboxProps) {
  const onKey = (event: KeyboardEvent) => {
    const action = findAction(event);
    if (action?.kind === "undo") explorer.undo();
    else if (action?.kind === "mark") explorer.mark(action.mark, [explorer.focused]);
    else if (action?.kind === "note") onAnnotate();
    else return false;
    return true;
  };
  return (
    <Lightbox
      session={explorer}
      place={`${sequence.indexOf(explorer.focused) + 1} of ${sequence.length}`}
      marks={
        annotation || (
          <span class="ck-x-lightbox-marks">
            <MarkSigns marks={explorer.points.getMarks(explorer.focused)} compared={false} />
          </span>
        )
      }
      keys={explorer.about.legend?.slice(...MARK_KEYS) ?? []}
      onKey={onKey}
      onShow={(next) => {
        const point = explorer.shown.find((each) => explorer.details.get(each)?.id === next.run);
        if (point !== undefined) onShow(point, next.key);
      }}
      {...props}
    />
  );
}

/** Open a point: fetch the details of those around it first. */
async function showPoint(
  explorer: Explorer,
  list: readonly number[],
  point: number,
  key?: string,
): Promise<Opened | undefined> {
  const index = list.indexOf(point);
  explorer.focus(point);
  explorer.shown = list
    .slice(Math.max(0, index - REACH), index + REACH + 1)
    .filter((each) => explorer.points.getState(each) === "completed");
  await explorer.details.load(explorer.shown);
  const run = explorer.details.get(point);
  const item = run?.items && findMainItem({ ...run, items: run.items } as never);
  return run?.id && item ? { run: run.id, key: key ?? item.key } : undefined;
}

/** Fetch what is in sight, first of all, and what is around it; while the grid moves only a few pictures. */
function look(explorer: Explorer, visible: number[], around: number[], layout: Layout, resting: boolean): void {
  const isDone = (point: number) => explorer.points.getState(point) === "completed";
  const wanted = [...visible, ...around].filter(isDone);
  explorer.thumbs.want(new Set(wanted), layout.width * devicePixelRatio > LARGE, resting);
  if (!resting) return;
  explorer.look(visible);
  explorer.details.want(
    [explorer.focused, ...visible].filter((point) => explorer.points.getState(point) !== "waiting"),
  );
}

/** Do what a key says, other than opening. */
function perform(
  explorer: Explorer,
  layout: Layout,
  list: number[],
  action: Action,
  anchor: { current: number },
): void {
  const { arrangement } = explorer;
  const go = (point: number | undefined, extend: boolean) => {
    if (point === undefined || point < 0) return;
    if (!extend) anchor.current = point;
    explorer.focus(point);
    if (extend) explorer.select(listBetween(layout, anchor.current, point));
  };
  const goBy = (by: number) => list[Math.min(Math.max(list.indexOf(explorer.focused) + by, 0), list.length - 1)];
  const [row, column] = layout.find(explorer.focused) ?? [0, 0];
  switch (action.kind) {
    case "move":
      go(findNeighbour(layout, row + action.rows, column + action.columns, action.columns, goBy), action.extend);
      break;
    case "page":
      go(layout.pointAt(stepRows(layout, row, action.by), column), action.extend);
      break;
    case "edge":
      go(findEdge(layout, list, row, action.toEnd, action.whole), action.extend);
      break;
    case "mark":
      explorer.mark(action.mark);
      if (action.advance) go(goBy(1), false);
      break;
    case "undo":
      go(explorer.undo(), false);
      break;
    case "stack":
      explorer.toggleStack(explorer.focused);
      break;
    case "select":
      explorer.toggleSelected(explorer.focused);
      break;
    case "all":
      explorer.select(list);
      break;
    case "clear":
      explorer.select([]);
      break;
    case "transpose":
      if (layout.headHeight > 0 && !isFlat(arrangement, explorer.about.axes)) explorer.arrange(transpose(arrangement));
      break;
    case "size":
      explorer.arrange({ size: stepSize(layout.width, action.up) });
      break;
    case "remove":
      removeValue(explorer, layout, action.place, explorer.focused);
      break;
    case "value":
      stepSlider(explorer, action.by);
      break;
  }
}

/** Return the point beside another one; at the end of a line without axes, the first of the next line. */
function findNeighbour(
  layout: Layout,
  row: number,
  column: number,
  sideways: number,
  goBy: (by: number) => number | undefined,
): number | undefined {
  if (layout.flat && sideways !== 0) return goBy(sideways);
  const point = layout.pointAt(row, column);
  // A line may be shorter than the one before.
  for (let left = column - 1; layout.flat && left >= 0; left--)
    if (point < 0 && layout.pointAt(row, left) >= 0) return layout.pointAt(row, left);
  return point;
}

/** Return the row a screen above or below. */
function stepRows(layout: Layout, row: number, by: number): number {
  const page = Math.max(1, Math.floor((innerHeight * 0.6) / layout.height));
  return Math.min(Math.max(row + by * page, 0), layout.rows.count - 1);
}

function findEdge(layout: Layout, list: number[], row: number, toEnd: boolean, whole: boolean): number | undefined {
  if (whole) return toEnd ? list.at(-1) : list[0];
  for (let column = toEnd ? layout.columns.count - 1 : 0; column >= 0; column--) {
    const point = layout.pointAt(row, column);
    if (point >= 0) return point;
  }
  return undefined;
}

/** Leave out the value that the row or column of a point has. In lines, it is that of the last axis. */
function removeValue(explorer: Explorer, layout: Layout, place: "rows" | "columns", point: number): void {
  const { arrangement, about } = explorer;
  const axis = layout.flat ? about.axes.length - 1 : arrangement[place].at(-1);
  if (axis === undefined || !explorer.canRemove) return;
  void explorer.requestOrNotify("edit", { axis, remove: [findPosition(point, about.axes)[axis]] });
}

/** Show the next or previous value of the first axis that is a slider. */
function stepSlider(explorer: Explorer, by: number): void {
  const [first] = Object.entries(explorer.arrangement.at);
  if (!first) return;
  const [axis, value] = first;
  const last = (explorer.about.axes[Number(axis)]?.labels.length ?? 1) - 1;
  explorer.arrange({ at: { ...explorer.arrangement.at, [axis]: Math.min(Math.max(value + by, 0), last) } });
}

/** List all points in the order in which they are read: line by line. */
function listInOrder(layout: Layout): number[] {
  const found: number[] = [];
  for (let row = 0; row < layout.rows.count; row++)
    for (let column = 0; column < layout.columns.count; column++) {
      const point = layout.pointAt(row, column);
      if (point >= 0) found.push(point);
    }
  return found;
}

/** Move the focus to what has taken the place of its point, when that is no longer shown. */
function useFocusInSight(explorer: Explorer, layout: Layout, list: number[]): void {
  const place = useRef(0);
  useLayoutEffect(() => {
    const index = list.indexOf(explorer.focused);
    if (index >= 0) place.current = index;
    else {
      const next = list[Math.min(place.current, list.length - 1)];
      if (next !== undefined) explorer.focus(next);
    }
  }, [explorer.focused, layout]);
}

/** Return the width of an element in pixels. */
function useWidth(element: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(800);
  useLayoutEffect(() => {
    if (!element.current) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.round(entry.contentRect.width)));
    observer.observe(element.current);
    setWidth(element.current.clientWidth || 800);
    return () => observer.disconnect();
  }, [element]);
  return width;
}

function Legend({ explorer, onClose }: { explorer: Explorer; onClose(): void }) {
  return (
    <aside class="ck-panel ck-x-legend" aria-label="Keys">
      <p class="ck-line">
        <strong class="ck-grow">Keys</strong>
        <Button class="ck-quiet" aria-label="Close" onClick={onClose}>
          ✕
        </Button>
      </p>
      <dl>
        <Rows rows={explorer.about.legend ?? []} />
      </dl>
    </aside>
  );
}
