/** Chooses one value of a list, or several: a native select for few choices, a filtered list for many. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { IconButton } from "../buttons";
import { getFileName, getFolder, getLabel } from "../format";
import { CloseIcon } from "../icons";
import { getErrorMessage } from "../session/channel";
import { isEqual, type Value } from "../session/protocol";
import { Combobox, type ComboboxProps, SEVERAL_LABEL } from "./combobox";
import { buildAttributes, type ControlAttributes, type ControlProps, ErrorLine, toText } from "./control";

/** Most choices that a native select shows. */
const MAX_SELECT = 20;
/** The option that a field takes several values by. Its value is not a choice: they are printable. */
const SEVERAL = "\n";
/** Rows of a native select for several choices. */
const MIN_ROWS = 2;
const MAX_ROWS = 6;

/** A control for one choice, or several. */
export function ChoiceControl({ session, field, id, value, error }: ControlProps) {
  const { multiselect, name } = field;
  const list = session.get("lists")[name];
  const several = !multiselect && Array.isArray(list) ? list : undefined;
  const many = several !== undefined || field.choices === null || field.choices.length > MAX_SELECT;
  const [loaded, setLoaded] = useState<Value[] | null>(null);
  const [loadError, setLoadError] = useState<string | undefined>();
  // Loaded each time the list is opened, because the server may have new ones. Until then the known ones are shown.
  const loadChoices = () => {
    if (field.choices !== null) return;
    setLoadError(undefined);
    session.channel.request("choices", { name }).then(
      ({ content }) => setLoaded(content.choices as Value[]),
      (reason: unknown) => setLoadError(getErrorMessage(reason)),
    );
  };

  const isSeveral = several !== undefined;
  const wasSeveral = useRef(isSeveral);
  useLayoutEffect(() => {
    // The input that had the focus is gone, and keys would go to the notebook.
    if (wasSeveral.current && !isSeveral && document.activeElement === document.body)
      document.getElementById(id)?.focus();
    wasSeveral.current = isSeveral;
  }, [isSeveral]);

  const choices = field.choices ?? loaded;
  const missing = !multiselect && !several && value !== null && isMissing(choices, value);
  const shownError = error ?? loadError;
  const hasNote = missing && !shownError;
  const common = {
    value,
    missing,
    attributes: buildAttributes(id, shownError, hasNote),
    onChoose: (choice: Value) => session.values.set(name, choice),
    onSeveral: multiselect || several ? undefined : () => session.submitter.setList(name, [value]),
  };
  const options: ComboboxProps = { ...common, count: field.choice_count, onOpen: loadChoices, choices };
  /** Keep several values. If only one is left, it is the field's value again. */
  const keep = (chosen: Value) => {
    const values = chosen as Value[];
    if (values.length > 1) session.submitter.setList(name, values);
    else session.values.set(name, values[0] ?? value);
  };

  return (
    <>
      {!many && <Select {...common} multiple={multiselect} choices={choices ?? []} />}
      {many && (
        <Choices
          {...options}
          {...(several && { value: several, onChoose: keep, focused: true })}
          multiple={multiselect || isSeveral}
          label={getLabel(field)}
        />
      )}
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

/** One or several of many choices. A combobox adds one of several, its button removes it. */
function Choices({ label, multiple, ...props }: ComboboxProps & { label: string; multiple: boolean }) {
  const { choices, value, onChoose } = props;
  if (!multiple) return <Combobox key="combobox" {...props} />;
  const chosen = Array.isArray(value) ? value : [];
  return (
    <>
      <Combobox
        key="combobox"
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
                onClick={() => {
                  // The button disappears, and would take the focus with it.
                  document.getElementById(props.attributes.id)?.focus();
                  onChoose(chosen.filter((each) => !isEqual(each, choice)));
                }}
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
  onSeveral: (() => void) | undefined;
}

/** The native list; choices in folders are grouped by folder. */
function Select({ choices, value, missing, multiple, attributes, onChoose, onSeveral }: SelectProps) {
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
        if (onSeveral && texts.includes(SEVERAL)) onSeveral();
        else if (multiple) onChoose(selected);
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
      {onSeveral && choices.length > 1 && <option value={SEVERAL}>{SEVERAL_LABEL}</option>}
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
