/** The outputs of all runs, the newest first, with what distinguishes each run. Only visible lines are in the page. */

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import { formatAltText, formatValue } from "../format";
import { DiscardIcon, PlayIcon, TextIcon } from "../icons";
import { joinStops, listen, observeSize } from "../listen";
import { attachOutput } from "../session/outputDrag";
import { isEqual, type Run } from "../session/protocol";
import type { Session } from "../session/session";
import { Actions } from "./actions";
import { CaptionText } from "./caption";
import { Failure } from "./failure";
import { CELL, GAP, type Line, layOutRuns, measureMore, type Segment } from "./galleryLayout";
import type { Opened } from "./lightbox";
import { OutputView, type OutputViewProps, useHasBeenVisible, useThumbnail } from "./outputViews";
import { findStagedRun, getOutputKey, isVisual } from "./runs";

/** Pixels above and below the visible area whose lines are in the page as well: Tab moves the focus there. */
const MARGIN = 200;
/** Pixels of scrolling between two renderings. */
const SCROLL_STEP = 64;
/** The largest height of the gallery, in pixels. */
const MAX_HEIGHT = 620;
/** Pixels above the first line. */
const PADDING = 13;
/** Milliseconds in which discarded outputs can be restored. */
const UNDO_TIME = 20_000;
/** Characters of a text below an image. */
const MAX_TEXT = 80;

interface GalleryProps {
  session: Session;
  /** The output whose lightbox was closed last: its tile gets the focus. */
  closed: Opened | null;
  onOpen(opened: Opened): void;
}

/** The gallery, unless there is nothing to show but the stage. */
export function Gallery({ session, closed, onOpen }: GalleryProps) {
  const [discarded, setDiscarded] = useState<string | null>(null);
  const staged = findStagedRun(session);
  // The error of the run on the stage is shown there already.
  const runs = session
    .get("runs")
    .filter((run) => run.items.length > 0 || (run.status === "failed" && run.id !== staged?.id));
  const { done = 0, total = 0 } = session.get("batch");
  const expected = total > 1 ? total - done : 0;
  const isOnStageOnly = session.get("view") === "run" && runs.length === 1 && runs[0]?.items.length === 1;
  const isEmpty = (runs.length === 0 && expected === 0) || isOnStageOnly;
  const discard = async (run: string) => {
    if (await session.requestOrNotify("discard", { run })) setDiscarded(run);
  };
  return (
    <>
      {discarded !== null && (
        <Undo key={discarded} session={session} run={discarded} onClose={() => setDiscarded(null)} />
      )}
      {!isEmpty && (
        <Lines
          session={session}
          runs={runs}
          expected={expected}
          closed={closed}
          onOpen={onOpen}
          onDiscard={(run) => void discard(run)}
        />
      )}
    </>
  );
}

interface UndoProps {
  session: Session;
  run: string;
  onClose(): void;
}

/** Says that outputs were discarded, and restores them. It has the focus, since their tile is gone. */
function Undo({ session, run, onClose }: UndoProps) {
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    button.current?.focus();
    const timer = setTimeout(onClose, UNDO_TIME);
    return () => clearTimeout(timer);
  }, []);
  const restore = async () => {
    if (await session.requestOrNotify("discard", { run, restore: true })) onClose();
  };
  return (
    <p class="ck-line ck-undo" role="status">
      <span class="ck-muted">Outputs discarded</span>
      <Button ref={button} class="ck-link" onClick={restore}>
        Undo
      </Button>
    </p>
  );
}

interface LinesProps extends GalleryProps {
  runs: Run[];
  /** Runs of the batch that have not ended: they will need room. */
  expected: number;
  onDiscard(run: string): void;
}

