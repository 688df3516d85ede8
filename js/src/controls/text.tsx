/** Edits a text, on one line or in an area that grows with it. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { buildAttributes, type ControlProps, ErrorLine, toText } from "./control";

/** Milliseconds after the last key press until the text is sent. */
const TYPING_DELAY = 300;

/** A control for a text. It is sent while the user types. */
export function TextControl({ session, field, id, value, error }: ControlProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const text = toText(value);
  useLayoutEffect(() => {
    // Browsers with field-sizing grow the area themselves.
    if (!area.current || CSS.supports?.("field-sizing", "content")) return;
    area.current.style.height = "auto";
    area.current.style.height = `${area.current.scrollHeight + 2}px`;
  }, [text]);
  const attributes = {
    value: text,
    "aria-required": field.required,
    placeholder: field.required ? "required" : "",
    onInput: (event: Event) =>
      session.values.set(field.name, (event.currentTarget as HTMLInputElement).value, TYPING_DELAY),
    onChange: () => session.values.flush(),
    ...buildAttributes(id, error),
  };
  return (
    <>
      {field.kind === "multiline" ? (
        <textarea ref={area} class="ck-input ck-area" rows={2} {...attributes} />
      ) : (
        <input type="text" class="ck-input" autocomplete="off" spellcheck={false} {...attributes} />
      )}
      <ErrorLine id={id} error={error} />
    </>
  );
}
