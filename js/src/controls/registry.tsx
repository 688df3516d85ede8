/** The controls of the form, one for each kind of parameter. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Field, Value } from "../session/protocol";
import type { Session } from "../session/session";
import { Choice } from "./choice";
import { MediaField } from "./mediaField";
import { Integer, Numeric } from "./numeric";
import { Seed } from "./seed";

export interface ControlProps {
  session: Session;
  field: Field;
  /** The id of the element that the label names. */
  id: string;
  value: Value;
  /** What is wrong with the value. */
  error: string | undefined;
}

/** Milliseconds after the last key in which a text is sent. */
const TYPING = 300;

export function Control(props: ControlProps) {
  switch (props.field.kind) {
    case "integer":
      return <Integer {...props} />;
    case "number":
      return <Numeric {...props} />;
    case "seed":
      return <Seed {...props} />;
    case "choice":
      return <Choice {...props} />;
    case "image":
    case "video":
    case "audio":
    case "file":
      return <MediaField {...props} />;
  }
  const Simple = props.field.kind === "toggle" ? Toggle : Text;
  return (
    <>
      <Simple {...props} />
      <ErrorLine {...props} />
    </>
  );
}

/** The attributes that tie a control to its label, its error and its notes. */
export function described(id: string, error: string | undefined, note = false) {
  const by = [error && `${id}-error`, note && `${id}-note`].filter(Boolean).join(" ");
  return { id, "aria-invalid": Boolean(error), ...(by && { "aria-describedby": by }) };
}

export function ErrorLine({ id, error }: Pick<ControlProps, "id" | "error">) {
  if (!error) return null;
  return (
    <p class="ck-error" id={`${id}-error`}>
      {error}
    </p>
  );
}

/** A value as the text of an input. */
export function textOf(value: Value): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A text, on one line or on many, which then grows with it. */
function Text({ session, field, id, value, error }: ControlProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const text = textOf(value);
  useLayoutEffect(() => {
    if (!area.current || CSS.supports?.("field-sizing", "content")) return;
    area.current.style.height = "auto";
    area.current.style.height = `${area.current.scrollHeight + 2}px`;
  }, [text]);
  const attributes = {
    value: text,
    "aria-required": field.required,
    placeholder: field.required ? "required" : "",
    onInput: (event: Event) => session.values.set(field.name, (event.currentTarget as HTMLInputElement).value, TYPING),
    onChange: () => session.values.flush(),
    ...described(id, error),
  };
  return field.kind === "multiline" ? (
    <textarea ref={area} class="ck-input ck-area" rows={2} {...attributes} />
  ) : (
    <input type="text" class="ck-input" autocomplete="off" spellcheck={false} {...attributes} />
  );
}

function Toggle({ session, field, id, value, error }: ControlProps) {
  const on = value === true;
  const label = on ? field.label_on : field.label_off;
  return (
    <div class="ck-line">
      <input
        type="checkbox"
        role="switch"
        aria-checked={on}
        class="ck-toggle"
        checked={on}
        onChange={(event) => session.values.set(field.name, event.currentTarget.checked)}
        {...described(id, error)}
      />
      {label && <span class="ck-muted">{label}</span>}
    </div>
  );
}
