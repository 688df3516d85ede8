/** The outputs of all runs, the newest first, each run with what made it different. Only what is in sight is in the page. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { alternative, caption, differences, duration } from "../format";
import { CloseIcon, IconButton, PlayIcon } from "../icons";
import { type Run, same } from "../session/protocol";
import type { Session } from "../session/session";
import { Actions, dragOutput } from "./actions";
import { CELL, GAP, layOut, type Segment } from "./galleryLayout";
import type { Opened } from "./lightbox";
import { keyOf, named, Output, type ShowProps, useMedia, useSeen } from "./outputViews";
import { stagedRun } from "./progress";
import { FailureText, isVisual } from "./stage";

/** Pixels above and below that are in the page, too: what the tab key goes to next. */
const MARGIN = 200;

export interface GalleryProps {
  session: Session;
  onOpen(opened: Opened): void;
}

export function Gallery({ session, onOpen }: GalleryProps) {
  const staged = stagedRun(session);
  const runs = session
    .get("runs")
    .filter((run) => run.items.length > 0 || (run.status === "failed" && run.id !== staged?.id));
  const alone = session.get("view") === "run" && runs.length === 1 && runs[0]?.items.length === 1;
  return runs.length === 0 || alone ? null : <Lines session={session} runs={runs} onOpen={onOpen} />;
}

function Lines({ session, runs, onOpen }: GalleryProps & { runs: Run[] }) {
  const box = useRef<HTMLElement>(null);
  const view = useSight(box);
  // The tile that the pointer or the focus is on: it alone has its actions in the page.
  const [active, setActive] = useState("");
  const lines = layOut(runs, Math.max(1, Math.floor((view.width + GAP) / CELL)));
  const last = lines.at(-1);
  return (
    <section
      ref={box}
      class="ck-gallery"
      aria-label="Outputs"
      onMouseLeave={({ currentTarget }) => currentTarget.contains(document.activeElement) || setActive("")}
    >
      <div style={{ height: `${last ? last.top + last.height : 0}px` }}>
        {lines
          .filter(({ top, height }) => top + height > view.top - MARGIN && top < view.top + view.height + MARGIN)
          .map(({ top, caption, segments }) => (
            <div key={top} class="ck-tiles" style={{ top: `${top}px`, "--ck-lines": caption }}>
              {segments.map((segment) => (
                <Group
                  key={keyOf(segment.run, segment.items[0])}
                  session={session}
                  segment={segment}
                  active={active}
                  onActive={setActive}
                  onOpen={onOpen}
                />
              ))}
            </div>
          ))}
      </div>
    </section>
  );
}

/** What of a scrolled element is in sight, in pixels. */
function useSight(box: RefObject<HTMLElement | null>) {
  const [view, setView] = useState({ top: 0, height: 600, width: 600 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => {
      const next = {
        // In steps: not each pixel is a reason to look what is in sight.
        top: Math.floor(element.scrollTop / 64) * 64,
        height: element.clientHeight,
        width: element.clientWidth,
      };
      setView((old) => (same(old, next) ? old : next));
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [box]);
  return view;
}

interface GroupProps extends GalleryProps {
  segment: Segment;
  active: string;
  onActive(tile: string): void;
}

function Group({ session, segment, active, onActive, onOpen }: GroupProps) {
  const { run, before, items, cells } = segment;
  const fields = session.get("fields");
  return (
    <figure class="ck-group" style={{ width: `${cells * CELL - GAP}px` }}>
      {items.map((item) => {
        const tile = keyOf(run, item);
        const enter = () => onActive(tile);
        return (
          // biome-ignore lint/a11y/noStaticElementInteractions: it only shows what its buttons do
          <div key={item?.key ?? "error"} class="ck-cell" onMouseEnter={enter} onFocusIn={enter}>
            {item ? (
              <Tile
                session={session}
                run={run}
                item={item}
                alt={alternative(item, run, fields)}
                onOpen={() => onOpen({ run: run.id, key: item.key })}
              />
            ) : (
              <div class="ck-tile ck-card">{run.error && <FailureText error={run.error} />}</div>
            )}
            {tile === active && (
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
                  disabled={session.channel.closed}
                  onClick={() => session.ask("remove", { run: run.id })}
                />
              </div>
            )}
          </div>
        );
      })}
      <figcaption
        title={differences(run)
          .map((part) => part.join(": "))
          .join("\n")}
      >
        {[run.status === "completed" ? duration(run.seconds) : run.status, run.cost, caption(run, before)]
          .filter(Boolean)
          .join(" · ")}
      </figcaption>
    </figure>
  );
}

function Tile(props: ShowProps & { onOpen(): void }) {
  const { item } = props;
  if (isVisual(item)) return <Thumbnail {...props} />;
  return (
    <div class="ck-tile ck-card">
      <Output {...props} />
    </div>
  );
}

function Thumbnail({ session, run, item, alt, onOpen }: ShowProps & { onOpen(): void }) {
  const tile = useRef<HTMLButtonElement>(null);
  const seen = useSeen(tile);
  const { url, error } = useMedia(session, seen ? named(run, item, "thumb") : null);
  return (
    <button
      ref={tile}
      type="button"
      class="ck-tile ck-open"
      aria-label={alt}
      title={alt}
      draggable
      onDragStart={(event) => dragOutput(event, run, item)}
      onClick={onOpen}
    >
      {url ? (
        <img src={url} alt={alt} draggable={false} />
      ) : (
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
