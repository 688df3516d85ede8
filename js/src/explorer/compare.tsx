/** Two to four points side by side: common zoom, a divider, flicker, the difference of their pixels, videos in step. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import { Dialog } from "../dialog";
import { formatAltText } from "../format";
import { CloseIcon } from "../icons";
import { Divider, Pane } from "../outputs/canvas";
import { findMainItem, type RunOutput } from "../outputs/runs";
import { useZoom } from "../outputs/zoom";
import { useAnswer } from "../session/hooks";
import { hasModifier } from "../session/shortcuts";
import { MarkSigns } from "./cell";
import type { Explorer } from "./state/explorer";
import { findAction } from "./state/keys";
import { followFirst, stepFrames } from "./videos";

const MODES = ["side", "divider", "flicker", "difference"] as const;
const LABELS = ["Side by side", "Divider (d)", "Flicker (b)", "Difference (e)"];
type Mode = (typeof MODES)[number];

/** Milliseconds that flicker shows each image. */
const FLICKER_TIME = 600;
const LETTERS = "ABCD";

interface CompareProps {
  explorer: Explorer;
  onClose(): void;
}

/** The comparison, as a modal dialog. */
export function Compare({ explorer, onClose }: CompareProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [mode, setMode] = useState<Mode>("side");
  const [active, setActive] = useState(0);
  const [playing, setPlaying] = useState(true);
  const [strong, setStrong] = useState(false);
  const [, render] = useState({});
  const points = [...explorer.compared];
  const outputs = points.map((point) => findOutput(explorer, point));
  const at = Math.min(active, points.length - 1);
  const other = at === 0 ? 1 : at;
  const zoom = useZoom("compare", dialog, (by) => move(by));
  const answer = useAnswer(explorer, "differ", { points }) as unknown as Differences | undefined;
  const { rows, pixels } = answer ?? NO_DIFFERENCES;
  const isLoaded = outputs.filter(Boolean).length > 1;
  const isComparing = points.length > 1;
  useLayoutEffect(() => {
    if (!isComparing) onClose();
  }, [isComparing]);
  useEffect(() => void explorer.details.load(points).then(() => render({})), [points.join()]);
  useEffect(() => (dialog.current ? followFirst(dialog.current) : undefined), [points.join(), isLoaded]);
  useEffect(() => {
    if (mode !== "flicker" || !playing) return;
    const timer = setInterval(() => setActive((old) => (old + 1) % points.length), FLICKER_TIME);
    return () => clearInterval(timer);
  }, [mode, playing, points.length]);

  const move = (by: number) => {
    setPlaying(false);
    // The first one stays where others are laid over it.
    const first = mode === "divider" || mode === "difference" ? 1 : 0;
    const count = points.length - first;
    setActive(first + ((Math.max(at, first) - first + by + count) % count));
  };
  const choose = (next: Mode) => {
    setMode(next === mode ? "side" : next);
    setPlaying(true);
  };
  const putFirst = () => {
    explorer.compareOnly([points[at] ?? 0, ...points.filter((_, index) => index !== at)]);
    setActive(0);
  };
  const shortcuts: Record<string, () => void> = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    d: () => choose("divider"),
    b: () => choose("flicker"),
    e: () => choose("difference"),
    r: putFirst,
    c: () => explorer.toggleCompared(points[at] ?? 0),
    ...zoom.keys,
    " ": () => (mode === "flicker" ? setPlaying(!playing) : stepFrames(dialog.current, 0)),
    ",": () => stepFrames(dialog.current, -1),
    ".": () => stepFrames(dialog.current, 1),
    Escape: onClose,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const { key } = event;
    const target = event.target as HTMLElement;
    const isUsed = target.matches("input") ? key.startsWith("Arrow") : target.matches("button") && key === " ";
    if (hasModifier(event) || isUsed) return;
    const action = findAction(event);
    if (action?.kind === "mark") explorer.mark(action.mark, [points[at] ?? 0]);
    else if (action?.kind === "undo") explorer.undo();
    else if (shortcuts[key]) shortcuts[key]();
    else return;
    event.preventDefault();
  };
  const isShown = (index: number) =>
    mode === "side" || (mode === "flicker" ? index === at : index === 0 || index === other);

  if (!isComparing) return null;
  return (
    <Dialog
      dialog={dialog}
      class="ck-x-compare"
      label={`Compare ${points.length}`}
      onClose={onClose}
      onKeyDown={onKeyDown}
    >
      <div class="ck-line ck-head">
        <span class="ck-line" role="group" aria-label="How to compare">
          {MODES.map((each, index) => (
            <Button key={each} aria-pressed={mode === each} onClick={() => mode !== each && choose(each)}>
              {LABELS[index]}
            </Button>
          ))}
        </span>
        {mode === "difference" && (
          <Button aria-pressed={strong} onClick={() => setStrong(!strong)}>
            × 8
          </Button>
        )}
        <span class="ck-grow ck-name ck-muted" role="status">
          {mode === "difference" && pixels[other]}
          {explorer.notice}
        </span>
        <IconButton icon={CloseIcon} label="Close" onClick={onClose} />
      </div>
      <div class="ck-x-compared" style={{ "--ck-count": points.length }}>
        {points.map((point, index) => (
          <Button
            key={point}
            class={`ck-quiet ck-x-letter${isShown(index) ? "" : " ck-x-hidden"}`}
            aria-pressed={index === at}
            title="The image that is marked (← →); r puts it first, c leaves it out"
            onClick={() => setActive(index)}
          >
            {LETTERS[index]} <MarkSigns marks={explorer.points.getMarks(point)} compared={false} />
          </Button>
        ))}
        {rows.map(([name, texts]) =>
          texts.map((parts, index) => (
            <p key={`${name} ${index}`} class={isShown(index) ? "" : "ck-x-hidden"}>
              <span class="ck-muted">{name}</span> {parts.map(([text, differs]) => (differs ? <b>{text}</b> : text))}
            </p>
          )),
        )}
      </div>
      <div class="ck-lightbox-body">
        <div class={`ck-canvas ck-as-${mode}${strong ? " ck-strong" : ""}`} data-count={points.length}>
          {outputs.map(
            (output, index) =>
              output && (
                <Pane
                  key={output.run.id}
                  {...output}
                  session={explorer}
                  alt={formatAltText(output.item, output.run, [])}
                  zoom={zoom}
                  attributes={{
                    hidden: !isShown(index),
                    "data-active": index === at && mode === "side" ? "" : undefined,
                    onPointerDownCapture: () => mode === "side" && setActive(index),
                  }}
                >
                  {(mode === "side" || mode === "flicker") && <span class="ck-tag">{LETTERS[index]}</span>}
                </Pane>
              ),
          )}
          {mode === "divider" && <Divider />}
        </div>
      </div>
    </Dialog>
  );
}

function findOutput(explorer: Explorer, point: number): RunOutput | undefined {
  const run = explorer.getRun(point);
  const item = run && findMainItem(run);
  return run && item && { run, item };
}

/** How compared points differ, as the kernel reports it. */
interface Differences {
  /** The values that differ, by name, with one for each point: its parts, each with whether it differs. */
  rows: [string, [string, boolean][][]][];
  /** How each point's image differs from the first one, in words. */
  pixels: string[];
}

const NO_DIFFERENCES: Differences = { rows: [], pixels: [] };
