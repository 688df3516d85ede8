/** Chooses one value of a list, or several: a native select for few choices, a filtered list for many. */

import { useState } from "preact/hooks";
import { getFileName, getFolder } from "../format";
import { CloseIcon, IconButton } from "../icons";
import { getErrorMessage } from "../session/channel";
import { isEqual, type Value } from "../session/protocol";
import { Combobox, type ComboboxProps } from "./combobox";
import { buildAttributes, type ControlAttributes, type ControlProps, ErrorLine, toText } from "./control";
import { getLabel } from "./formLayout";

/** Most choices that a native select shows. */
const MAX_SELECT = 20;
/** Rows of a native select for several choices. */
const MIN_ROWS = 2;
const MAX_ROWS = 6;

/** A control for one choice, or several. */
export function ChoiceControl({ session, field, id, value, error }: ControlProps) {
  const { multiselect } = field;
  const many = field.choices === null || field.choices.length > MAX_SELECT;
  const [loaded, setLoaded] = useState<Value[] | null>(null);
  const [loadError, setLoadError] = useState<string | undefined>();
  // Loaded each time the list is opened, because the server may have new ones. Until then the known ones are shown.
  const loadChoices = () => {
    if (field.choices !== null) return;
    setLoadError(undefined);
    session.channel.request("choices", { name: field.name }).then(
      ({ content }) => setLoaded(content.choices as Value[]),
      (reason: unknown) => setLoadError(getErrorMessage(reason)),
    );
  };

  const choices = field.choices ?? loaded;
  const missing = !multiselect && value !== null && isMissing(choices, value);
  const shownError = error ?? loadError;
  const hasNote = missing && !shownError;
  const common = {
    value,
    missing,
    attributes: buildAttributes(id, shownError, hasNote),
    onChoose: (choice: Value) => session.values.set(field.name, choice),
  };
  const list: ComboboxProps = { ...common, count: field.choice_count, onOpen: loadChoices, choices };

  return (
    <>
      {!many && <Select {...common} multiple={multiselect} choices={choices ?? []} />}
      {many && !multiselect && <Combobox {...list} />}
      {many && multiselect && <MultiCombobox {...list} label={getLabel(field)} />}
      {hasNote && (
        <p class="ck-note" id={`${id}-note`}>
          “{toText(value)}” is not on the server: install it there or choose another
        </p>
      )}
      <ErrorLine id={id} error={shownError} />
    </>
  );
}

/** Return whether the choices are known and a value is not one of them. */
function isMissing(choices: readonly Value[] | null, value: Value): boolean {
  return choices !== null && choices.length > 0 && !includes(choices, value);
}

function includes(values: readonly Value[], value: Value): boolean {
  return values.some((each) => isEqual(each, value));
}

/** Several of many choices: a combobox adds one, its button removes it. */
function MultiCombobox({ label, ...props }: ComboboxProps & { label: string }) {
  const { choices, value, onChoose } = props;
  const chosen = Array.isArray(value) ? value : [];
  return (
    <>
      <Combobox
        {...props}
        value={null}
        choices={choices?.filter((choice) => !includes(chosen, choice)) ?? null}
        onChoose={(choice) => onChoose([...chosen, choice])}
      />
      {chosen.length > 0 && (
        <ul class="ck-chips" aria-label={label}>
          {chosen.map((choice) => (
            <li key={toText(choice)} class="ck-chip">
              <span class="ck-name">{toText(choice)}</span>
              <IconButton
                icon={CloseIcon}
                class="ck-quiet"
                label={`Remove ${toText(choice)}`}
                onClick={() => onChoose(chosen.filter((each) => !isEqual(each, choice)))}
              />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

interface SelectProps {
  choices: readonly Value[];
  value: Value;
  missing: boolean;
  multiple: boolean;
  attributes: ControlAttributes;
  onChoose(value: Value): void;
}

/** The native list; choices in folders are grouped by folder. */
function Select({ choices, value, missing, multiple, attributes, onChoose }: SelectProps) {
  const chosen = multiple && Array.isArray(value) ? value : [value];
  const renderOption = (choice: Value) => (
    <option key={toText(choice)} value={toText(choice)} selected={includes(chosen, choice)}>
      {getFileName(toText(choice))}
    </option>
  );
  return (
    <select
      multiple={multiple}
      class={`ck-input ${multiple ? "ck-multiple" : "ck-select"}${missing ? " ck-missing" : ""}`}
      title={multiple ? undefined : toText(value)}
      size={multiple ? Math.min(MAX_ROWS, Math.max(MIN_ROWS, choices.length)) : 1}
      onChange={(event) => {
        const texts = Array.from(event.currentTarget.selectedOptions, (option) => option.value);
        const selected = choices.filter((choice) => texts.includes(toText(choice)));
        if (multiple) onChoose(selected);
        else if (selected[0] !== undefined) onChoose(selected[0]);
      }}
      {...attributes}
    >
      {!multiple && !includes(choices, value) && (
        <option value={toText(value)} selected>
          {toText(value) + (missing ? " (missing)" : "")}
        </option>
      )}
      {[...groupByFolder(choices)].map(([folder, members]) =>
        folder ? (
          <optgroup key={folder} label={folder}>
            {members.map(renderOption)}
          </optgroup>
        ) : (
          members.map(renderOption)
        ),
      )}
    </select>
  );
}

function groupByFolder(choices: readonly Value[]): Map<string, Value[]> {
  const folders = new Map<string, Value[]>();
  for (const choice of choices) {
    const folder = getFolder(toText(choice));
    folders.set(folder, [...(folders.get(folder) ?? []), choice]);
  }
  return folders;
}
