/** The outputs of all runs, the newest first, with what distinguishes each run. Only visible lines are in the page. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatAltText, formatCaption, formatDuration, listChanges } from "../format";
import { CloseIcon, IconButton, PlayIcon } from "../icons";
import { useMedia } from "../session/hooks";
import { toMediaRef } from "../session/media";
import { attachOutput } from "../session/outputDrag";
import { isEqual, type Run } from "../session/protocol";
import type { Session } from "../session/session";
import { Actions } from "./actions";
import { CELL, GAP, layOutRuns, type Segment } from "./galleryLayout";
import type { Opened } from "./lightbox";
import { FailureText, OutputView, type OutputViewProps, useHasBeenVisible } from "./outputViews";
import { findStagedRun, getOutputKey, isVisual } from "./runs";

/** Pixels above and below the visible area whose lines are in the page as well: Tab moves the focus there. */
const MARGIN = 200;
/** Pixels of scrolling between two renderings. */
const SCROLL_STEP = 64;

export interface GalleryProps {
  session: Session;
  onOpen(opened: Opened): void;
}

/** The gallery, unless there is nothing to show but the stage. */
export function Gallery({ session, onOpen }: GalleryProps) {
  const staged = findStagedRun(session);
  // The error of the run on the stage is shown there already.
  const runs = session
    .get("runs")
    .filter((run) => run.items.length > 0 || (run.status === "failed" && run.id !== staged?.id));
  const isOnStageOnly = session.get("view") === "run" && runs.length === 1 && runs[0]?.items.length === 1;
  return runs.length === 0 || isOnStageOnly ? null : <Lines session={session} runs={runs} onOpen={onOpen} />;
}

function Lines({ session, runs, onOpen }: GalleryProps & { runs: Run[] }) {
  const box = useRef<HTMLElement>(null);
  const view = useScrollView(box);
  // Only the tile with the pointer or the focus has its actions in the page.
  const [activeTile, setActiveTile] = useState("");
  const lines = layOutRuns(runs, Math.max(1, Math.floor((view.width + GAP) / CELL)));
  const last = lines.at(-1);
  const visible = lines.filter(
    ({ top, height }) => top + height > view.top - MARGIN && top < view.top + view.height + MARGIN,
  );
  return (
    <section
      ref={box}
      class="ck-gallery"
      aria-label="Outputs"
      onMouseLeave={({ currentTarget }) => currentTarget.contains(document.activeElement) || setActiveTile("")}
    >
      <div style={{ height: `${last ? last.top + last.height : 0}px` }}>
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
              />
            ))}
          </div>
        ))}
      </div>
    </section>
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
    const observer = new ResizeObserver(update);
    observer.observe(element);
    element.addEventListener("scroll", update, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", update);
    };
  }, [box]);
  return view;
}

interface RunGroupProps extends GalleryProps {
  segment: Segment;
  activeTile: string;
  onActivate(tile: string): void;
}

/** The outputs of one run on one line, with their caption. */
function RunGroup({ session, segment, activeTile, onActivate, onOpen }: RunGroupProps) {
  const { run, previous, items, cells } = segment;
  const fields = session.get("fields");
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
              <div class="ck-tile ck-card">{run.error && <FailureText error={run.error} />}</div>
            )}
            {tile === activeTile && (
              <div class="ck-actions">
                <Actions
                  session={session}
                  run={run}
                  item={item}
                  onInfo={() => item && onOpen({ run: run.id, key: item.key, info: true })}
                />
                <IconButton
                  icon={CloseIcon}
                  label="Discard outputs"
                  title="Discard the outputs of this run"
                  disabled={session.channel.closed}
                  onClick={() => session.requestOrNotify("remove", { run: run.id })}
                />
              </div>
            )}
          </div>
        );
      })}
      <figcaption
        title={listChanges(run)
          .map((change) => change.join(": "))
          .join("\n")}
      >
        {[run.status === "completed" ? formatDuration(run.seconds) : run.status, run.cost, formatCaption(run, previous)]
          .filter(Boolean)
          .join(" · ")}
      </figcaption>
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
  const { url, error } = useMedia(session, visible ? toMediaRef(run, item, "thumb") : null);
  return (
    <button
      ref={tile}
      type="button"
      class="ck-tile ck-open"
      aria-label={alt}
      title={alt}
      draggable
      onDragStart={(event) => attachOutput(event, run, item)}
      onClick={onOpen}
    >
      {url ? (
        <img src={url} alt={alt} draggable={false} />
      ) : (
        // A video without a thumbnail is still playable: its name is shown instead of an error.
        <span class="ck-note">{error && (item.kind === "video" ? item.name : error)}</span>
      )}
      {item.kind === "video" && (
        <span class="ck-badge">
          <PlayIcon />
        </span>
      )}
    </button>
  );
}
