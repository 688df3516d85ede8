/** The lightbox: one output in full size, or two compared, with their details. Arrow keys go through all outputs. */

import type { ComponentChildren, RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, DoneButton, IconButton } from "../buttons";
import { copyImage } from "../clipboard";
import { Dialog } from "../dialog";
import { formatPercent } from "../format";
import { BackIcon, CloseIcon, CompareIcon, CopyIcon, NextIcon, ScreenIcon } from "../icons";
import { clamp } from "../number";
import { getErrorMessage } from "../session/channel";
import type { Session } from "../session/session";
import { hasModifier } from "../session/shortcuts";
import { Actions } from "./actions";
import { Canvas } from "./canvas";
import { Details, Rows } from "./details";
import { Filmstrip } from "./filmstrip";
import { findOutput, getOutputKey, type RunOutput } from "./runs";
import { measureZoom, useZoom } from "./zoom";

/** The output to open. */
export interface Opened {
  run: string;
  key: string;
  /** Whether its details are open as well. */
  info?: boolean;
}

interface LightboxProps {
  session: Session;
  opened: Opened;
  /** Which output it is, where the session has only some of them. */
  place?: string;
  /** Whether the image is at true pixels first. */
  zoomed?: boolean;
  /** More keys than the lightbox has, with what they do. */
  keys?: readonly [string, string][];
  /** What stands at the end of the name. */
  marks?: ComponentChildren;
  /** Handle one of the other keys; return whether it was one. */
  onKey?(event: KeyboardEvent): boolean;
  onShow(opened: Opened): void;
  onClose(): void;
}

type PanelKind = "info" | "keys";

/** Outputs that a page key goes past. */
const PAGE = 10;

// The keys s, x, u and 0 to 5 are an explorer's.
const SHORTCUTS: readonly [string, string][] = [
  ["← →", "previous, next"],
  ["Home End", "first, last"],
  ["Page ↑ ↓", `${PAGE} back, ${PAGE} on`],
  ["z", "true pixels, or the whole image"],
  ["+ −", "zoom in, out (or mouse wheel)"],
  ["Space", "play, pause"],
  ["c", "compare other outputs with this one"],
  ["d", "compare with a divider (drag, ← →), or side by side"],
  ["i", "details"],
  ["f", "full screen"],
  ["Ctrl+C", "copy the image"],
  ["?", "keyboard shortcuts"],
  ["Esc", "close"],
];

