/** The lightbox: one output in full size, or two compared, with their details. Arrow keys go through all outputs. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatAltText, formatBytes, formatCaption, formatDuration, formatPercent, listChanges } from "../format";
import { BackIcon, CloseIcon, CompareIcon, IconButton, NextIcon } from "../icons";
import { useMedia } from "../session/hooks";
import { toMediaRef } from "../session/media";
import type { Session } from "../session/session";
import { Actions } from "./actions";
import { OutputView, type OutputViewProps } from "./outputViews";
import { getOutputKey, isVisual, type RunOutput } from "./runs";
import { useZoom, type Zoom } from "./zoom";

/** The output to open. */
export interface Opened {
  run: string;
  key: string;
  /** Whether its details are open as well. */
  info?: boolean;
}

export interface LightboxProps {
  session: Session;
  opened: Opened;
  onShow(opened: Opened): void;
  onClose(): void;
}

type PanelKind = "info" | "keys";

const ZOOM_IN = 1.25;
const ZOOM_OUT = 0.8;

const SHORTCUTS: readonly [string, string][] = [
  ["← →", "previous, next"],
  ["+ −", "zoom in, out (or mouse wheel)"],
  ["0", "fit to window"],
  ["1", "actual pixels"],
  ["Space", "play, pause"],
  ["c", "compare other outputs with this one"],
  ["s", "compare side by side or with a slider (drag, ← →)"],
  ["i", "details"],
  ["?", "keyboard shortcuts"],
  ["Esc", "close"],
];

