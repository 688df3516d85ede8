/** Outputs as elements: pictures, players, texts, files to keep. Shared by the stage, the gallery and the lightbox. */

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { byteSize } from "../format";
import { DownloadIcon, IconButton, PlayIcon } from "../icons";
import type { MediaName, MediaState, Size } from "../session/media";
import type { Item, Run } from "../session/protocol";
import type { Session } from "../session/session";

const NOTHING: MediaState = { fraction: 0 };

/** A medium of the kernel, held as long as the component shows it; nothing is fetched for null. */
export function useMedia(session: Session, name: MediaName | null): MediaState {
  const [state, setState] = useState(NOTHING);
  const id = name && JSON.stringify(name);
  useLayoutEffect(() => {
    setState(NOTHING);
    if (!name) return;
    const held = session.media.hold(name, () => setState(held.state()));
    setState(held.state());
    return held.release;
  }, [session, id]);
  return state;
}

/** An output of a run in the given size. */
export function named(run: Run, item: Item, size: Size): MediaName {
  return { run: run.id, key: item.key, size };
}

/** Tells an output from all others. */
export function keyOf(run: Run, item: Item | null | undefined): string {
  return `${run.id}/${item?.key}`;
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
function Player({ session, run, item, alt, wanted = false }: ShowProps & { wanted?: boolean }) {
  const [started, setStarted] = useState(wanted);
  const video = item.kind === "video";
  const poster = useMedia(session, video ? named(run, item, "thumb") : null);
  const full = useMedia(session, started ? named(run, item, "full") : null);
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

/** What is no picture: a player, a text, or a file that can only be kept. */
export function Output(props: ShowProps & { wanted?: boolean }) {
  const { item } = props;
  if (item.kind === "text") return <Text text={item.text ?? ""} label={item.var || item.node} />;
  return item.kind === "file" ? <Download {...props} label={item.name} /> : <Player {...props} />;
}

function Text({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const data = /^\s*[[{]/.test(text);
  return (
    <div class="ck-text">
      <pre class={data ? "ck-code" : ""}>{text}</pre>
      <button
        type="button"
        class="ck-link"
        title={label}
        onClick={async (event) => setCopied(await copyText(text, event.currentTarget))}
      >
        {copied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

/** Copies a text, also where a page may not use the clipboard (plain http); returns whether it did. */
export async function copyText(text: string, near: Element): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    // Beside the button: what is outside of an open dialog can't be selected.
    near.after(area);
    area.select();
    const copied = document.execCommand?.("copy") ?? false;
    area.remove();
    return copied;
  }
}

export interface DownloadProps extends Omit<ShowProps, "alt"> {
  label?: string;
  class?: string;
}

/** Fetches a medium and hands it to the browser to keep. */
export function Download({ session, run, item, label = "Download", class: look = "ck-link" }: DownloadProps) {
  const [note, setNote] = useState("");
  const stop = useRef<(() => void) | undefined>(undefined);
  useEffect(() => () => stop.current?.(), []);
  const keep = () => {
    if (item.kind === "text") {
      const url = URL.createObjectURL(new Blob([item.text ?? ""], { type: "text/plain" }));
      save(url, `${item.name || "text"}.txt`);
      return URL.revokeObjectURL(url);
    }
    stop.current?.();
    const step = () => {
      const { url, error, fraction, total } = held.state();
      setNote(error ?? (url ? "" : total ? `${Math.round(fraction * 100)} % of ${byteSize(total)}` : "…"));
      if (url) save(url, item.name);
    };
    const held = session.media.hold(named(run, item, "full"), step);
    stop.current = held.release;
    step();
  };
  return (
    <IconButton icon={DownloadIcon} class={look} label={`Download ${item.name}`} onClick={keep}>
      {label && <span>{label}</span>}
      {note && <span class="ck-muted">{note}</span>}
    </IconButton>
  );
}

function save(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}
