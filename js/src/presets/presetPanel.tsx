/** The list of presets: use, save, rename, delete. It is read again each time that it opens. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import { usePlacement } from "../controls/placement";
import { DiscardIcon, EditIcon } from "../icons";
import { listen } from "../listen";
import { getErrorMessage } from "../session/channel";
import type { ListedPreset } from "../session/protocol";
import type { Session } from "../session/session";
import { claim } from "../session/shortcuts";
import { changeMany } from "./changes";

/** Characters of a name. */
const MAX_NAME = 64;
const STEPS: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };

export interface PanelProps {
  session: Session;
  /** A prefix for the ids of this view's elements. */
  uid: string;
  opener: { current: HTMLElement | null };
  onClose(): void;
}

/** The panel, over the form. */
export function PresetPanel({ session, uid, opener, onClose }: PanelProps) {
  const panel = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const { name: current = "" } = session.get("preset");
  const [presets, setPresets] = useState<ListedPreset[]>();
  const [name, setName] = useState(current);
  // What the user is asked about: a preset to be replaced, renamed or deleted.
  const [asked, setAsked] = useState<readonly [kind: string, name: string]>(["", ""]);
  const [error, setError] = useState("");
  usePlacement(true, opener, panel);

  const send = async (kind: string, body: Record<string, unknown> = {}) => {
    setError("");
    try {
      return (await session.channel.request(kind, body)).content;
    } catch (failure) {
      setError(getErrorMessage(failure));
      return undefined;
    }
  };
  const load = async () => {
    const answer = await send("presets");
    setPresets((answer?.presets ?? []) as ListedPreset[]);
  };
  /** Send a change, and read the list again; the focus goes back to where the panel begins. */
  const change = async (kind: string, body: Record<string, unknown>) => {
    const answer = await send(kind, body);
    if (answer?.exists) return setAsked(["replace", name]);
    if (!answer) return;
    setAsked(["", ""]);
    await load();
    field.current?.focus();
  };
  const isReplaced = asked[0] === "replace" && asked[1] === name;
  const save = () => {
    session.values.flush();
    void change("preset_save", { name, replace: isReplaced || name === current });
  };
  const use = async (chosen: string) => {
    if (await changeMany(session, "preset_use", chosen)) onClose();
    else setError(session.notice);
  };

  useLayoutEffect(() => {
    void load();
    return listen(window, "pointerdown", (event: Event) => {
      const path = event.composedPath();
      if (panel.current && opener.current && !path.includes(panel.current) && !path.includes(opener.current)) onClose();
    });
  }, []);

  useLayoutEffect(() => {
    if (presets) panel.current?.querySelector<HTMLElement>(".ck-preset:not([disabled]), input")?.focus();
  }, [!presets]);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    const stops = [...(panel.current?.querySelectorAll<HTMLElement>(".ck-preset:not([disabled])") ?? [])];
    if (event.key === "Escape") asked[0] ? setAsked(["", ""]) : onClose();
    else if (step) stops.at((stops.indexOf(event.target as HTMLElement) + step) % stops.length)?.focus();
    else return;
    claim(event);
  };
  const renderRow = (preset: ListedPreset) => (
    <PresetRow
      key={preset.name}
      preset={preset}
      isCurrent={preset.name === current}
      asked={asked[1] === preset.name ? asked[0] : ""}
      onAsk={(kind) => setAsked([kind, preset.name])}
      onUse={() => use(preset.name)}
      onRename={(next) => change("preset_rename", { name: preset.name, new: next })}
      onDelete={() => change("preset_delete", { name: preset.name })}
    />
  );
  const own = presets?.filter((preset) => preset.own || preset.error) ?? [];
  const others = presets?.filter((preset) => !preset.own && !preset.error) ?? [];

  return (
    <div
      ref={panel}
      class="ck-list ck-panel-presets"
      role="dialog"
      aria-label="Presets"
      popover="manual"
      onKeyDown={onKeyDown}
    >
      {own.map(renderRow)}
      {presets?.length === 0 && <p class="ck-muted">No presets yet. They are files in the folder presets.</p>}
      {others.length > 0 && (
        <details>
          <summary>Of other workflows ({others.length})</summary>
          {others.map(renderRow)}
        </details>
      )}
      {error && (
        <p class="ck-error" role="alert">
          {error}
        </p>
      )}
      <label class="ck-line" for={`${uid}-preset`}>
        <span class="ck-muted">Save as</span>
        <input
          ref={field}
          id={`${uid}-preset`}
          type="text"
          class="ck-input"
          autocomplete="off"
          spellcheck={false}
          maxLength={MAX_NAME}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && save()}
        />
        <Button disabled={!name.trim()} onClick={save}>
          {isReplaced ? "Replace" : name && name === current ? "Update" : "Save"}
        </Button>
      </label>
    </div>
  );
}

interface RowProps {
  preset: ListedPreset;
  isCurrent: boolean;
  asked: string;
  onAsk(kind: string): void;
  onUse(): void;
  onRename(name: string): void;
  onDelete(): void;
}

/** One preset with its buttons, or a question about it. */
function PresetRow({ preset, isCurrent, asked, onAsk, onUse, onRename, onDelete }: RowProps) {
  const { name, error, own, workflow } = preset;
  const field = useRef<HTMLInputElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    field.current?.select();
    if (asked === "delete") button.current?.focus();
  }, [asked]);
  if (asked === "rename" || asked === "delete") {
    const isRename = asked === "rename";
    const confirm = () => (isRename ? onRename(field.current?.value ?? name) : onDelete());
    return (
      <div class="ck-line">
        {isRename ? (
          <input
            ref={field}
            type="text"
            class="ck-input"
            aria-label={`New name of ${name}`}
            maxLength={MAX_NAME}
            defaultValue={name}
            onKeyDown={(event) => event.key === "Enter" && confirm()}
          />
        ) : (
          <span class="ck-grow">Delete {name}?</span>
        )}
        <Button ref={button} onClick={confirm}>
          {isRename ? "Rename" : "Delete"}
        </Button>
        <Button onClick={() => onAsk("")}>Cancel</Button>
      </div>
    );
  }
  return (
    <>
      <div class="ck-line">
        <Button
          class={`ck-quiet ck-preset ck-name ck-grow${isCurrent ? " ck-chosen" : ""}`}
          aria-current={isCurrent}
          disabled={Boolean(error)}
          title={own || error ? name : `${name}, saved for ${workflow}`}
          onClick={onUse}
        >
          {name}
        </Button>
        <IconButton icon={EditIcon} class="ck-quiet" label={`Rename ${name}`} onClick={() => onAsk("rename")} />
        <IconButton icon={DiscardIcon} class="ck-quiet" label={`Delete ${name}`} onClick={() => onAsk("delete")} />
      </div>
      {error && <p class="ck-error">{error}</p>}
    </>
  );
}
