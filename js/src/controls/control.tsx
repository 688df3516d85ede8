/** What all controls share: their properties, their text and their error line. */

import type { Field, Value } from "../session/protocol";
import type { Session } from "../session/session";

export interface ControlProps {
  session: Session;
  field: Field;
  /** The id of the element that the label names. */
  id: string;
  value: Value;
  /** What is wrong with the value. */
  error: string | undefined;
}

/** The attributes that connect a control with its label, its error and its note. */
export interface ControlAttributes {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby"?: string;
}

/** Build the attributes of a control, with or without an error and a note. */
export function buildAttributes(id: string, error: string | undefined, hasNote = false): ControlAttributes {
  const describedBy = [error && `${id}-error`, hasNote && `${id}-note`].filter(Boolean).join(" ");
  return { id, "aria-invalid": Boolean(error), ...(describedBy && { "aria-describedby": describedBy }) };
}

/** The error of a control, if there is one. */
export function ErrorLine({ id, error }: Pick<ControlProps, "id" | "error">) {
  if (!error) return null;
  return (
    <p class="ck-error" id={`${id}-error`}>
      {error}
    </p>
  );
}

/** Return a value as the text of an input. */
export function toText(value: Value): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
