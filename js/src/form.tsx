/** The form: a row for each parameter, the advanced ones folded, and the buttons. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Control } from "./controls/registry";
import { brief } from "./format";
import { IconButton, ResetIcon } from "./icons";
import { clamp } from "./number";
import { fieldsFor, takeOutput } from "./outputs/actions";
import { type Field, same } from "./session/protocol";
import type { Session } from "./session/session";

/** As many as the kernel takes at once. */
const MOST_RUNS = 100;

export interface FormProps {
  session: Session;
  /** Begins the ids of this view's elements. */
  uid: string;
}

export function Form({ session, uid }: FormProps) {
  const fields = session.get("fields");
  const errors = session.get("errors");
  const row = (field: Field) => <Row key={field.name} session={session} field={field} id={`${uid}-${field.name}`} />;
  const advanced = fields.filter((field) => field.advanced);
  const plain = fields.filter((field) => !field.advanced);
  const grouped = new Set(plain.map(({ group }) => group).filter(Boolean)).size > 1;
  const elsewhere = Object.entries(errors).filter(([name]) => !fields.some((field) => field.name === name));

  return (
    <form
      class="ck-form"
      onSubmit={(event) => event.preventDefault()}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        if (session.channel.closed || takeOutput(session, event, fields)) return;
        const file = event.dataTransfer?.files[0];
        const [field] = file ? fieldsFor(file.type.split("/")[0], fields) : [];
        if (file && field) void session.upload(field.name, file);
      }}
    >
      <fieldset class="ck-rows" disabled={session.channel.closed}>
        {session.restored.length > 0 && <p class="ck-note">Typed before, not run yet: {session.restored.join(", ")}</p>}
        {plain.map((field, index) => [
          grouped && field.group !== plain[index - 1]?.group && <div class="ck-heading">{field.group}</div>,
          row(field),
        ])}
        {advanced.length > 0 && (
          <Advanced count={advanced.length} open={advanced.some(({ name }) => name in errors)}>
            {advanced.map(row)}
          </Advanced>
        )}
        {elsewhere.map(([name, message]) => (
          <p key={name} class="ck-error">
            {name ? `${name}: ${message}` : message}
          </p>
        ))}
        <Buttons session={session} />
      </fieldset>
    </form>
  );
}

function Advanced({ count, open, children }: { count: number; open: boolean; children: ComponentChildren }) {
  const details = useRef<HTMLDetailsElement>(null);
  // Opened for an error that would be hidden; closed by nobody but the user.
  useLayoutEffect(() => {
    if (open && details.current) details.current.open = true;
  }, [open]);
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

function Row({ session, field, id }: RowProps) {
  const { name } = field;
  const stored = session.values.get(name);
  const value = stored === undefined ? field.default : stored;
  const error = session.values.refusal(name) ?? session.get("errors")[name];
  const hasDefault = field.default !== null && field.default !== undefined;
  const changed = hasDefault && !same(value, field.default);
  const reset = () => session.values.reset(name, field.default);
  const origin = [name, field.node, field.tooltip].filter(Boolean).join("\n");

  return (
    <div class={`ck-row${changed ? " ck-changed" : ""}`}>
      <label for={id} title={origin} onDblClick={() => changed && reset()}>
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
            title={`Back to ${brief(field.default, 60)}`}
            onClick={reset}
          />
        )}
      </div>
    </div>
  );
}

export function Buttons({ session }: { session: Session }) {
  const closed = session.channel.closed;
  return (
    <div class="ck-buttons">
      {session.get("view") === "form" && (
        <button
          type="button"
          class="ck-run"
          disabled={closed}
          title="Ctrl+Enter or ⌘+Enter"
          onClick={() => session.run()}
        >
          Run
        </button>
      )}
      {session.get("view") === "form" && (
        <span class="ck-line ck-muted" title="Runs, each with a new seed">
          ×
          <input
            type="number"
            class="ck-input ck-times"
            aria-label="Runs"
            min={1}
            max={MOST_RUNS}
            value={session.times}
            disabled={closed}
            onInput={({ currentTarget }) => {
              session.times = clamp(Math.round(currentTarget.valueAsNumber) || 1, 1, MOST_RUNS);
            }}
            onChange={({ currentTarget }) => {
              currentTarget.value = `${session.times}`;
            }}
          />
        </span>
      )}
      {session.active && (
        <button type="button" class="ck-cancel" disabled={closed} onClick={() => session.cancel()}>
          Cancel
        </button>
      )}
      {session.notice && (
        <p class="ck-error" role="alert">
          {session.notice}
        </p>
      )}
      {session.get("view") === "form" && session.channel.late.size > 0 && (
        <p class="ck-note" aria-live="polite">
          The kernel is busy: it sees to this when its cell has ended.
        </p>
      )}
    </div>
  );
}
