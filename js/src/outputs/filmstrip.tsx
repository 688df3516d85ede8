/** The outputs around the one in the lightbox, as small images. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "../buttons";
import { PlayIcon, TextIcon } from "../icons";
import type { Session } from "../session/session";
import { useThumbnail } from "./outputViews";
import { getOutputKey, type RunOutput } from "./runs";

/** Outputs on each side of the current one that are in the page. */
const REACH = 20;

interface FilmstripProps {
  session: Session;
  outputs: readonly RunOutput[];
  index: number;
  onShow(index: number): void;
}

/** The filmstrip. The arrow keys of the lightbox move through it, so Tab goes past it. */
export function Filmstrip({ session, outputs, index, onShow }: FilmstripProps) {
  const strip = useRef<HTMLDivElement>(null);
  const first = Math.max(0, index - REACH);
  useLayoutEffect(() => {
    const element = strip.current;
    const frame = element?.querySelector<HTMLElement>('[aria-current="true"]');
    if (element && frame) element.scrollLeft = frame.offsetLeft + (frame.offsetWidth - element.clientWidth) / 2;
  });
  return (
    <div ref={strip} class="ck-film">
      {outputs.slice(first, index + REACH + 1).map((output, at) => (
        <Button
          key={getOutputKey(output.run, output.item)}
          class="ck-open"
          tabIndex={-1}
          aria-label={`Output ${first + at + 1}: ${output.item.name}`}
          aria-current={first + at === index}
          onClick={() => onShow(first + at)}
        >
          <Frame session={session} {...output} />
        </Button>
      ))}
    </div>
  );
}

function Frame({ session, run, item }: RunOutput & { session: Session }) {
  const { url } = useThumbnail(session, { run, item });
  if (url) return <img src={url} alt="" draggable={false} />;
  return item.kind === "text" || item.kind === "file" ? <TextIcon /> : <PlayIcon />;
}
