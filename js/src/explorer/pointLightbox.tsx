/** The lightbox of an explorer: a point at full size, with its marks. */

import type { ComponentChildren } from "preact";
import { Lightbox, type Opened } from "../outputs/lightbox";
import { findMainItem } from "../outputs/runs";
import { MarkSigns } from "./cell";
import type { Explorer } from "./state/explorer";
import { findAction } from "./state/keys";

/** Points on each side of the one in the lightbox that it can go to at once. */
const REACH = 15;
/** Which keys of the legend work in the lightbox, too. */
const MARK_KEYS = [2, 7] as const;

interface PointLightboxProps {
  explorer: Explorer;
  sequence: readonly number[];
  opened: Opened;
  zoomed: boolean;
  /** The fields of the note and the tags, while they are edited. */
  annotation: ComponentChildren;
  onAnnotate(): void;
  onShow(point: number, key: string): void;
  onClose(): void;
}

/** The lightbox, with the marks of its point and the keys that set them. */
export function PointLightbox({ explorer, sequence, annotation, onAnnotate, onShow, ...props }: PointLightboxProps) {
  const onKey = (event: KeyboardEvent) => {
    const action = findAction(event);
    if (action?.kind === "undo") explorer.undo();
    else if (action?.kind === "mark") explorer.mark(action.mark, [explorer.focused]);
    else if (action?.kind === "note") onAnnotate();
    else return false;
    return true;
  };
  return (
    <Lightbox
      session={explorer}
      place={`${sequence.indexOf(explorer.focused) + 1} of ${sequence.length}`}
      marks={
        annotation || (
          <span class="ck-x-lightbox-marks">
            <MarkSigns marks={explorer.points.getMarks(explorer.focused)} compared={false} />
          </span>
        )
      }
      keys={explorer.about.legend?.slice(...MARK_KEYS) ?? []}
      onKey={onKey}
      onShow={(next) => {
        const point = explorer.shown.find((each) => explorer.details.get(each)?.id === next.run);
        if (point !== undefined) onShow(point, next.key);
      }}
      {...props}
    />
  );
}

/** Open a point: fetch the details of those around it first. */
export async function showPoint(
  explorer: Explorer,
  list: readonly number[],
  point: number,
  key?: string,
): Promise<Opened | undefined> {
  const index = list.indexOf(point);
  explorer.focus(point);
  explorer.shown = list
    .slice(Math.max(0, index - REACH), index + REACH + 1)
    .filter((each) => explorer.points.isDone(each));
  await explorer.details.load(explorer.shown);
  const run = explorer.details.get(point);
  const item = run?.items && findMainItem({ ...run, items: run.items } as never);
  return run?.id && item ? { run: run.id, key: key ?? item.key } : undefined;
}
