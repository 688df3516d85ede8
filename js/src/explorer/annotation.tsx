/** The note and the tags of points, to be edited in place. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Explorer } from "./state/explorer";

/** What stands between two notes, and between two tags. */
const SEPARATORS = [" ", ", "];

interface AnnotationProps {
  explorer: Explorer;
  /** They all get what is changed. */
  points: readonly number[];
  onClose(): void;
}

/** Two fields. Enter saves, as leaving them does; Escape does not. */
export function Annotation({ explorer, points, onClose }: AnnotationProps) {
  const form = useRef<HTMLFormElement>(null);
  const filled = useRef<Promise<string[]> | null>(null);
  useLayoutEffect(() => {
    const inputs = listInputs(form.current);
    filled.current = explorer.details.load(points).then(() => {
      const before = findShared(explorer, points);
      // What was typed until they were known goes behind them.
      for (const [index, input] of inputs.entries())
        input.value = [before[index], input.value].filter(Boolean).join(SEPARATORS[index]);
      return before;
    });
  }, []);
  const close = (saves: boolean) => {
    if (!form.current) return;
    const inputs = listInputs(form.current);
    form.current = null;
    if (saves)
      void filled.current?.then(([oldNote, oldTags]) => {
        const [note, tags] = inputs.map(({ value }) => value);
        if (note === oldNote && tags === oldTags) return;
        const set = note === oldNote ? {} : { note };
        void explorer.requestOrNotify("mark", { points, set, tags: [oldTags, tags] });
      });
    onClose();
  };
  return (
    <form
      ref={form}
      class="ck-line ck-grow ck-x-annotation"
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        close(event.key === "Enter");
      }}
      onFocusOut={(event) => !form.current?.contains(event.relatedTarget as Node | null) && close(true)}
    >
      {["Note", "Tags"].map((label, index) => (
        <input
          key={label}
          ref={index === 0 ? focusOnce : null}
          class="ck-input ck-grow"
          aria-label={label}
          placeholder={index === 0 ? label : "Tags, with commas"}
        />
      ))}
    </form>
  );
}

function listInputs(form: HTMLFormElement | null): HTMLInputElement[] {
  return [...(form?.querySelectorAll("input") ?? [])];
}

/** Return the note, if all points have the same, and the tags that all of them have. */
function findShared(explorer: Explorer, points: readonly number[]): [note: string, tags: string] {
  const all = points.map((point) => explorer.details.get(point) ?? {});
  const tags = all[0]?.tags?.filter((tag) => all.every((each) => each.tags?.includes(tag))) ?? [];
  return [(new Set(all.map(({ note }) => note)).size === 1 && all[0]?.note) || "", tags.join(", ")];
}

function focusOnce(element: HTMLInputElement | null): void {
  if (!element?.dataset.ck) element?.focus();
  if (element) element.dataset.ck = "";
}
