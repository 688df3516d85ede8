/** One view of an explorer: header, toolbar, grid, footer, and the lightbox. */

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { IconButton } from "../buttons";
import { CloseIcon } from "../icons";
import { observeSize } from "../listen";
import { Rows } from "../outputs/details";
import type { Opened } from "../outputs/lightbox";
import { useTopics } from "../session/hooks";
import { claim, stopPlainKey } from "../session/shortcuts";
import { type Annotating, Annotation } from "./annotation";
import { Compare } from "./compare";
import { Footer } from "./footer";
import { Grid } from "./grid";
import { SweepHeader } from "./header";
import { LibraryBar } from "./libraryBar";
import { perform, removeValue } from "./perform";
import { PointLightbox, showPoint } from "./pointLightbox";
import { listCells } from "./state/cells";
import type { Explorer } from "./state/explorer";
import { type Action, findAction } from "./state/keys";
import { type Layout, layOut } from "./state/layout";
import { Library, layOutDays } from "./state/library";
import { Toolbar } from "./toolbar";

/** Pixels of a cell from which its thumbnail is a large one. */
const LARGE = 260;

/** The explorer of a sweep, or the library of all runs. */
export function ExplorerView({ explorer, uid }: { explorer: Explorer; uid: string }) {
  const turn = useTopics(explorer, "state", "grid");
  const root = useRef<HTMLDivElement>(null);
  const width = useWidth(root);
  const [opened, setOpened] = useState<Opened | null>(null);
  const [zoomed, setZoomed] = useState(false);
  const [legend, setLegend] = useState(false);
  const [comparing, setComparing] = useState(false);
  const [annotating, setAnnotating] = useState<Annotating | null>(null);
  const anchor = useRef(0);
  /** How often the lightbox has gone to a point, or was closed. */
  const openings = useRef(0);
  const { points } = explorer;
  const library = explorer instanceof Library ? explorer : undefined;
  const layout = useLayout(explorer, library, width, turn);
  const list = useMemo(() => listCells(layout), [layout]);
  const sequence = explorer.sequence ?? list;
  useFocusInSight(explorer, layout, list);
  useLayoutEffect(() => {
    if (explorer.summons > 0) root.current?.scrollIntoView();
  }, [explorer.summons]);
  // The lightbox shows marks, too.
  useTopics(explorer, opened ? `point ${explorer.focused}` : "grid");

  const show = (point: number, key?: string, info = false) => {
    const opening = ++openings.current;
    void showPoint(explorer, sequence, point, key).then((found) => {
      // Meanwhile it may have been closed, or show another point.
      if (found && opening === openings.current) setOpened({ ...found, info });
    });
  };
  const open = (point: number, how: "open" | "zoom" | "info" = "open") => {
    if (!points.isDone(point)) return;
    setZoomed(how === "zoom");
    show(point, undefined, how === "info");
  };
  const annotate = () => {
    if (explorer.hasRun(explorer.focused) && explorer.checkKeeping())
      setAnnotating(annotating ?? { points: opened ? [explorer.focused] : explorer.targets, texts: ["", ""] });
  };
  const focus = (name: string) => root.current?.querySelector<HTMLElement>(name)?.focus();
  const annotation = annotating && (
    <Annotation
      explorer={explorer}
      annotating={annotating}
      onClose={() => {
        setAnnotating(null);
        focus(opened ? ".ck-lightbox" : ".ck-x-grid");
      }}
    />
  );
  const actions: Partial<Record<Action["kind"], () => void>> = {
    open: () => open(explorer.focused),
    zoom: () => open(explorer.focused, "zoom"),
    info: () => open(explorer.focused, "info"),
    keys: () => setLegend(!legend),
    note: annotate,
    choose: () => setComparing(chooseCompared(explorer, false)),
    compare: () => setComparing(chooseCompared(explorer, true)),
    search: () => focus(".ck-x-search"),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = findAction(event);
    if (!action) return;
    claim(event);
    const act = actions[action.kind] ?? (() => perform(explorer, layout, list, action, anchor));
    act();
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
      onKeyDown={stopPlainKey}
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

/** Explains why the grid is missing or disabled. */
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

/** Add the focused point to the comparison or remove it, or add all selected ones; return whether to compare now. */
function chooseCompared(explorer: Explorer, now: boolean): boolean {
  const isAll = explorer.selected.size > 1;
  if (isAll) explorer.compareOnly([...explorer.selected]);
  else if (!now) explorer.toggleCompared(explorer.focused);
  return (now || isAll) && explorer.compared.size > 1;
}

/** Fetch what is in sight, first of all, and what is around it; while the grid moves only a few pictures. */
function look(explorer: Explorer, visible: number[], around: number[], layout: Layout, resting: boolean): void {
  const wanted = [...visible, ...around].filter((point) => explorer.points.isDone(point));
  explorer.thumbs.want(new Set(wanted), layout.width * devicePixelRatio > LARGE, resting);
  if (!resting) return;
  explorer.look(visible);
  const started = [explorer.focused, ...visible].filter((point) => explorer.points.getState(point) !== "waiting");
  queueMicrotask(() => explorer.details.want(started)); // after the pictures
}

/** When the focused point disappears, move the focus to the point in its place. */
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
    const box = element.current;
    if (!box) return;
    setWidth(box.clientWidth || 800);
    return observeSize(box, (content) => setWidth(Math.round(content)));
  }, [element]);
  return width;
}

function Legend({ explorer, onClose }: { explorer: Explorer; onClose(): void }) {
  return (
    <aside class="ck-panel ck-x-legend" aria-label="Keys">
      <p class="ck-line">
        <strong class="ck-grow">Keys</strong>
        <IconButton icon={CloseIcon} class="ck-quiet" label="Close" onClick={onClose} />
      </p>
      <dl>
        <Rows rows={explorer.about.legend ?? []} />
      </dl>
    </aside>
  );
}
