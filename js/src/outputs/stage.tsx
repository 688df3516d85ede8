/** The stage: what is made now, what came of it, or why nothing did. Its aspect stays, so that nothing jumps. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { alternative } from "../format";
import type { Frame } from "../session/preview";
import type { Item, Run, RunError } from "../session/protocol";
import { type Session, useTopics } from "../session/session";
import type { Opened } from "./lightbox";
import { keyOf, named, Output, useMedia } from "./outputViews";
import { stagedRun } from "./progress";

export interface StageProps {
  session: Session;
  onOpen(opened: Opened): void;
}

export function Stage({ session, onOpen }: StageProps) {
  useTopics(session, "progress", "preview");
  const running = session.active;
  const cancelled = session.get("status") === "cancelled";
  const staged = stagedRun(session);
  // While a run has no picture yet, that of the last one stays, in the back.
  const run = staged && mainItem(staged) ? staged : session.get("runs").find(({ items }) => items.some(isVisual));
  const item = run && mainItem(run);
  const { frame } = session.preview;
  const unfinished = frame && (running || (cancelled && run !== staged)) ? frame : undefined;
  const visual = item && isVisual(item);
  const thumb = useMedia(session, visual ? named(run, item, "thumb") : null);
  const aspect = useAspect(session, unfinished ?? (item?.width ? item : thumb));

  if (staged?.error && staged.status === "failed") {
    return (
      <div class="ck-stage ck-failure">
        <FailureText error={staged.error} />
      </div>
    );
  }
  if (unfinished) {
    return (
      <div class={`ck-stage${running ? "" : " ck-stale"}`} style={{ "--ck-aspect": aspect }}>
        <Sketch frame={unfinished} />
      </div>
    );
  }
  if (!run || !item) {
    if (running) return <div class="ck-stage" style={{ "--ck-aspect": aspect }} />;
    return (
      <div class="ck-stage ck-empty">{`Nothing yet. ${/Mac|iP/.test(navigator.platform) ? "⌘" : "Ctrl"}+Enter starts it.`}</div>
    );
  }
  const alt = alternative(item, run, session.get("fields"));
  const current = run === staged;
  if (item.kind === "image") {
    return (
      <div class={`ck-stage${current ? "" : " ck-stale"}`} style={{ "--ck-aspect": aspect }}>
        <Picture
          key={keyOf(run, item)}
          session={session}
          run={run}
          item={item}
          alt={alt}
          meanwhile={thumb.url}
          frame={current ? frame : null}
          onOpen={() => onOpen({ run: run.id, key: item.key })}
        />
      </div>
    );
  }
  return (
    <div class={`ck-stage${item.kind === "video" ? "" : " ck-flat"}`} style={{ "--ck-aspect": aspect }}>
      <Output key={keyOf(run, item)} session={session} run={run} item={item} alt={alt} />
    </div>
  );
}

export function isVisual(item: Item): boolean {
  return item.kind === "image" || item.kind === "video";
}

/** What a run shows of itself: a picture before other things, a saved one before a temporary one. */
function mainItem({ items }: Run): Item | undefined {
  return items.find((item) => isVisual(item) && !item.temp) ?? items.find(isVisual) ?? items[0];
}

/** The aspect of the stage: of what it shows, else of what is to come, else the last one. */
function useAspect(session: Session, shown: { width?: number; height?: number } | undefined): number {
  const last = useRef(1);
  const values = session.get("values");
  const of = (width: unknown, height: unknown) =>
    Number(width) > 0 && Number(height) > 0 ? Number(width) / Number(height) : 0;
  last.current = of(shown?.width, shown?.height) || of(values.width, values.height) || last.current;
  return Math.min(4, Math.max(0.4, last.current));
}

interface PictureProps {
  session: Session;
  run: Run;
  item: Item;
  alt: string;
  /** What there is to see until it has come: the small one, else the last preview. */
  meanwhile: string | undefined;
  frame: Frame | null;
  onOpen(): void;
}

function Picture({ session, run, item, alt, meanwhile, frame, onOpen }: PictureProps) {
  const full = useMedia(session, named(run, item, "full"));
  const url = full.url ?? meanwhile;
  if (!url) return frame && !full.error ? <Sketch frame={frame} /> : <p class="ck-note">{full.error ?? ""}</p>;
  return (
    <button type="button" class="ck-open" title="Look closer" onClick={onOpen}>
      <img class="ck-fit" src={url} alt={alt} />
    </button>
  );
}

/** A preview, drawn. */
function Sketch({ frame }: { frame: Frame }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => canvas.current?.getContext("2d")?.drawImage(frame as ImageBitmap, 0, 0), [frame]);
  const { width, height } = frame;
  return <canvas ref={canvas} class="ck-fit" role="img" aria-label="Preview" width={width} height={height} />;
}

export function FailureText({ error }: { error: RunError }) {
  return (
    <>
      <p class="ck-error">
        {error.node_title && <strong>{error.node_title}: </strong>}
        {error.message}
      </p>
      {error.traceback && (
        <details>
          <summary>Traceback</summary>
          <pre class="ck-code">{error.traceback}</pre>
        </details>
      )}
    </>
  );
}
