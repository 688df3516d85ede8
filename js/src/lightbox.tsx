/** One output over everything: all its pixels, its neighbours by arrow keys, what made it. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { alternative, byteSize, differences, duration } from "./format";
import { ArrowIcon, CloseIcon, InfoIcon } from "./icons";
import type { Item, Run } from "./protocol";
import { type Session, useTopics } from "./session";
import { Download, Player, useMedia } from "./show";
import { isVisual } from "./stage";

export interface Opened {
  run: string;
  key: string;
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
  ["i", "what made it"],
  ["?", "these keys"],
  ["Esc", "close"],
];

export function Lightbox({ session, opened, onShow, onClose }: LightboxProps) {
  useTopics(session, "runs", "fields");
  const dialog = useRef<HTMLDialogElement>(null);
  const [panel, setPanel] = useState<"info" | "keys" | null>(null);
  const all = session.get("runs").flatMap((run) => run.items.filter(isVisual).map((item) => ({ run, item })));
  const at = all.findIndex(({ run, item }) => run.id === opened.run && item.key === opened.key);
  const current = all[at];
  const zoom = useZoom(`${opened.run}/${opened.key}`);
  const gone = current === undefined;
  const thumb = useMedia(session, current ? { run: opened.run, key: opened.key, size: "thumb" } : null);

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

  const go = (by: number) => {
    const next = all[at + by];
    if (next) onShow({ run: next.run.id, key: next.item.key });
  };
  const toggle = (which: "info" | "keys") => setPanel(panel === which ? null : which);
  const keys: Record<string, () => void> = {
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
    "+": () => zoom.by(1.25),
    "=": () => zoom.by(1.25),
    "-": () => zoom.by(0.8),
    "−": () => zoom.by(0.8),
    "0": zoom.reset,
    i: () => toggle("info"),
    "?": () => toggle("keys"),
    Escape: onClose,
  };
  const { run, item } = current;
  const alt = alternative(item, run, session.get("fields"));
  const { width, height } = item.width ? item : thumb;
  const size = width && height ? { width, height } : {};

  return (
    <dialog
      ref={dialog}
      tabIndex={-1}
      class="ck-lightbox"
      aria-label={item.name}
      data-lm-suppress-shortcuts="true"
      onClose={onClose}
      onClick={(event) => event.target === event.currentTarget && onClose()}
      onKeyDown={(event) => {
        // Nothing that is typed here is for the notebook behind.
        event.stopPropagation();
        const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
        if (!action) return;
        event.preventDefault();
        action();
      }}
    >
      <header class="ck-line">
        <span class="ck-grow ck-name">
          {item.name} <span class="ck-muted">{`${at + 1} of ${all.length}`}</span>
        </span>
        <Download key={`${run.id}/${item.key}`} session={session} run={run} item={item} />
        <button
          type="button"
          class="ck-button ck-square"
          aria-label="Parameters"
          aria-pressed={panel === "info"}
          onClick={() => toggle("info")}
        >
          <InfoIcon />
        </button>
        <button
          type="button"
          class="ck-button ck-square"
          aria-label="Keys"
          aria-pressed={panel === "keys"}
          onClick={() => toggle("keys")}
        >
          ?
        </button>
        <button type="button" class="ck-button ck-square" aria-label="Close" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      <div class="ck-look">
        <button
          type="button"
          class="ck-button ck-square ck-side-button"
          aria-label="Previous"
          disabled={at === 0}
          onClick={() => go(-1)}
        >
          <ArrowIcon back />
        </button>
        <div class="ck-canvas" {...(item.kind === "image" && zoom.handlers)}>
          {item.kind === "image" ? (
            <Whole
              key={`${run.id}/${item.key}`}
              session={session}
              run={run}
              item={item}
              alt={alt}
              transform={zoom.transform}
              meanwhile={thumb.url}
              {...size}
            />
          ) : (
            <Player key={`${run.id}/${item.key}`} session={session} run={run} item={item} alt={alt} wanted />
          )}
        </div>
        <button
          type="button"
          class="ck-button ck-square ck-side-button"
          aria-label="Next"
          disabled={at === all.length - 1}
          onClick={() => go(1)}
        >
          <ArrowIcon />
        </button>
        {panel && (
          <aside class="ck-panel">
            <List rows={panel === "keys" ? KEYS : facts(run, item, size)} />
          </aside>
        )}
      </div>
    </dialog>
  );
}

interface PixelSize {
  width?: number;
  height?: number;
}

function facts(run: Run, item: Item, { width, height }: PixelSize): [string, string][] {
  const rows: [string, string][] = [
    ...differences(run),
    ["node", item.var ? `${item.node} (${item.var})` : item.node],
    ["size", width ? `${width} × ${height}` : ""],
    ["took", duration(run.seconds)],
    ["workflow", run.workflow],
    ["server", run.server],
  ];
  return rows.filter(([, value]) => value);
}

function List({ rows }: { rows: readonly [string, string][] }) {
  return (
    <dl>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface WholeProps extends PixelSize {
  session: Session;
  run: Run;
  item: Item;
  alt: string;
  transform: string;
  meanwhile: string | undefined;
}

function Whole({ session, run, item, alt, transform, meanwhile, width, height }: WholeProps) {
  const full = useMedia(session, { run: run.id, key: item.key, size: "full" });
  const url = full.url ?? meanwhile;
  const loading = full.total ? `${Math.round(full.fraction * 100)} % of ${byteSize(full.total)}` : "";
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

interface View {
  scale: number;
  x: number;
  y: number;
}

const WHOLE: View = { scale: 1, x: 0, y: 0 };

/** Zoom by wheel and keys, pan by drag. The picture with this key is shown whole at first. */
function useZoom(key: string) {
  const [view, setView] = useState(WHOLE);
  const drag = useRef<{ x: number; y: number } | null>(null);
  useLayoutEffect(() => setView(WHOLE), [key]);

  /** Scales about a point, in pixels from the middle of the canvas. */
  const by = (factor: number, x = 0, y = 0) =>
    setView((old) => {
      const scale = Math.min(32, Math.max(1, old.scale * factor));
      if (scale === 1) return WHOLE;
      const ratio = scale / old.scale;
      return { scale, x: x - (x - old.x) * ratio, y: y - (y - old.y) * ratio };
    });

  const handlers = {
    onWheel: (event: WheelEvent) => {
      event.preventDefault();
      const box = (event.currentTarget as Element).getBoundingClientRect();
      const [x, y] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
      by(Math.exp(-event.deltaY * 0.0015), x, y);
    },
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      drag.current = { x: event.clientX, y: event.clientY };
    },
    onPointerMove: (event: PointerEvent) => {
      const from = drag.current;
      if (!from) return;
      drag.current = { x: event.clientX, y: event.clientY };
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      setView((old) => (old.scale === 1 ? old : { ...old, x: old.x + dx, y: old.y + dy }));
    },
    onPointerUp: () => {
      drag.current = null;
    },
    onPointerCancel: () => {
      drag.current = null;
    },
    onDblClick: () => (view.scale === 1 ? by(3) : setView(WHOLE)),
  };
  return {
    by,
    reset: () => setView(WHOLE),
    handlers,
    transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
  };
}
