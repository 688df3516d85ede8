/** The note and the tags of points, to be edited in place. */

import { useRef } from "preact/hooks";
import type { Explorer } from "./explorer";

export interface AnnotationProps {
  explorer: Explorer;
  /** They all get what is changed. */
  points: readonly number[];
  onClose(): void;
}

/** Two fields. Enter saves, as leaving them does; Escape does not. */
export function Annotation({ explorer, points, onClose }: AnnotationProps) {
  const form = useRef<HTMLFormElement>(null);
  const all = points.map((point) => explorer.details.get(point) ?? {});
  const shared = all[0]?.tags?.filter((tag) => all.every(({ tags }) => tags?.includes(tag))) ?? [];
  const before = useRef([(new Set(all.map(({ note }) => note)).size === 1 && all[0]?.note) || "", shared.join(", ")]);
  const close = (saves: boolean) => {
    if (!form.current) return;
    const [note, tags] = [...form.current.querySelectorAll("input")].map(({ value }) => value);
    form.current = null;
    const [oldNote, oldTags] = before.current;
    if (saves && (note !== oldNote || tags !== oldTags)) {
      const set = note === oldNote ? {} : { note };
      void explorer.requestOrNotify("mark", { points, set, tags: [oldTags, tags] });
    }
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
          defaultValue={before.current[index]}
        />
      ))}
    </form>
  );
}

function focusOnce(element: HTMLInputElement | null): void {
  if (!element?.dataset.ck) element?.focus();
  if (element) element.dataset.ck = "";
}
