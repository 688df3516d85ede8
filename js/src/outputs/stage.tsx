/** The stage: the preview of the current run, its main output, or its error. Its aspect ratio is kept between runs. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "../buttons";
import { formatAltText } from "../format";
import { observeSight } from "../listen";
import { clamp } from "../number";
import { useMedia, useTopics } from "../session/hooks";
import { type MediaRef, toMediaRef } from "../session/media";
import type { Frame } from "../session/preview";
import type { Run } from "../session/protocol";
import type { Session } from "../session/session";
import { Failure } from "./failure";
import type { Opened } from "./lightbox";
import { OutputView, useThumbnail } from "./outputViews";
import { findMainItem, findStagedRun, getOutputKey, isVisual, type RunOutput } from "./runs";

/** Aspect ratios that the stage takes; images beyond them have margins. */
const MIN_ASPECT = 0.4;
const MAX_ASPECT = 4;

interface StageProps {
  session: Session;
  onOpen(opened: Opened): void;
}

/** The stage of a view. The kernel knows whether it is in sight. */
export function Stage(props: StageProps) {
  const box = useRef<HTMLDivElement>(null);
  const { session } = props;
  useEffect(() => {
    const view = {};
    const stop = box.current && observeSight(box.current, (isVisible) => session.sight.set(view, isVisible));
    return () => {
      stop?.();
      session.sight.remove(view);
    };
  }, [session]);
  return (
    <div ref={box}>
      <StageContent {...props} />
    </div>
  );
}

function StageContent({ session, onOpen }: StageProps) {
  useTopics(session, "progress", "preview");
  const staged = findStagedRun(session);
  const output = findShownOutput(session, staged);
  const isCurrent = output?.run === staged;
  const preview = findPreview(session, isCurrent);
  const thumb = useThumbnail(session, output);
  const style = { "--ck-aspect": useAspect(session, preview ?? (output?.item.width ? output.item : thumb)) };

  if (staged?.error && staged.status === "failed") {
    return (
      <div class="ck-stage ck-flat">
        <Failure error={staged.error} />
      </div>
    );
  }
  if (preview) {
    return (
      <div class={`ck-stage${session.active ? "" : " ck-stale"}`} style={style}>
        <PreviewCanvas frame={preview} />
      </div>
    );
  }
  if (output) return <OutputStage {...{ session, output, isCurrent, style, onOpen }} thumbUrl={thumb.url} />;
  if (!session.active) return <EmptyStage session={session} />;
  return (
    <div class="ck-stage ck-note" style={style}>
      No preview yet
    </div>
  );
}

interface OutputStageProps extends StageProps {
  output: RunOutput;
  /** Whether the output is of the run on the stage, not of one before it. */
  isCurrent: boolean;
  style: { "--ck-aspect": number };
  thumbUrl: string | undefined;
}

function OutputStage({ session, output: { run, item }, isCurrent, style, thumbUrl, onOpen }: OutputStageProps) {
  const key = getOutputKey(run, item);
  const props = { session, run, item, alt: formatAltText(item, run, session.get("fields")) };
  if (item.kind !== "image") {
    return (
      <div class={`ck-stage${item.kind === "video" ? "" : " ck-flat"}`} style={style}>
        <OutputView key={key} {...props} />
      </div>
    );
  }
  return (
    <div class={`ck-stage${isCurrent ? "" : " ck-stale"}`} style={style}>
      <StageImage
        key={key}
        {...props}
        thumbUrl={thumbUrl}
        frame={isCurrent ? session.preview.frame : null}
        onOpen={() => onOpen({ run: run.id, key: item.key })}
      />
    </div>
  );
}

/** Find the main output of the run on the stage. Until it has one, the last image or video stays in the background. */
function findShownOutput(session: Session, staged: Run | undefined): RunOutput | undefined {
  const hasOutput = staged && findMainItem(staged);
  const run = hasOutput ? staged : session.get("runs").find(({ items }) => items.some(isVisual));
  const item = run && findMainItem(run);
  return item && { run, item };
}

/** Find the preview of a run that is active, or was cancelled before it had an output. */
function findPreview(session: Session, hasOutput: boolean): Frame | null {
  const wasCancelled = session.get("status") === "cancelled" && !hasOutput;
  return session.active || wasCancelled ? session.preview.frame : null;
}

/** The image that the workflow came in. */
const ORIGIN: MediaRef = { run: "workflow", key: "", size: "full" };

/** The stage before the first run: small, or with the image that the workflow came in. */
function EmptyStage({ session }: { session: Session }) {
  const origin = useMedia(session, session.get("has_origin") ? ORIGIN : null);
  if (origin.url) {
    return (
      <div class="ck-stage ck-origin" title="The image that this workflow came in">
        <img class="ck-fit" src={origin.url} alt="What this workflow came in" />
      </div>
    );
  }
  const modifier = /Mac|iP/.test(navigator.platform) ? "⌘" : "Ctrl";
  return <div class="ck-stage ck-empty">{`No output yet. Press ${modifier}+Enter to run.`}</div>;
}

interface PixelSize {
  width?: number;
  height?: number;
}

/** Return the aspect ratio of what the stage shows, else of the expected image, else the last one. */
function useAspect(session: Session, shown: PixelSize | undefined): number {
  const last = useRef(1);
  const values = session.get("values");
  last.current =
    computeAspect(shown?.width, shown?.height) || computeAspect(values.width, values.height) || last.current;
  return clamp(last.current, MIN_ASPECT, MAX_ASPECT);
}

/** Compute an aspect ratio; 0 if the sizes are not positive numbers. */
function computeAspect(width: unknown, height: unknown): number {
  return Number(width) > 0 && Number(height) > 0 ? Number(width) / Number(height) : 0;
}

interface StageImageProps extends RunOutput {
  session: Session;
  alt: string;
  /** Shown until the full image is loaded: the thumbnail, else the last preview. */
  thumbUrl: string | undefined;
  frame: Frame | null;
  onOpen(): void;
}

function StageImage({ session, run, item, alt, thumbUrl, frame, onOpen }: StageImageProps) {
  const full = useMedia(session, toMediaRef({ run, item }, "full"));
  const url = full.url ?? thumbUrl;
  if (!url) return frame && !full.error ? <PreviewCanvas frame={frame} /> : <p class="ck-note">{full.error ?? ""}</p>;
  return (
    <Button class="ck-open" title="Open full size" data-output={getOutputKey(run, item)} onClick={onOpen}>
      <img class="ck-fit" src={url} alt={alt} />
    </Button>
  );
}

function PreviewCanvas({ frame }: { frame: Frame }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => canvas.current?.getContext("2d")?.drawImage(frame as ImageBitmap, 0, 0), [frame]);
  const { width, height } = frame;
  return <canvas ref={canvas} class="ck-fit" role="img" aria-label="Preview" width={width} height={height} />;
}
