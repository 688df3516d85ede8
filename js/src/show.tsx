/** Outputs as elements: pictures, players, texts, files to keep. Shared by the stage, the gallery and the lightbox. */

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { byteSize } from "./format";
import { DownloadIcon, PlayIcon } from "./icons";
import type { MediaName, MediaState } from "./media";
import type { Item, Run } from "./protocol";
import type { Session } from "./session";

const NOTHING: MediaState = { fraction: 0 };

/** A medium of the kernel, held as long as the component shows it; nothing is fetched for null. */
export function useMedia(session: Session, name: MediaName | null): MediaState {
  const [state, setState] = useState(NOTHING);
  const { run, key, size, version } = name ?? {};
  useLayoutEffect(() => {
    setState(NOTHING);
    if (run === undefined || key === undefined || size === undefined) return;
    const held = session.media.hold({ run, key, size, ...(version !== undefined && { version }) }, () =>
      setState(held.state()),
    );
    setState(held.state());
    return held.release;
  }, [session, run, key, size, version]);
  return state;
}

/** Whether an element has come into sight; where that can't be told, it has. */
export function useSeen(element: RefObject<Element | null>): boolean {
  const [seen, setSeen] = useState(typeof IntersectionObserver === "undefined");
  useEffect(() => {
    if (seen || !element.current) return;
    const observer = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true),
      {
        rootMargin: "200px",
      },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [seen, element]);
  return seen;
}

export interface ShowProps {
  session: Session;
  run: Run;
  item: Item;
  alt: string;
}

/** A video or sound with its controls, once it is wanted. */
export function Player({ session, run, item, alt, wanted = false }: ShowProps & { wanted?: boolean }) {
  const [started, setStarted] = useState(wanted);
  const video = item.kind === "video";
  const poster = useMedia(session, video ? { run: run.id, key: item.key, size: "thumb" } : null);
  const full = useMedia(session, started ? { run: run.id, key: item.key, size: "full" } : null);
  const size = { width: item.width, height: item.height };
  if (full.url && video) {
    return <video class="ck-fit" src={full.url} controls loop autoplay playsInline aria-label={alt} {...size} />;
  }
  // biome-ignore lint/a11y/useMediaCaption: what a workflow makes has no captions
  if (full.url) return <audio class="ck-audio" src={full.url} controls autoplay={!wanted} aria-label={alt} />;
  return (
    <button
      type="button"
      class={`ck-play${video ? " ck-fit" : ""}`}
      aria-label={`Play ${alt}`}
      disabled={started && !full.error}
      onClick={() => setStarted(true)}
    >
      {poster.url && <img src={poster.url} alt="" />}
      <span class="ck-badge">
        <PlayIcon />
        {full.error ?? (started ? `${Math.round(full.fraction * 100)} %` : video ? null : item.name)}
      </span>
    </button>
  );
}

export function Text({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
  };
  const data = /^\s*[[{]/.test(text);
  return (
    <div class="ck-text">
      <pre class={data ? "ck-code" : ""}>{text}</pre>
      <button type="button" class="ck-link" title={label} onClick={() => copy().catch(() => setCopied(false))}>
        {copied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

/** Fetches a medium and hands it to the browser to keep. */
export function Download({
  session,
  run,
  item,
  children,
}: Omit<ShowProps, "alt"> & { children?: preact.ComponentChildren }) {
  const [note, setNote] = useState("");
  const stop = useRef<(() => void) | undefined>(undefined);
  useEffect(() => () => stop.current?.(), []);
  const keep = () => {
    stop.current?.();
    const step = () => {
      const { url, error, fraction, total } = held.state();
      setNote(error ?? (url ? "" : total ? `${Math.round(fraction * 100)} % of ${byteSize(total)}` : "…"));
      if (url) save(url, item.name);
    };
    const held = session.media.hold({ run: run.id, key: item.key, size: "full" }, step);
    stop.current = held.release;
    step();
  };
  return (
    <button type="button" class="ck-link ck-download" title={`Download ${item.name}`} onClick={keep}>
      <DownloadIcon />
      {children ?? "Download"}
      {note && <span class="ck-muted">{note}</span>}
    </button>
  );
}

function save(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}
