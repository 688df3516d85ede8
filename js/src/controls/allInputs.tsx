/** All inputs that are not in the form, with a search. They are asked for when the list is opened. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getErrorMessage } from "../session/channel";
import type { Field } from "../session/protocol";
import type { Session } from "../session/session";
import { arrangeFields } from "./formLayout";
import { filterByWords } from "./optionList";
import { BlockRows } from "./rows";

/** Most inputs that are shown at once. */
const MAX_SHOWN = 60;

interface AllInputsProps {
  session: Session;
  /** A prefix for the ids of this view's elements. */
  uid: string;
}

/** The folded list. Inputs with a value other than the workflow's are shown first. */
export function AllInputs({ session, uid }: AllInputsProps) {
  const [open, setOpen] = useState(false);
  const [inputs, setInputs] = useState<Field[] | null>(null);
  const [error, setError] = useState("");
  const [query, setQuery] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const fields = session.get("fields");

  useEffect(() => {
    if (!open) return;
    setError("");
    session.channel.request("inputs").then(
      ({ content }) => setInputs(content.fields as Field[]),
      (reason: unknown) => setError(getErrorMessage(reason)),
    );
  }, [open, fields]);

  // Not sorted again while a value is edited: a control that moves would lose the focus.
  const shown = useMemo(() => {
    const values = session.get("values");
    const found = filterInputs(inputs ?? [], query);
    return [...found.filter(({ name }) => name in values), ...found.filter(({ name }) => !(name in values))];
  }, [session, inputs, query]);
  if (fields.length === 0) return null;
  return (
    <details class="ck-advanced ck-all" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>All inputs</summary>
      {open && (
        <>
          <input
            ref={search}
            type="search"
            class="ck-input"
            aria-label="Search all inputs"
            placeholder="Search by label, node or address"
            value={query}
            onInput={({ currentTarget }) => setQuery(currentTarget.value)}
          />
          <p class="ck-note" role="status">
            {describe(inputs, shown.length)}
          </p>
          {error && <p class="ck-error">{error}</p>}
          {arrangeFields(shown.slice(0, MAX_SHOWN)).map((block) => (
            <BlockRows key={block.lines[0]?.[0].name} session={session} uid={uid} block={block} showHeading />
          ))}
        </>
      )}
    </details>
  );
}

function describe(inputs: readonly Field[] | null, count: number): string {
  if (inputs === null) return "Reading…";
  if (count === inputs.length && count <= MAX_SHOWN) return `${count} more inputs`;
  return count > MAX_SHOWN ? `The first ${MAX_SHOWN} of ${count}` : `${count} of ${inputs.length}`;
}

/** Return the fields that have all words of a query in their label, heading, address or class. */
export function filterInputs(fields: readonly Field[], query: string): Field[] {
  return filterByWords(fields, query, ({ label, group, node, name, class_type }) =>
    [label, group, node, name, class_type].join(" "),
  );
}
