/** Shows outputs: players, texts, downloads and errors. Shared by the stage, the gallery and the lightbox. */

import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, CopyLink, IconButton } from "../buttons";
import { saveFile } from "../clipboard";
import { formatFetched, formatPercent } from "../format";
import { DownloadIcon, PlayIcon } from "../icons";
import { observeSight } from "../listen";
import { useMedia } from "../session/hooks";
import { type MediaState, toMediaRef } from "../session/media";
import type { Session } from "../session/session";
import { isVisual, type RunOutput } from "./runs";
import type { Zoom } from "./zoom";

/** How far outside of the visible area an element counts as visible, so that it is loaded in time. */
const VISIBLE_MARGIN = "200px";

/** Return whether an element has been visible. Browsers that can't observe it count it as visible. */
export function useHasBeenVisible(element: RefObject<Element | null>): boolean {
  const [visible, setVisible] = useState(typeof IntersectionObserver === "undefined");
  useEffect(() => {
    if (visible || !element.current) return;
    return observeSight(element.current, (isVisible) => isVisible && setVisible(true), VISIBLE_MARGIN);
  }, [visible, element]);
  return visible;
}

/** Hold the thumbnail of an output, once it is wanted. Only images and videos have one. */
export function useThumbnail(session: Session, output: RunOutput | undefined, isWanted = true): MediaState {
  return useMedia(session, output && isWanted && isVisual(output.item) ? toMediaRef(output, "thumb") : null);
}

export interface OutputViewProps extends RunOutput {
  session: Session;
  alt: string;
}

interface PlayerProps extends OutputViewProps {
  autoLoad?: boolean;
  /** How a video is zoomed. */
  zoom?: Pick<Zoom, "isWhole" | "transform">;
}

/** An output that is not an image: a player, a text, or a file to download. */
export function OutputView(props: PlayerProps) {
  const { item } = props;
  if (item.kind === "text") return <TextOutput text={item.text ?? ""} label={item.var || item.node} />;
  return item.kind === "file" ? (
    <Download {...props} class="ck-link">
      {item.name}
    </Download>
  ) : (
    <Player {...props} />
  );
}

/** A video or audio player. The file is fetched when the user presses play, or at once with `autoLoad`. */
function Player({ session, run, item, alt, autoLoad = false, zoom }: PlayerProps) {
  const [attempt, setAttempt] = useState(autoLoad ? 1 : 0);
  const isVideo = item.kind === "video";
  const poster = useThumbnail(session, { run, item });
  const full = useMedia(session, attempt ? toMediaRef({ run, item }, "full") : null, attempt);
  const size = { width: item.width, height: item.height };
  if (full.url && isVideo) {
    return (
      <video
        class="ck-fit"
        src={full.url}
        controls={zoom?.isWhole ?? true}
        loop
        autoplay
        playsInline
        aria-label={alt}
        style={zoom && { transform: zoom.transform }}
        {...size}
      />
    );
  }
  // biome-ignore lint/a11y/useMediaCaption: outputs of a workflow have no captions
  if (full.url) return <audio class="ck-audio" src={full.url} controls autoplay={!autoLoad} aria-label={alt} />;
  const waitingText = isVideo ? null : item.name;
  return (
    <Button
      class={`ck-play${isVideo ? " ck-fit" : ""}`}
      aria-label={`Play ${alt}`}
      disabled={attempt > 0 && !full.error}
      onClick={() => setAttempt(attempt + 1)}
    >
      {poster.url && <img src={poster.url} alt="" />}
      <span class="ck-badge">
        <PlayIcon />
        {full.error ?? (attempt ? formatPercent(full.fraction) : waitingText)}
      </span>
    </Button>
  );
}

function TextOutput({ text, label }: { text: string; label: string }) {
  const isJson = /^\s*[[{]/.test(text);
  return (
    <div class="ck-text">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard */}
      <pre class={isJson ? "ck-code" : ""} tabIndex={0}>
        {text}
      </pre>
      <CopyLink text={text} title={label} />
    </div>
  );
}

interface DownloadProps extends RunOutput {
  session: Session;
  class?: string;
  /** The words beside the icon. */
  children: ComponentChildren;
}

/** A button that fetches an output and saves it as a file. */
export function Download({ session, run, item, class: look, children }: DownloadProps) {
  const [note, setNote] = useState("");
  const release = useRef<(() => void) | undefined>(undefined);
  const { closed } = session.channel;
  useEffect(() => () => release.current?.(), []);
  // It may say that the kernel is disconnected.
  useLayoutEffect(() => {
    if (!closed) setNote("");
  }, [closed]);
  const download = () => {
    if (item.kind === "text") {
      const url = URL.createObjectURL(new Blob([item.text ?? ""], { type: "text/plain" }));
      saveFile(url, `${item.name || "text"}.txt`);
      return URL.revokeObjectURL(url);
    }
    release.current?.();
    const onChange = () => {
      const state = held.getState();
      setNote(formatDownload(state));
      if (state.url) saveFile(state.url, item.name);
    };
    const held = session.media.hold(toMediaRef({ run, item }, "full"), onChange);
    release.current = held.release;
    onChange();
  };
  return (
    <IconButton
      icon={DownloadIcon}
      class={look ?? (children ? "ck-button" : "ck-button ck-square")}
      label={`Download ${item.name}`}
      onClick={download}
    >
      {children && <span>{children}</span>}
      {note && <span class="ck-muted">{note}</span>}
    </IconButton>
  );
}

function formatDownload({ url, error, fraction, total }: MediaState): string {
  if (error !== undefined) return error;
  if (url) return "";
  return formatFetched(fraction, total) || "…";
}
