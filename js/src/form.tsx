/** The form: a row for each field, the advanced ones folded, and the buttons. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Control } from "./controls/registry";
import { formatValue } from "./format";
import { IconButton, ResetIcon } from "./icons";
import { clamp } from "./number";
import { acceptOutput, findMediaFields } from "./session/outputDrag";
import { type Field, isEqual } from "./session/protocol";
import type { Session } from "./session/session";

/** Most runs that the kernel accepts at once. */
const MAX_RUNS = 100;
/** Characters of a default in the title of its reset button. */
const MAX_DEFAULT = 60;

export interface FormProps {
  session: Session;
  /** A prefix for the ids of this view's elements. */
  uid: string;
}

/** The form of a view. A file or output dropped anywhere on it goes to the first field of its kind. */
export function Form({ session, uid }: FormProps) {
  const fields = session.get("fields");
  const errors = session.get("errors");
  const { closed } = session.channel;
  const { restored } = session.drafts;
  const renderRow = (field: Field) => (
    <Row key={field.name} session={session} field={field} id={`${uid}-${field.name}`} />
  );
  const basic = fields.filter((field) => !field.advanced);
  const advanced = fields.filter((field) => field.advanced);
  const hasHeadings = new Set(basic.map(({ group }) => group).filter(Boolean)).size > 1;
  const otherErrors = Object.entries(errors).filter(([name]) => !fields.some((field) => field.name === name));
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    if (closed || acceptOutput(session, event, fields)) return;
    const file = event.dataTransfer?.files[0];
    const [field] = file ? findMediaFields(file.type.split("/")[0], fields) : [];
    if (file && field) void session.uploads.start(field.name, file);
  };

  return (
    <form
      class="ck-form"
      onSubmit={(event) => event.preventDefault()}
      onDragOver={(event) => event.preventDefault()}
      onDrop={onDrop}
    >
      <fieldset class="ck-rows" disabled={closed}>
        {session.get("notes").map((note) => (
          <p key={note} class="ck-note">
            {note}
          </p>
        ))}
        {restored.length > 0 && <p class="ck-note">Restored, not run yet: {restored.join(", ")}</p>}
        {basic.map((field, index) => [
          hasHeadings && field.group !== basic[index - 1]?.group && <div class="ck-heading">{field.group}</div>,
          renderRow(field),
        ])}
        {advanced.length > 0 && (
          <Advanced count={advanced.length} hasError={advanced.some(({ name }) => name in errors)}>
            {advanced.map(renderRow)}
          </Advanced>
        )}
        {otherErrors.map(([name, message]) => (
          <p key={name} class="ck-error">
            {name ? `${name}: ${message}` : message}
          </p>
        ))}
        <Buttons session={session} />
      </fieldset>
    </form>
  );
}

interface AdvancedProps {
  count: number;
  hasError: boolean;
  children: ComponentChildren;
}

/** The folded fields. They unfold for an error that would be hidden; only the user folds them again. */
function Advanced({ count, hasError, children }: AdvancedProps) {
  const details = useRef<HTMLDetailsElement>(null);
  useLayoutEffect(() => {
    if (hasError && details.current) details.current.open = true;
  }, [hasError]);
  return (
    <details class="ck-advanced" ref={details}>
      <summary>Advanced ({count})</summary>
      {children}
    </details>
  );
}

interface RowProps {
  session: Session;
  field: Field;
  id: string;
}

/** A label, its control, and a button that resets a changed value. */
function Row({ session, field, id }: RowProps) {
  const { name } = field;
  const stored = session.values.get(name);
  const value = stored === undefined ? field.default : stored;
  const error = session.values.getError(name) ?? session.get("errors")[name];
  const hasDefault = field.default !== null && field.default !== undefined;
  const changed = hasDefault && !isEqual(value, field.default);
  const reset = () => session.values.reset(name, field.default);
  const description = [name, field.node, field.tooltip].filter(Boolean).join("\n");

  return (
    <div class={`ck-row${changed ? " ck-changed" : ""}`}>
      <label for={id} title={description} onDblClick={() => changed && reset()}>
        {name}
      </label>
      <div class="ck-control">
        <Control session={session} field={field} id={id} value={value} error={error} />
      </div>
      <div class="ck-reset">
        {changed && (
          <IconButton
            icon={ResetIcon}
            class="ck-quiet"
            label="Reset"
            title={`Reset to ${formatValue(field.default, MAX_DEFAULT)}`}
            onClick={reset}
          />
        )}
      </div>
    </div>
  );
}

/** The Run button, and why the last action failed or waits. */
export function Buttons({ session }: { session: Session }) {
  const { busy } = session.channel;
  const hasForm = session.get("view") === "form";
  return (
    <div class="ck-buttons">
      {hasForm && <RunButtons session={session} />}
      {session.notice && (
        <p class="ck-error" role="alert">
          {session.notice}
        </p>
      )}
      {hasForm && busy && (
        <p class="ck-note" aria-live="polite">
          Kernel busy: this runs when the current cell finishes.
        </p>
      )}
    </div>
  );
}

/** The Run button and the number of runs that it starts. */
function RunButtons({ session }: { session: Session }) {
  const { closed } = session.channel;
  return (
    <>
      <button
        type="button"
        class="ck-run"
        disabled={closed}
        title="Ctrl+Enter or ⌘+Enter"
        onClick={() => session.run()}
      >
        Run
      </button>
      <span class="ck-line ck-muted" title="Number of runs, each with a new seed">
        ×
        <input
          type="number"
          class="ck-input ck-run-count"
          aria-label="Number of runs"
          min={1}
          max={MAX_RUNS}
          value={session.runCount}
          disabled={closed}
          onInput={({ currentTarget }) => {
            session.runCount = clamp(Math.round(currentTarget.valueAsNumber) || 1, 1, MAX_RUNS);
          }}
          onChange={({ currentTarget }) => {
            currentTarget.value = `${session.runCount}`;
          }}
        />
      </span>
    </>
  );
}
