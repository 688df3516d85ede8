/** The note and the tags of points, to be edited in place. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { focusOnce } from "../focus";
import type { Explorer } from "./state/explorer";

/** What stands between two notes, and between two tags. */
const SEPARATORS = [" ", ", "];

interface AnnotationProps {
  explorer: Explorer;
  /** They all get what is changed. */
  points: readonly number[];
  onClose(): void;
}

/** Two fields. Enter saves, as leaving them does; Escape does not. Without a kernel they stay open. */
export function Annotation({ explorer, points: targets, onClose }: AnnotationProps) {
  // The fields are filled for these: the focus may move meanwhile.
  const [points] = useState(targets);
  const form = useRef<HTMLFormElement>(null);
  const before = useRef<string[] | undefined>(undefined);
  const filled = useRef<Promise<void> | undefined>(undefined);
  const fill = async (inputs: HTMLInputElement[]) => {
    await explorer.details.load(points);
    // Not loaded if the kernel was gone.
    if (before.current || !points.every((point) => explorer.details.get(point))) return;
    before.current = findShared(explorer, points);
    // What was typed until they were known goes behind them.
    for (const [index, input] of inputs.entries())
      input.value = [before.current[index], input.value].filter(Boolean).join(SEPARATORS[index]);
  };
  useLayoutEffect(() => {
    filled.current = fill(listInputs(form.current));
  }, []);
  const save = async (inputs: HTMLInputElement[]) => {
    await filled.current;
    if (!before.current) await fill(inputs);
    if (!before.current) return;
    const [oldNote, oldTags] = before.current;
    const [note, tags] = inputs.map(({ value }) => value);
    if (note === oldNote && tags === oldTags) return;
    const set = note === oldNote ? {} : { note };
    void explorer.requestOrNotify("mark", { points, set, tags: [oldTags, tags] });
  };
  const close = (saves: boolean) => {
    if (!form.current) return;
    const inputs = listInputs(form.current);
    const isChanged = inputs.some(({ value }, index) => value !== (before.current?.[index] ?? ""));
    if (saves && isChanged && !explorer.checkKeeping()) return;
    form.current = null;
    if (saves) void save(inputs);
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
