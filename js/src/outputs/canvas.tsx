/** The images of the lightbox: one as large as it fits, or two side by side or one over the other. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatAltText, formatFetched } from "../format";
import { listen } from "../listen";
import { useMedia } from "../session/hooks";
import { toMediaRef } from "../session/media";
import type { Session } from "../session/session";
import { OutputView, type OutputViewProps, useThumbnail } from "./outputViews";
import { formatDifferences, getOutputKey, type RunOutput } from "./runs";
import type { Zoom } from "./zoom";

interface CanvasProps {
  session: Session;
  /** One output, or two to compare. */
  shown: readonly RunOutput[];
  slider: boolean;
  zoom: Zoom;
}

/** The outputs, side by side or one over the other with a slider between them. */
export function Canvas({ session, shown, slider, zoom }: CanvasProps) {
  const fields = session.get("fields");
  return (
    <div class={`ck-canvas${slider ? " ck-as-divider" : ""}`}>
      {shown.map((output, index) => {
        const { run, item } = output;
        const other = shown[1 - index];
        return (
          <Pane
            key={getOutputKey(run, item)}
            session={session}
            run={run}
            item={item}
            alt={formatAltText(item, run, fields)}
            zoom={zoom}
          >
            {other && <p class="ck-tag">{formatDifferences(run, other.run, fields) || item.name}</p>}
          </Pane>
        );
      })}
      {slider && <Divider />}
    </div>
  );
}

interface PaneProps extends OutputViewProps {
  zoom: Zoom;
  /** More attributes of its element. */
  attributes?: object;
  children?: ComponentChildren;
}

/** One output: an image or a video that can be zoomed, or a player, a text, a file. */
export function Pane({ zoom, attributes, children, ...props }: PaneProps) {
  const { kind } = props.item;
  return (
    <div class="ck-pane" {...attributes} {...findHandlers(kind, zoom)}>
      {kind === "image" ? (
        <FullImage {...props} transform={zoom.transform} />
      ) : (
        <OutputView {...props} autoLoad zoom={zoom} />
      )}
      {children}
    </div>
  );
}

/** Return what zooms an output. The pointer is for a video's own controls, which it has while it is shown whole. */
function findHandlers(kind: string, { handlers, isWhole }: Zoom): Partial<Zoom["handlers"]> {
  if (kind === "image" || (kind === "video" && !isWhole)) return handlers;
  return kind === "video" ? { onWheel: handlers.onWheel } : {};
}

/** A divider between two outputs that are one over the other. It sets where the second one is cut off. */
export function Divider() {
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    // It has the arrow keys at once. When it goes, the focus must not leave the dialog.
    const dialog = input.current?.closest("dialog");
    input.current?.focus();
    return () => dialog?.focus();
  }, []);
  return (
    <input
      ref={input}
      type="range"
      class="ck-divider"
      aria-label="Divider"
      defaultValue="50"
      onInput={({ currentTarget }) =>
        currentTarget.parentElement?.style.setProperty("--ck-at", `${currentTarget.valueAsNumber / 100}`)
      }
    />
  );
}

/** An image as large as it fits, but never larger than its pixels. */
function FullImage({ session, run, item, alt, transform }: OutputViewProps & { transform: string }) {
  const thumb = useThumbnail(session, { run, item });
  const full = useMedia(session, toMediaRef({ run, item }, "full"));
  // Only the thumbnail tells the size of the full image: without it, the image would move when it becomes known.
  const url = thumb.url || thumb.error ? (full.url ?? thumb.url) : undefined;
  const { width = 0, height = 0 } = item.width ? item : thumb;
  const [ratio, setRatio] = useState(devicePixelRatio);
  useEffect(() => listen(window, "resize", () => setRatio(devicePixelRatio)), []);
  // With the size of the full image, so that the thumbnail takes the same place until it is loaded.
  const size = width > 0 ? { "--ck-width": `${width / ratio}px`, "--ck-ratio": width / height } : {};
  return (
    <>
      {url && (
        <img
          class={`ck-whole${width > 0 ? "" : " ck-fit"}`}
          src={url}
          alt={alt}
          width={width || undefined}
          height={height || undefined}
          data-full={url === full.url ? "" : undefined}
          style={{ ...size, transform }}
          draggable={false}
        />
      )}
      {!full.url && <p class="ck-note ck-loading">{full.error ?? formatFetched(full.fraction, full.total)}</p>}
    </>
  );
}