/** The lightbox, as a modal dialog. */
export function Lightbox({ session, opened, onShow, onClose }: LightboxProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [panel, setPanel] = useState<PanelKind | null>(opened.info ? "info" : null);
  const [pinned, setPinned] = useState<Opened | null>(null);
  const [sliderOn, setSliderOn] = useState(false);
  const outputs = session.get("runs").flatMap((run) => run.items.map((item) => ({ run, item })));
  const index = findOutput(outputs, opened);
  const pinnedIndex = findOutput(outputs, pinned);
  const current = outputs[index];
  const other = pinnedIndex === index ? undefined : outputs[pinnedIndex];
  const move = (by: number) => {
    const next = outputs[index + by];
    if (next) onShow({ run: next.run.id, key: next.item.key });
  };
  // The view is kept while outputs are compared, whichever they are.
  const zoom = useZoom(other ? "compare" : `${opened.run}/${opened.key}`, move);
  useDialog(dialog, current !== undefined, onClose);
  if (!current) return null;

  const togglePanel = (kind: PanelKind) => setPanel(panel === kind ? null : kind);
  const togglePin = () => setPinned(pinned ? null : opened);
  const toggleSlider = () => setSliderOn(!sliderOn);
  const slider = sliderOn && current.item.kind === "image" && other?.item.kind === "image";
  const shortcuts: Record<string, () => void> = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    "+": () => zoom.zoomBy(ZOOM_IN),
    "=": () => zoom.zoomBy(ZOOM_IN),
    "-": () => zoom.zoomBy(ZOOM_OUT),
    "−": () => zoom.zoomBy(ZOOM_OUT),
    "0": zoom.reset,
    "1": () => zoom.zoomBy(measureActualPixels(dialog.current)),
    " ": () => togglePlayback(dialog.current),
    c: togglePin,
    s: toggleSlider,
    i: () => togglePanel("info"),
    "?": () => togglePanel("keys"),
    Escape: onClose,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // No key may reach the notebook behind the lightbox.
    event.stopPropagation();
    const ignored = event.ctrlKey || event.metaKey || event.altKey || isUsedByElement(event, dialog.current);
    const action = ignored ? undefined : shortcuts[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  const { run, item } = current;
  const shown = other ? [other, current] : [current];

  return (
    <dialog
      ref={dialog}
      tabIndex={-1}
      class="ck-lightbox"
      aria-label={item.name}
      data-lm-suppress-shortcuts="true"
      onClose={onClose}
      onClick={(event) => event.target === event.currentTarget && onClose()}
      onKeyDown={onKeyDown}
    >
      <div class="ck-line ck-head">
        <span class="ck-grow ck-name">
          {item.name} <span class="ck-muted">{`${index + 1} of ${outputs.length}`}</span>
        </span>
        <Actions
          key={getOutputKey(run, item)}
          session={session}
          run={run}
          item={item}
          showLabels
          infoOpen={panel === "info"}
          onInfo={() => togglePanel("info")}
          onFormChange={onClose}
        />
        <IconButton
          icon={CompareIcon}
          class="ck-button"
          label="Compare"
          title="Compare other outputs with this one (c)"
          aria-pressed={pinned !== null}
          onClick={togglePin}
        >
          <span>{pinned && !other ? "Go to another output" : "Compare"}</span>
        </IconButton>
        {other && (
          <button
            type="button"
            class="ck-button"
            aria-pressed={slider}
            title="Compare with a slider (s)"
            onClick={toggleSlider}
          >
            Slider
          </button>
        )}
        <button
          type="button"
          class="ck-button ck-square"
          aria-label="Keyboard shortcuts"
          title="Keyboard shortcuts (?)"
          aria-pressed={panel === "keys"}
          onClick={() => togglePanel("keys")}
        >
          ?
        </button>
        <IconButton icon={CloseIcon} label="Close" onClick={onClose} />
      </div>
      {session.notice && (
        <p class="ck-error" role="alert">
          {session.notice}
        </p>
      )}
      <div class="ck-lightbox-body">
        <IconButton
          icon={BackIcon}
          class="ck-button ck-side-button"
          label="Previous"
          disabled={index === 0}
          onClick={() => move(-1)}
        />
        <Canvas session={session} shown={shown} slider={slider} zoom={zoom} />
        <IconButton
          icon={NextIcon}
          class="ck-button ck-side-button"
          label="Next"
          disabled={index === outputs.length - 1}
          onClick={() => move(1)}
        />
        {panel && (
          <aside class="ck-panel">
            <dl>
              {panel === "keys" && <Rows rows={SHORTCUTS} />}
              {panel === "info" &&
                shown.map((output) => (
                  <Details
                    key={getOutputKey(output.run, output.item)}
                    session={session}
                    output={output}
                    showName={shown.length > 1}
                  />
                ))}
            </dl>
          </aside>
        )}
      </div>
    </dialog>
  );
}

function findOutput(outputs: readonly RunOutput[], opened: Opened | null): number {
  return outputs.findIndex(({ run, item }) => run.id === opened?.run && item.key === opened.key);
}

/** Open the dialog while there is something to show, and close the lightbox when there is not. */
function useDialog(dialog: RefObject<HTMLDialogElement | null>, hasOutput: boolean, onClose: () => void): void {
  useLayoutEffect(() => {
    if (!hasOutput) return onClose();
    const element = dialog.current;
    element?.showModal();
    // The dialog itself, not its first button: keys are for the output.
    element?.focus();
    // Closing returns the focus to where it was before.
    return () => element?.close();
  }, [hasOutput]);
}

/** Return whether the focused element uses a key itself: a button Space, the slider arrows, a select both. */
function isUsedByElement(event: KeyboardEvent, dialog: HTMLElement | null): boolean {
  const target = event.target as HTMLElement;
  if (target === dialog) return false;
  return event.key === " " || (event.key.startsWith("Arrow") && !target.matches("button"));
}

/** Return the factor that makes a pixel of the image a pixel of the screen. */
function measureActualPixels(dialog: HTMLElement | null): number {
  const image = dialog?.querySelector<HTMLImageElement>(".ck-pane img");
  if (!image) return 1;
  const { width, height } = image.getBoundingClientRect();
  const { naturalWidth, naturalHeight } = image;
  return 1 / Math.min(width / naturalWidth, height / naturalHeight) / devicePixelRatio;
}

function togglePlayback(dialog: HTMLElement | null): void {
  const player = dialog?.querySelector<HTMLMediaElement>("video, audio");
  if (player) void (player.paused ? player.play() : player.pause());
}

interface CanvasProps {
  session: Session;
  /** One output, or two to compare. */
  shown: readonly RunOutput[];
  slider: boolean;
  zoom: Zoom;
}

/** The outputs, side by side or one over the other with a slider between them. */
function Canvas({ session, shown, slider, zoom }: CanvasProps) {
  const [position, setPosition] = useState(50);
  const fields = session.get("fields");
  return (
    <div class={`ck-canvas${slider ? " ck-overlaid" : ""}`} style={{ "--ck-at": position / 100 }}>
      {shown.map((output, index) => {
        const { run, item } = output;
        const props = { session, run, item, alt: formatAltText(item, run, fields) };
        const isImage = item.kind === "image";
        const other = shown[1 - index];
        return (
          <div key={getOutputKey(run, item)} class="ck-pane" {...(isImage && zoom.handlers)}>
            {isImage ? <FullImage {...props} transform={zoom.transform} /> : <OutputView {...props} autoLoad />}
            {other && <p class="ck-tag">{formatCaption(run, other.run) || item.name}</p>}
          </div>
        );
      })}
      {slider && (
        <input
          ref={focusElement}
          type="range"
          class="ck-divider"
          aria-label="Divider"
          value={position}
          onInput={(event) => setPosition(event.currentTarget.valueAsNumber)}
        />
      )}
    </div>
  );
}

/** Focus an element when it appears: then the arrow keys move the slider. */
function focusElement(element: HTMLElement | null): void {
  element?.focus();
}

function FullImage({ session, run, item, alt, transform }: OutputViewProps & { transform: string }) {
  const thumb = useMedia(session, toMediaRef(run, item, "thumb"));
  const full = useMedia(session, toMediaRef(run, item, "full"));
  const url = full.url ?? thumb.url;
  const loading = full.total ? `${formatPercent(full.fraction)} of ${formatBytes(full.total)}` : "";
  const { width, height } = item.width ? item : thumb;
  return (
    <>
      {/* With the size of the full image, so that the thumbnail takes the same place until it is loaded. */}
      {url && (
        <img class="ck-fit" src={url} alt={alt} width={width} height={height} style={{ transform }} draggable={false} />
      )}
      {!full.url && <p class="ck-note ck-loading">{full.error ?? loading}</p>}
    </>
  );
}

function Rows({ rows }: { rows: readonly (readonly [string, string])[] }) {
  return rows.map(([name, value], index) => (
    <div key={`${index}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  ));
}

interface DetailsProps {
  session: Session;
  output: RunOutput;
  showName: boolean;
}

/** How an output was made: what was changed, its node, size, time, cost, workflow and server. */
function Details({ session, output: { run, item }, showName }: DetailsProps) {
  // The thumbnail comes with the size of the image, where the run does not have it.
  const thumb = useMedia(session, isVisual(item) && !item.width ? toMediaRef(run, item, "thumb") : null);
  const { width, height } = item.width ? item : thumb;
  const rows: [string, string][] = [
    ...listChanges(run),
    ["node", item.var ? `${item.node} (${item.var})` : item.node],
    ["size", width ? `${width} × ${height}` : ""],
    ["time", formatDuration(run.seconds)],
    ["cost", run.cost],
    ["workflow", run.workflow],
    ["server", run.server],
  ];
  const name: [string, string][] = showName ? [["", item.name]] : [];
  return <Rows rows={[...name, ...rows.filter(([, value]) => value)]} />;
}