function Lines({ session, runs, expected, closed, onOpen, onDiscard }: LinesProps) {
  const box = useRef<HTMLDivElement>(null);
  const view = useScrollView(box);
  // Only the tile with the pointer or the focus has its actions in the page.
  const [activeTile, setActiveTile] = useState("");
  const columns = Math.max(1, Math.floor((view.width + GAP) / CELL));
  const lines = layOutRuns(runs, columns);
  useReturningFocus(box, lines, closed);
  const last = lines.at(-1);
  const height = last ? last.top + last.height : 0;
  // The room that a batch will need is there from its start, so that nothing below moves when a run ends.
  const reserved = expected > 0 ? Math.min(MAX_HEIGHT, height + measureMore(lines, columns, expected) + PADDING) : 0;
  const visible = lines.filter(
    ({ top, height }) => top + height > view.top - MARGIN && top < view.top + view.height + MARGIN,
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for controls
    <div
      ref={box}
      class="ck-gallery"
      role="group"
      aria-label="Outputs"
      style={{ minHeight: `${reserved}px` }}
      onMouseLeave={({ currentTarget }) => currentTarget.contains(document.activeElement) || setActiveTile("")}
    >
      <div style={{ height: `${height}px` }}>
        {visible.map(({ top, captionLines, segments }) => (
          <div key={top} class="ck-tiles" style={{ top: `${top}px`, "--ck-lines": captionLines }}>
            {segments.map((segment) => (
              <RunGroup
                key={getOutputKey(segment.run, segment.items[0])}
                session={session}
                segment={segment}
                activeTile={activeTile}
                onActivate={setActiveTile}
                onOpen={onOpen}
                onDiscard={onDiscard}
              />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}

/** Return the visible part of a scrolled element, in pixels. */
function useScrollView(box: RefObject<HTMLElement | null>) {
  const [view, setView] = useState({ top: 0, height: 600, width: 600 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const update = () => {
      const next = {
        top: Math.floor(element.scrollTop / SCROLL_STEP) * SCROLL_STEP,
        height: element.clientHeight,
        width: element.clientWidth,
      };
      setView((old) => (isEqual(old, next) ? old : next));
    };
    update();
    return joinStops(observeSize(element, update), listen(element, "scroll", update, { passive: true }));
  }, [box]);
  return view;
}

/** Focus the tile of the output whose lightbox was closed, wherever it is now. */
function useReturningFocus(box: RefObject<HTMLElement | null>, lines: readonly Line[], closed: Opened | null): void {
  useEffect(() => {
    const element = box.current;
    if (!closed || !element) return;
    const key = `${closed.run}/${closed.key}`;
    const focused = document.activeElement?.closest<HTMLElement>("[data-output]");
    if (focused?.dataset.output === key) return;
    const line = lines.find(({ segments }) =>
      segments.some(({ run, items, texts }) => [...items, ...texts].some((item) => getOutputKey(run, item) === key)),
    );
    if (!line) return;
    const { scrollTop, clientHeight } = element;
    if (line.top < scrollTop || line.top + line.height > scrollTop + clientHeight) element.scrollTop = line.top;
    // After the lines that scrolling brings into the page are rendered.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => element.querySelector<HTMLElement>(`[data-output="${CSS.escape(key)}"]`)?.focus()),
    );
  }, [closed]);
}

interface RunGroupProps {
  session: Session;
  segment: Segment;
  activeTile: string;
  onActivate(tile: string): void;
  onOpen(opened: Opened): void;
  onDiscard(run: string): void;
}

/** The outputs of one run on one line, with their caption. */
function RunGroup({ session, segment, activeTile, onActivate, onOpen, onDiscard }: RunGroupProps) {
  const { run, previous, items, texts, cells } = segment;
  const fields = session.get("fields");
  const [text] = texts;
  return (
    <figure class="ck-group" style={{ width: `${cells * CELL - GAP}px` }}>
      {items.map((item) => {
        const tile = getOutputKey(run, item);
        const activate = () => onActivate(tile);
        return (
          // biome-ignore lint/a11y/noStaticElementInteractions: it only shows the buttons
          <div key={item?.key ?? "error"} class="ck-cell" onMouseEnter={activate} onFocusIn={activate}>
            {item ? (
              <Tile
                session={session}
                run={run}
                item={item}
                alt={formatAltText(item, run, fields)}
                onOpen={() => onOpen({ run: run.id, key: item.key })}
              />
            ) : (
              <div class="ck-tile ck-card">{run.error && <Failure error={run.error} />}</div>
            )}
            {tile === activeTile && (
              <div class="ck-actions">
                <IconButton
                  icon={DiscardIcon}
                  class="ck-button ck-square ck-discard"
                  label="Discard outputs"
                  title="Discard the outputs of this run"
                  disabled={session.channel.closed}
                  onClick={() => onDiscard(run.id)}
                />
                <Actions
                  session={session}
                  run={run}
                  item={item}
                  onInfo={() => item && onOpen({ run: run.id, key: item.key, info: true })}
                />
              </div>
            )}
          </div>
        );
      })}
      <CaptionText run={run} previous={previous} fields={fields} />
      {text && (
        <Button
          class="ck-text-line"
          title={formatValue(text.text, 400)}
          data-output={getOutputKey(run, text)}
          onClick={() => onOpen({ run: run.id, key: text.key })}
        >
          <TextIcon />
          <span class="ck-name">{formatValue(text.text, MAX_TEXT)}</span>
          {texts.length > 1 && <span class="ck-muted">{`+${texts.length - 1}`}</span>}
        </Button>
      )}
    </figure>
  );
}

interface TileProps extends OutputViewProps {
  onOpen(): void;
}

function Tile(props: TileProps) {
  if (isVisual(props.item)) return <Thumbnail {...props} />;
  return (
    <div class="ck-tile ck-card">
      <OutputView {...props} />
    </div>
  );
}

/** A thumbnail that opens the lightbox and can be dragged onto a media field. It is fetched when it becomes visible. */
function Thumbnail({ session, run, item, alt, onOpen }: TileProps) {
  const tile = useRef<HTMLButtonElement>(null);
  const visible = useHasBeenVisible(tile);
  const { url, error } = useThumbnail(session, { run, item }, visible);
  return (
    <button
      ref={tile}
      type="button"
      class="ck-tile ck-open"
      aria-label={alt}
      title={alt}
      data-output={getOutputKey(run, item)}
      draggable
      onDragStart={(event) => attachOutput(event, run, item)}
      onClick={onOpen}
    >
      {url ? (
        <img src={url} alt={alt} draggable={false} />
      ) : (
        // A video without a thumbnail is still playable: its name is shown instead of an error.
        <span class="ck-note">
          {error ? (item.kind === "video" ? item.name : error) : session.channel.busy && "Kernel busy"}
        </span>
      )}
      {item.kind === "video" && (
        <span class="ck-badge">
          <PlayIcon />
        </span>
      )}
    </button>
  );
}
