/** The section of a form for its stack of LoRAs. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "../buttons";
import { ErrorLine } from "../controls/control";
import type { Session } from "../session/session";
import { type LoraNames, LoraRow, NameInput } from "./loraRow";
import { getRows, moveRow, type Row, STACK } from "./stack";

/** The rows of the stack, and a button that adds one. Nothing where no LoRA can be used. */
export function LoraSection({ session, uid }: { session: Session; uid: string }) {
  const section = useRef<HTMLDivElement>(null);
  // The id of what gets the focus after the next change: a control that moves or disappears would lose it.
  const focused = useRef("");
  const [names, setNames] = useState<string[] | null>(null);
  const [adding, setAdding] = useState(false);
  useLayoutEffect(() => {
    if (focused.current) section.current?.querySelector<HTMLElement>(`[id="${CSS.escape(focused.current)}"]`)?.focus();
    focused.current = "";
  });
  const field = session.get("fields").find(({ kind }) => kind === "loras");
  const rows = field ? getRows(session, field) : [];
  if (!field || !(field.is_known || rows.length > 0)) return null;

  const id = `${uid}-${STACK}`;
  const set = (next: Row[], focus: string, delay = 0) => {
    focused.current = focus;
    session.values.set(STACK, next, delay);
  };
  const change = (index: number, next: Row[], focus: string, delay?: number) =>
    set([...rows.slice(0, index), ...next, ...rows.slice(index + 1)], focus, delay);
  const move = (index: number, by: number) => {
    // At either end the button is disabled.
    const isAtEnd = index + by === (by < 0 ? 0 : rows.length - 1);
    set(moveRow(rows, index, by), `${id}-${index + by}-${by < 0 === isAtEnd ? "down" : "up"}`);
  };
  const loraNames: LoraNames = {
    loaded: names,
    taken: rows.map(([name]) => name),
    onOpen: () => {
      void session.requestOrNotify("loras").then((answer) => answer && setNames(answer.choices as string[]));
    },
  };
  const error = session.getError(STACK);

  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a grid in all browsers
    <div ref={section} class="ck-block ck-loras" role="group" aria-label="LoRAs">
      <div class="ck-heading">LoRAs</div>
      {rows.map((row, index) => (
        <LoraRow
          key={row[0]}
          session={session}
          id={`${id}-${index}`}
          field={field}
          row={row}
          isFirst={index === 0}
          isLast={index === rows.length - 1}
          loraNames={loraNames}
          onSet={(next, delay) => change(index, [next], next[0] === row[0] ? "" : `${id}-${index}-name`, delay)}
          onMove={(by) => move(index, by)}
          onRemove={() => change(index, [], rows[1] ? `${id}-${Math.min(index, rows.length - 2)}-remove` : id)}
        />
      ))}
      {adding && (
        <div onFocusOut={() => setAdding(false)}>
          <NameInput
            id={`${id}-new`}
            label="New LoRA"
            value=""
            loraNames={loraNames}
            focused
            onChoose={(name) => set([...rows, [name, 1, 1, true]], `${id}-${rows.length}`)}
          />
        </div>
      )}
      {field.problem && !error && <p class="ck-note">{field.problem}</p>}
      <ErrorLine id={id} error={error} />
      <div>
        <Button id={id} onClick={() => setAdding(true)}>
          Add a LoRA
        </Button>
      </div>
    </div>
  );
}
