/** The line above a form: its presets, undo, and a button that resets all. */

import { useRef, useState } from "preact/hooks";
import { Button } from "../buttons";
import { ListIcon } from "../icons";
import { isEqual } from "../session/protocol";
import type { Session } from "../session/session";
import { changeMany } from "./changes";
import { PresetPanel } from "./presetPanel";

/** The line, and below it the values of the preset that are not used. */
export function FormTools({ session, uid }: { session: Session; uid: string }) {
  const [open, setOpen] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const { name, changed, left_out = [] } = session.get("preset");
  const undo = session.get("undo");
  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  const change = async (kind: "undo" | "reset_all") => {
    // The button disappears, and would take the focus with it.
    if (await changeMany(session, kind)) opener.current?.focus();
  };
  return (
    <>
      <div class="ck-line ck-tools">
        <Button
          ref={opener}
          class="ck-button ck-name"
          title={name ? "The preset in the form" : "Save and load values by name"}
          aria-haspopup="dialog"
          aria-expanded={open}
          onClick={() => (open ? close() : setOpen(true))}
        >
          <span class="ck-name">{name ? `${name}${changed ? " · changed" : ""}` : "Presets"}</span>
          <ListIcon />
        </Button>
        {open && <PresetPanel session={session} uid={uid} opener={opener} onClose={close} />}
        <span class="ck-grow" />
        {undo && (
          <Button class="ck-button ck-name" title="Later edits are kept" onClick={() => change("undo")}>
            <span class="ck-name">Undo {undo}</span>
          </Button>
        )}
        {isChanged(session) && (
          <Button title="Reset all values to the workflow's own" onClick={() => change("reset_all")}>
            Reset all
          </Button>
        )}
      </div>
      {left_out.length > 0 && (
        <div class="ck-note ck-left-out" role="status">
          Not used of preset {name}:
          <ul>
            {left_out.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

/** Return whether a value is not the workflow's own. */
function isChanged(session: Session): boolean {
  const differs = session.get("fields").some(({ name, default: initial }) => {
    const value = session.values.get(name);
    return value !== undefined && !isEqual(value, initial);
  });
  return differs || session.invalid.size > 0 || Object.keys(session.get("lists")).length > 0;
}
