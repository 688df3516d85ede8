/** The form: a row for each field, the advanced ones folded, and the buttons. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "./buttons";
import { AllInputs } from "./controls/allInputs";
import { arrangeFields, type Block } from "./controls/formLayout";
import { BlockRows } from "./controls/rows";
import { findLabel } from "./format";
import { LoraSection } from "./loras/loraSection";
import { STACK } from "./loras/stack";
import { clamp } from "./number";
import { FormTools } from "./presets/formTools";
import { acceptOutput, findMediaFields } from "./session/outputDrag";
import type { Session } from "./session/session";

/** Most runs that the kernel accepts at once. */
const MAX_RUNS = 100;

interface FormProps {
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
  const basic = arrangeFields(fields.filter((field) => !field.advanced && field.kind !== "loras"));
  const advanced = fields.filter((field) => field.advanced);
  // One heading alone separates nothing.
  const hasHeadings = basic.filter(({ heading }) => heading).length > 1;
  const renderBlocks = (blocks: Block[]) =>
    blocks.map((block) => (
      <BlockRows
        key={`${session.generation}-${block.lines[0]?.[0].name}`}
        session={session}
        uid={uid}
        block={block}
        showHeading={hasHeadings}
      />
    ));
  const isShown = (name: string) => name.startsWith(STACK) || fields.some((field) => field.name === name);
  const otherErrors = Object.entries(errors).filter(([name]) => !isShown(name));
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    if (closed || acceptOutput(session, event, fields)) return;
    const file = event.dataTransfer?.files[0];
    const [field] = file ? findMediaFields(file.type.split("/")[0], fields) : [];
    if (file && field) void session.uploads.start(field, file);
    else if (file) session.showNotice(`${file.name} fits no field of this form`);
  };

  const form = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => {
    // The kernel has found what prevents the run that was just asked for.
    const wrong = fields.find(({ name }) => name in errors);
    const active = document.activeElement;
    if (wrong && form.current?.contains(active) && active?.matches(".ck-run"))
      focusField(form.current, `${uid}-${wrong.name}`);
  }, [errors]);

  return (
    <form
      ref={form}
      class="ck-form"
      onSubmit={(event) => event.preventDefault()}
      onDragOver={(event) => event.preventDefault()}
      onDrop={onDrop}
    >
      <fieldset class="ck-rows" disabled={closed}>
        {fields.length > 0 && <FormTools session={session} uid={uid} />}
        {session.get("notes").map((note) => (
          <p key={note} class="ck-note">
            {note}
          </p>
        ))}
        {restored.length > 0 && (
          <p class="ck-note">Restored, not run yet: {restored.map((name) => findLabel(name, fields)).join(", ")}</p>
        )}
        {isAwaitingFields(session) && <AwaitedFields session={session} />}
        {renderBlocks(basic)}
        <LoraSection session={session} uid={uid} />
        {advanced.length > 0 && (
          <Advanced count={advanced.length} hasError={advanced.some(({ name }) => name in errors)}>
            {renderBlocks(arrangeFields(advanced))}
          </Advanced>
        )}
        <AllInputs session={session} uid={uid} />
        {otherErrors.map(([name, message]) => (
          <p key={name} class="ck-error">
            {name ? `${name}: ${message}` : message}
          </p>
        ))}
        <Buttons session={session} uid={uid} />
      </fieldset>
    </form>
  );
}

/** Return whether there are no fields because the server does not define the nodes of an editor's file. */
function isAwaitingFields(session: Session): boolean {
  return session.get("fields").length === 0 && session.get("server").state === "unreachable";
}

function AwaitedFields({ session }: { session: Session }) {
  return (
    <p class="ck-awaited" role="status">
      The parameters appear when {session.get("server").address || "the server"} answers.
      <Button onClick={() => session.announceView()}>Retry</Button>
    </p>
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

/** Run the form of a view, or move the focus to the field that prevents it. */
export function runForm(session: Session, root: Element, uid: string): void {
  if (isAwaitingFields(session)) return;
  const name = session.submitter.submit();
  if (name !== undefined) focusField(root, `${uid}-${name}`);
}

/** Move the focus to a control, and unfold what hides it. A LoRA's strength has no field: then to what is invalid. */
function focusField(root: Element, id: string): void {
  const find = (selector: string) => root.querySelector<HTMLElement>(selector);
  const control = find(`[id="${CSS.escape(id)}"]`) ?? find('[aria-invalid="true"]');
  const folded = control?.closest("details");
  if (folded) folded.open = true;
  control?.focus();
}

/** The Run button, and why the last action failed or waits. */
export function Buttons({ session, uid }: FormProps) {
  const { busy } = session.channel;
  const hasForm = session.get("view") === "form";
  return (
    <div class="ck-buttons">
      {hasForm && <RunButtons session={session} uid={uid} />}
      {session.notice && (
        <p class="ck-error" role="alert">
          {session.notice}
        </p>
      )}
      {busy && (
        <p class="ck-note" aria-live="polite">
          Kernel busy: this continues when the current cell finishes.
        </p>
      )}
    </div>
  );
}

/** The Run button and the number of runs that it starts. */
function RunButtons({ session, uid }: FormProps) {
  const { closed } = session.channel;
  // The text being typed; null while the input shows the number.
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <>
      <Button
        class="ck-run"
        disabled={closed || isAwaitingFields(session)}
        title="Ctrl+Enter or ⌘+Enter"
        onClick={({ currentTarget }) => runForm(session, currentTarget.closest(".ck-root") ?? currentTarget, uid)}
      >
        {session.get("plan") || "Run"}
      </Button>
      <span class="ck-line ck-muted" title="Number of runs, each with a new seed">
        ×
        <input
          type="number"
          class="ck-input ck-run-count"
          aria-label="Number of runs"
          min={1}
          max={MAX_RUNS}
          value={typed ?? session.submitter.runCount}
          disabled={closed}
          onInput={({ currentTarget }) => {
            setTyped(currentTarget.value);
            session.submitter.runCount = clamp(Math.round(currentTarget.valueAsNumber) || 1, 1, MAX_RUNS);
          }}
          onChange={() => {
            setTyped(null);
            if (session.get("plan")) session.submitter.setList();
          }}
        />
      </span>
    </>
  );
}
