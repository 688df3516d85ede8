/** The note and the tags of points, to be edited in place. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { focusOnce } from "../focus";
import type { Explorer } from "./state/explorer";

/** What separates two notes, and two tags. */
const SEPARATORS = [" ", ", "];

/** A note and tags while they are typed. Closing the lightbox moves them to other fields, in the footer. */
export interface Annotating {
  /** What is changed is set for all of these, even if the focus has moved meanwhile. */
  readonly points: readonly number[];
  /** What stands in the fields. */
  texts: string[];
  /** What the points have; undefined until it is known. */
  before?: string[];
}

interface AnnotationProps {
  explorer: Explorer;
  annotating: Annotating;
  onClose(): void;
}

/** Two fields. Enter saves, as leaving them does; Escape does not. Without a kernel they stay open. */
export function Annotation({ explorer, annotating, onClose }: AnnotationProps) {
  const { points } = annotating;
  const [, render] = useState({});
  const filled = useRef<Promise<void> | undefined>(undefined);
  const isClosed = useRef(false);
  const fill = async () => {
    if (!annotating.before) await explorer.details.load(points);
    // Not loaded if the kernel was gone.
    if (!annotating.before && points.every((point) => explorer.details.get(point))) {
      annotating.before = findShared(explorer, points);
      // What was typed while they were loaded comes after them.
      annotating.texts = annotating.before.map((text, index) =>
        [text, annotating.texts[index]].filter(Boolean).join(SEPARATORS[index]),
      );
    }
    render({});
  };
  useLayoutEffect(() => {
    filled.current = fill();
  }, []);
  const save = async () => {
    await filled.current;
    await fill();
    if (!annotating.before) return;
    const [oldNote, oldTags] = annotating.before;
    const [note, tags] = annotating.texts;
    if (note === oldNote && tags === oldTags) return;
    const set = note === oldNote ? {} : { note };
    void explorer.requestOrNotify("mark", { points, set, tags: [oldTags, tags] });
  };
  const close = (saves: boolean) => {
    if (isClosed.current) return;
    const isChanged = annotating.texts.some((text, index) => text !== (annotating.before?.[index] ?? ""));
    if (saves && isChanged && !explorer.checkKeeping()) return;
    isClosed.current = true;
    if (saves) void save();
    onClose();
  };
  return (
    <form
      class="ck-line ck-grow ck-x-annotation"
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        close(event.key === "Enter");
      }}
      onFocusOut={({ currentTarget, relatedTarget }) =>
        currentTarget.contains(relatedTarget as Node | null) || close(true)
      }
    >
      {["Note", "Tags"].map((label, index) => (
        <input
          key={label}
          ref={index === 0 ? focusOnce : null}
          class="ck-input ck-grow"
          aria-label={label}
          placeholder={index === 0 ? label : "Tags, with commas"}
          value={annotating.texts[index]}
          onInput={({ currentTarget }) => {
            annotating.texts[index] = currentTarget.value;
          }}
        />
      ))}
    </form>
  );
}

/** Return the note, if all points have the same, and the tags that all of them have. */
function findShared(explorer: Explorer, points: readonly number[]): [note: string, tags: string] {
  const all = points.map((point) => explorer.details.get(point) ?? {});
  const tags = all[0]?.tags?.filter((tag) => all.every((each) => each.tags?.includes(tag))) ?? [];
  return [(new Set(all.map(({ note }) => note)).size === 1 && all[0]?.note) || "", tags.join(", ")];
}
