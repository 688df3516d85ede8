/** One output over everything, or two beside or over each other: all their pixels, what made them, the next by arrow keys. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { alternative, byteSize, caption, differences, duration } from "../format";
import { BackIcon, CloseIcon, CompareIcon, IconButton, NextIcon } from "../icons";
import type { Item, Run } from "../session/protocol";
import type { Session } from "../session/session";
import { Actions } from "./actions";
import { keyOf, named, Output, type ShowProps, useMedia } from "./outputViews";
import { useZoom } from "./zoom";

export interface Opened {
  run: string;
  key: string;
  /** With what made it beside it. */
  info?: boolean;
}

export interface LightboxProps {
  session: Session;
  opened: Opened;
  onShow(opened: Opened): void;
  onClose(): void;
}

const KEYS: readonly [string, string][] = [
  ["← →", "the one before, the next"],
  ["+ −", "closer, further (or the wheel)"],
  ["0", "the whole picture"],
  ["1", "its own pixels"],
  ["Space", "play, pause"],
  ["c", "keep this one, compare others with it"],
  ["s", "side by side, or by a slider (drag, ← →)"],
  ["i", "what made it"],
  ["?", "these keys"],
  ["Esc", "close"],
];

export function Lightbox({ session, opened, onShow, onClose }: LightboxProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [panel, setPanel] = useState<"info" | "keys" | null>(opened.info ? "info" : null);
  const [kept, setKept] = useState<Opened | null>(null);
  const [sliding, setSliding] = useState(false);
  const [at, setAt] = useState(50);
  const all = session.get("runs").flatMap((run) => run.items.map((item) => ({ run, item })));
  const find = (one: Opened | null) => all.findIndex(({ run, item }) => run.id === one?.run && item.key === one.key);
  const [here, there] = [find(opened), find(kept)];
  const current = all[here];
  const other = there === here ? undefined : all[there];
  const go = (by: number) => {
    const next = all[here + by];
    if (next) onShow({ run: next.run.id, key: next.item.key });
  };
  // Two that are compared are looked at in the same place, whichever they are.
  const zoom = useZoom(other ? "two" : `${opened.run}/${opened.key}`, go);
  const gone = current === undefined;
  const thumb = useMedia(session, current ? named(current.run, current.item, "thumb") : null);

  useLayoutEffect(() => {
    if (gone) return onClose();
    const element = dialog.current;
    element?.showModal();
    // None of its buttons: the keys are for the picture.
    element?.focus();
    // Closing gives the focus back to where it came from.
    return () => element?.close();
  }, [gone]);
  if (!current) return null;

  const toggle = (which: "info" | "keys") => setPanel(panel === which ? null : which);
  const keep = () => setKept(kept ? null : opened);
  const slider = other !== undefined && sliding && current.item.kind === "image" && other.item.kind === "image";
  const ownPixels = () => {
    const picture = dialog.current?.querySelector<HTMLImageElement>(".ck-pane img");
    if (!picture) return;
    const { width, height } = picture.getBoundingClientRect();
    const { naturalWidth, naturalHeight } = picture;
    zoom.by(1 / Math.min(width / naturalWidth, height / naturalHeight) / devicePixelRatio);
  };
  const play = () => {
    const video = dialog.current?.querySelector<HTMLMediaElement>("video, audio");
    if (video) void (video.paused ? video.play() : video.pause());
  };
  const keys: Record<string, () => void> = {
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
    "+": () => zoom.by(1.25),
    "=": () => zoom.by(1.25),
    "-": () => zoom.by(0.8),
    "−": () => zoom.by(0.8),
    "0": zoom.reset,
    "1": ownPixels,
    " ": play,
    c: keep,
    s: () => setSliding(!sliding),
    i: () => toggle("info"),
    "?": () => toggle("keys"),
    Escape: onClose,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // Nothing that is typed here is for the notebook behind.
    event.stopPropagation();
    const target = event.target as HTMLElement;
    // A button is pressed by the space key, the slider moved by arrows, a list by both.
    const own =
      target !== dialog.current && (event.key === " " || (event.key.startsWith("Arrow") && !target.matches("button")));
    const action = own || event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  const { run, item } = current;
  const fields = session.get("fields");
  const shown = other ? [other, current] : [current];
  const facts = shown.flatMap((each) => [
    ...(other ? ([["", each.item.name]] as const) : []),
    ...factsOf(each.run, each.item, each === current && !each.item.width ? thumb : each.item),
  ]);

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
          {item.name} <span class="ck-muted">{`${here + 1} of ${all.length}`}</span>
        </span>
        <Actions
          key={keyOf(run, item)}
          session={session}
          run={run}
          item={item}
          named
          info={panel === "info"}
          onInfo={() => toggle("info")}
          onChanged={onClose}
        />
        <IconButton
          icon={CompareIcon}
          class="ck-button"
          label="Compare"
          title="Keep this one, compare others with it (c)"
          aria-pressed={kept !== null}
          onClick={keep}
        >
          <span>{kept && !other ? "Now go to another" : "Compare"}</span>
        </IconButton>
        {other && (
          <button type="button" class="ck-button" aria-pressed={slider} title="Over each other (s)" onClick={keys.s}>
            Slider
          </button>
        )}
        <button
          type="button"
          class="ck-button ck-square"
          aria-label="Keys"
          aria-pressed={panel === "keys"}
          onClick={() => toggle("keys")}
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
      <div class="ck-look">
        <IconButton
          icon={BackIcon}
          class="ck-button ck-side-button"
          label="Previous"
          disabled={here === 0}
          onClick={() => go(-1)}
        />
        <div class={`ck-canvas${slider ? " ck-slide" : ""}`} style={{ "--ck-at": at / 100 }}>
          {shown.map((each) => {
            const props = { session, ...each, alt: alternative(each.item, each.run, fields) };
            const image = each.item.kind === "image";
            return (
              <div key={keyOf(each.run, each.item)} class="ck-pane" {...(image && zoom.handlers)}>
                {image ? <Whole {...props} transform={zoom.transform} /> : <Output {...props} wanted />}
                {other && (
                  <p class="ck-tag">{caption(each.run, (each === other ? current : other).run) || each.item.name}</p>
                )}
              </div>
            );
          })}
          {slider && (
            <input
              ref={takeFocus}
              type="range"
              class="ck-divider"
              aria-label="Divider"
              value={at}
              onInput={(event) => setAt(event.currentTarget.valueAsNumber)}
            />
          )}
        </div>
        <IconButton
          icon={NextIcon}
          class="ck-button ck-side-button"
          label="Next"
          disabled={here === all.length - 1}
          onClick={() => go(1)}
        />
        {panel && (
          <aside class="ck-panel">
            <dl>
              {(panel === "keys" ? KEYS : facts).map(([name, value], index) => (
                <div key={`${index}`}>
                  <dt>{name}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
          </aside>
        )}
      </div>
    </dialog>
  );
}

/** The keys move the slider as soon as it is there. */
function takeFocus(element: HTMLElement | null): void {
  element?.focus();
}

interface PixelSize {
  width?: number;
  height?: number;
}

function factsOf(run: Run, item: Item, { width, height }: PixelSize): [string, string][] {
  const rows: [string, string][] = [
    ...differences(run),
    ["node", item.var ? `${item.node} (${item.var})` : item.node],
    ["size", width ? `${width} × ${height}` : ""],
    ["took", duration(run.seconds)],
    ["cost", run.cost],
    ["workflow", run.workflow],
    ["server", run.server],
  ];
  return rows.filter(([, value]) => value);
}

function Whole({ session, run, item, alt, transform }: ShowProps & { transform: string }) {
  const thumb = useMedia(session, named(run, item, "thumb"));
  const full = useMedia(session, named(run, item, "full"));
  const url = full.url ?? thumb.url;
  const loading = full.total ? `${Math.round(full.fraction * 100)} % of ${byteSize(full.total)}` : "";
  const { width, height } = item.width ? item : thumb;
  return (
    <>
      {/* The size is known before the pixels are: the small picture takes the place of the large one. */}
      {url && (
        <img class="ck-fit" src={url} alt={alt} width={width} height={height} style={{ transform }} draggable={false} />
      )}
      {!full.url && <p class="ck-note ck-loading">{full.error ?? loading}</p>}
    </>
  );
}
