/** What can be done with an output: its settings again, itself as an input, its code, itself as a file. */

import { useState } from "preact/hooks";
import { CheckIcon, CodeIcon, IconButton, InfoIcon, InputIcon, SettingsIcon } from "../icons";
import type { Field, Item, Run } from "../session/protocol";
import type { Session } from "../session/session";
import { copyText, Download } from "./outputViews";

/** What an output is called among the data of a drag. */
const DRAGGED = "application/x-comfykit-output";

export function dragOutput(event: DragEvent, run: Run, item: Item): void {
  event.dataTransfer?.setData(DRAGGED, JSON.stringify([run.id, item.key, item.kind]));
}

/** Makes an output that is dropped the input of the first field that takes it; returns whether it was one. */
export function takeOutput(session: Session, event: DragEvent, fields: readonly Field[]): boolean {
  const data = event.dataTransfer?.getData(DRAGGED);
  if (!data) return false;
  const [run, key, kind] = JSON.parse(data);
  const [field] = fieldsFor(kind, fields);
  if (field) void session.ask("use", { run, key, name: field.name });
  return true;
}

export interface ActionsProps {
  session: Session;
  run: Run;
  /** Null where a run has no outputs, having failed. */
  item: Item | null;
  /** Whether the buttons have their names beside them. */
  named?: boolean;
  /** Whether what made it is shown. */
  info?: boolean;
  onInfo(): void;
  /** The form has changed. */
  onChanged?(): void;
}

/** The media fields that take an output or a file of this kind. */
export function fieldsFor(kind: string | undefined, fields: readonly Field[]): Field[] {
  const own = fields.filter((field) => field.kind === kind);
  return own.length > 0 ? own : fields.filter((field) => field.kind === "file");
}

export function Actions({ session, run, item, named = false, info, onInfo, onChanged }: ActionsProps) {
  const [copied, setCopied] = useState(false);
  const form = session.get("view") === "form";
  const look = named ? "ck-button" : "ck-button ck-square";
  const apply = async () => {
    if (await session.ask("apply", { run: run.id })) onChanged?.();
  };
  const use = async (name: string | undefined) => {
    if (await session.ask("use", { run: run.id, key: item?.key, name })) onChanged?.();
  };
  const copy = async (button: HTMLElement) => {
    const answer = await session.ask("code", { run: run.id });
    if (answer) setCopied(await copyText(String(answer.code), button));
  };
  const inputs = form && item && item.kind !== "text" ? fieldsFor(item.kind, session.get("fields")) : [];

  return (
    <>
      {form && (
        <IconButton
          icon={SettingsIcon}
          class={look}
          label="Same settings"
          title="The values and seeds of this run, in the form"
          onClick={apply}
          named={named}
        />
      )}
      {inputs.length > 0 && (
        <span class="ck-use">
          <IconButton
            icon={InputIcon}
            class={look}
            label="Use as input"
            title={`Use as ${inputs[0]?.name}`}
            onClick={() => use(inputs[0]?.name)}
            named={named}
          />
          {inputs.length > 1 && (
            // Over the button: which of them is asked by the host's own list.
            <select aria-label="Use as input" value="" onChange={(event) => use(event.currentTarget.value)}>
              <option value="" disabled hidden />
              {inputs.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          )}
        </span>
      )}
      {form && (
        <IconButton
          icon={copied ? CheckIcon : CodeIcon}
          class={look}
          label={copied ? "Copied" : "Copy as code"}
          title="A cell that makes this very thing"
          onClick={(event) => copy(event.currentTarget)}
          named={named}
        />
      )}
      {item && (
        <>
          <IconButton
            icon={InfoIcon}
            class={look}
            label="Parameters"
            title="What made it (i)"
            aria-pressed={info}
            onClick={onInfo}
            named={named}
          />
          <Download session={session} run={run} item={item} class={look} label={named ? "Download" : ""} />
        </>
      )}
    </>
  );
}