/** The lightbox, as a modal dialog. */
export function Lightbox(props: LightboxProps) {
  const { session, opened, onShow, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const [panel, setPanel] = useState<PanelKind | null>(opened.info ? "info" : null);
  const [pinned, setPinned] = useState<Opened | null>(null);
  const [sliderOn, setSliderOn] = useState(false);
  const [problem, setProblem] = useState("");
  const outputs = session.get("runs").flatMap((run) => run.items.map((item) => ({ run, item })));
  const index = findOutput(outputs, opened);
  const pinnedIndex = findOutput(outputs, pinned);
  const current = outputs[index];
  const other = pinnedIndex === index ? undefined : outputs[pinnedIndex];
  const ownPlace = usePlace(outputs.length, index);
  const place = props.place ?? ownPlace;
  const moveTo = (to: number) => {
    const next = outputs[clamp(to, 0, outputs.length - 1)];
    if (!next) return;
    setProblem("");
    onShow({ run: next.run.id, key: next.item.key });
  };
  const move = (by: number) => moveTo(index + by);
  // The view is kept while outputs are compared, whichever they are.
  const zoom = useZoom(other ? "compare" : `${opened.run}/${opened.key}`, dialog, move);
  // The output may be discarded while it is shown.
  useLayoutEffect(() => {
    if (!current) onClose();
  }, [!current]);
  useTruePixels(dialog, props.zoomed === true, zoom.toggle);
  if (!current) return null;

  const togglePanel = (kind: PanelKind) => setPanel(panel === kind ? null : kind);
  const togglePin = () => setPinned(pinned ? null : opened);
  const toggleSlider = () => setSliderOn(!sliderOn);
  const copy = async () => {
    const why = await copyCurrent(dialog.current).then(() => "", getErrorMessage);
    setProblem(why);
    return why === "";
  };
  const slider = sliderOn && current.item.kind === "image" && other?.item.kind === "image";
  const shortcuts: Record<string, () => void> = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    Home: () => moveTo(0),
    End: () => moveTo(outputs.length - 1),
    PageUp: () => move(-PAGE),
    PageDown: () => move(PAGE),
    ...zoom.keys,
    " ": () => togglePlayback(dialog.current),
    c: togglePin,
    d: toggleSlider,
    i: () => togglePanel("info"),
    f: () => toggleFullScreen(dialog.current),
    "?": () => togglePanel("keys"),
    Escape: onClose,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (hasModifier(event)) {
      // A selected text is copied by the browser.
      if (event.key === "c" && !event.altKey && !getSelection()?.toString()) void copy();
      return;
    }
    const action = isUsedByElement(event, dialog.current) ? undefined : shortcuts[event.key];
    if (action) action();
    else if (!props.onKey?.(event)) return;
    event.preventDefault();
  };
  const { item } = current;
  const shown = other ? [other, current] : [current];
  const message = problem || session.notice;

  return (
    <Dialog
      dialog={dialog}
      label={item.name}
      onClose={onClose}
      onClick={(event) => event.target === event.currentTarget && onClose()}
      onKeyDown={onKeyDown}
    >
      <Head
        session={session}
        current={current}
        place={place}
        panel={panel}
        comparing={pinned === null ? "no" : other ? "yes" : "waits"}
        slider={slider}
        dialog={dialog}
        marks={props.marks}
        view={zoom.transform}
        togglePanel={togglePanel}
        togglePin={togglePin}
        toggleSlider={toggleSlider}
        onCopy={copy}
        onClose={onClose}
      />
      {message && (
        <p class="ck-error" role="alert">
          {message}
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
        {panel && <Panel session={session} kind={panel} shown={shown} keys={[...SHORTCUTS, ...(props.keys ?? [])]} />}
      </div>
      {outputs.length > 1 && <Filmstrip session={session} outputs={outputs} index={index} onShow={moveTo} />}
    </Dialog>
  );
}

interface HeadProps {
  session: Session;
  current: RunOutput;
  place: string;
  panel: PanelKind | null;
  /** Whether outputs are compared, or the second one has to be chosen. */
  comparing: "no" | "waits" | "yes";
  slider: boolean;
  dialog: RefObject<HTMLDialogElement | null>;
  marks: ComponentChildren;
  /** The transform of the image. */
  view: string;
  togglePanel(kind: PanelKind): void;
  togglePin(): void;
  toggleSlider(): void;
  /** Resolves to whether the image was copied. */
  onCopy(): Promise<boolean>;
  onClose(): void;
}

/** The name of the output, and all buttons. */
function Head(props: HeadProps) {
  const { session, current, place, panel, comparing, slider, dialog, view, togglePanel, onClose } = props;
  const { run, item } = current;
  return (
    <div class="ck-line ck-head">
      <span class="ck-grow ck-name">
        {item.name} <span class="ck-muted">{place}</span>
        <ZoomLabel dialog={dialog} view={view} />
      </span>
      {props.marks}
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
      {item.kind === "image" && (
        <DoneButton
          key={`copy ${getOutputKey(run, item)}`}
          icon={CopyIcon}
          label="Copy image"
          done="Copied"
          title="Copy the image (Ctrl+C)"
          action={props.onCopy}
        />
      )}
      <IconButton
        icon={CompareIcon}
        class="ck-button"
        label="Compare"
        title="Compare other outputs with this one (c)"
        aria-pressed={comparing !== "no"}
        onClick={props.togglePin}
      >
        <span>{comparing === "waits" ? "Go to another output" : "Compare"}</span>
      </IconButton>
      {comparing === "yes" && (
        <Button aria-pressed={slider} title="Compare with a divider (d)" onClick={props.toggleSlider}>
          Divider
        </Button>
      )}
      <IconButton
        icon={ScreenIcon}
        label="Full screen"
        title="Full screen (f)"
        onClick={() => toggleFullScreen(dialog.current)}
      />
      <Button
        class="ck-button ck-square"
        aria-label="Keyboard shortcuts"
        title="Keyboard shortcuts (?)"
        aria-pressed={panel === "keys"}
        onClick={() => togglePanel("keys")}
      >
        ?
      </Button>
      <IconButton icon={CloseIcon} label="Close" onClick={onClose} />
    </div>
  );
}

interface PanelProps {
  session: Session;
  kind: PanelKind;
  shown: readonly RunOutput[];
  keys: readonly [string, string][];
}

/** The details of what is shown, or the keyboard shortcuts. */
function Panel({ session, kind, shown, keys }: PanelProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard
    <aside class="ck-panel" aria-label={kind === "keys" ? "Keyboard shortcuts" : "Details"} tabIndex={0}>
      {kind === "keys" && (
        <dl>
          <Rows rows={keys} />
        </dl>
      )}
      {kind === "info" &&
        shown.map((output) => (
          <Details
            key={getOutputKey(output.run, output.item)}
            session={session}
            output={output}
            showName={shown.length > 1}
          />
        ))}
    </aside>
  );
}

/**
 * Return which output this is: "5 of 15", and how many came since.
 *
 * New outputs stand before the others. They are counted only once one of them is shown, so that no number moves.
 */
function usePlace(count: number, index: number): string {
  const [counted, setCounted] = useState(count);
  const added = Math.max(0, count - counted);
  useLayoutEffect(() => {
    if (index < added || count < counted) setCounted(count);
  }, [count, counted, index, added]);
  return `${index - added + 1} of ${counted}${added > 0 ? ` · ${added} new` : ""}`;
}

/** The zoom in percent of true pixels, once it is not that of the whole image. */
function ZoomLabel({ dialog, view }: { dialog: RefObject<HTMLElement | null>; view: string }) {
  const [percent, setPercent] = useState("");
  useLayoutEffect(() => {
    const isWhole = view.endsWith("scale(1)");
    setPercent(isWhole ? "" : ` · ${formatPercent(1 / measureZoom(dialog.current))}`);
  }, [view]);
  return <span class="ck-muted">{percent}</span>;
}

/** Begin with the image at true pixels, once its size is known. */
function useTruePixels(dialog: RefObject<HTMLElement | null>, zoomed: boolean, toggle: (factor: number) => void): void {
  const isDone = useRef(!zoomed);
  useLayoutEffect(() => {
    if (isDone.current) return;
    const factor = measureZoom(dialog.current);
    if (factor === 1) return;
    isDone.current = true;
    toggle(factor);
  });
}

/** Return whether the focused element uses a key itself: a button Space, the slider arrows, a select both. */
function isUsedByElement(event: KeyboardEvent, dialog: HTMLElement | null): boolean {
  const target = event.target as HTMLElement;
  if (target === dialog) return false;
  return event.key === " " || (/^(Arrow|Home|End|Page)/.test(event.key) && !target.matches("button"));
}

/** Copy the image that is shown last, once it is there in full. */
async function copyCurrent(dialog: HTMLElement | null): Promise<void> {
  const image = [...(dialog?.querySelectorAll<HTMLImageElement>(".ck-pane img") ?? [])].at(-1);
  if (!image) throw new Error("only images can be copied");
  if (image.dataset.full === undefined) throw new Error("the image is still loading");
  await copyImage(image.src);
}

function togglePlayback(dialog: HTMLElement | null): void {
  const player = dialog?.querySelector<HTMLMediaElement>("video, audio");
  if (player) void (player.paused ? player.play() : player.pause());
}

/** Enter or leave full screen. Browsers allow it for a dialog's content, but not for the dialog. */
function toggleFullScreen(dialog: HTMLElement | null): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else
    void dialog
      ?.querySelector(".ck-frame")
      ?.requestFullscreen?.()
      .catch(() => {});
}
