/** Edits a text, on one line or in an area that grows with it. */

import { PromptArea } from "../prompts/promptArea";
import { buildAttributes, type ControlProps, ErrorLine, toText } from "./control";

/** Milliseconds after the last key press until the text is sent. */
const TYPING_DELAY = 300;

/** A control for a text. It is sent while the user types. */
export function TextControl({ session, field, id, value, error }: ControlProps) {
  const text = toText(value);
  const attributes = {
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
        <PromptArea session={session} field={field} text={text} attributes={attributes} />
      ) : (
        <input type="text" class="ck-input" autocomplete="off" spellcheck={false} value={text} {...attributes} />
      )}
      <ErrorLine id={id} error={error} />
    </>
  );
}
