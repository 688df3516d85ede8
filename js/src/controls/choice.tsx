/** A choice, or several: a native select for a few, a list that filters as one types for many. */

import { useState } from "preact/hooks";
import { fileName } from "../format";
import { CloseIcon, IconButton } from "../icons";
import { messageOf, same, type Value } from "../session/protocol";
import { Combobox } from "./combobox";
import { type ControlProps, described, ErrorLine, textOf } from "./registry";

/** Up to here a native select shows them all. */
const FEW = 20;

export function Choice(props: ControlProps) {
  const { session, field, id, value, error } = props;
  const many = field.choices === null || field.choices.length > FEW;
  const [fetched, setFetched] = useState<Value[] | null>(null);
  const [failure, setFailure] = useState<string | undefined>();
  // Asked for each time that the list is wanted: there may be new ones. Until they come, those known are shown.
  const fetchChoices = () => {
    if (field.choices !== null) return;
    setFailure(undefined);
    session.channel.request("choices", { name: field.name }).then(
      ({ content }) => setFetched(content.choices as Value[]),
      (reason: unknown) => setFailure(messageOf(reason)),
    );
  };

  const choices = field.choices ?? fetched;
  const set = (choice: Value) => session.values.set(field.name, choice);
  const missing =
    choices !== null &&
    choices.length > 0 &&
    value !== null &&
    !field.multiselect &&
    !choices.some((choice) => same(choice, value));
  const problem = error ?? failure;
  const noted = missing && !problem;
  const common = { value, missing, attributes: described(id, problem, noted), onChoose: set };
  const list = { ...common, count: field.choice_count, onOpen: fetchChoices, choices };
  const chosen = Array.isArray(value) ? value : [];
  const without = (choice: Value) => chosen.filter((each) => !same(each, choice));

  return (
    <>
      {many && field.multiselect ? (
        <>
          <Combobox
            {...list}
            value={null}
            choices={choices?.filter((choice) => !chosen.some((each) => same(each, choice))) ?? null}
            onChoose={(choice) => set([...chosen, choice])}
          />
          {chosen.length > 0 && (
            <ul class="ck-chips" aria-label={field.name}>
              {chosen.map((choice) => (
                <li key={textOf(choice)} class="ck-chip">
                  <span class="ck-name">{textOf(choice)}</span>
                  <IconButton
                    icon={CloseIcon}
                    class="ck-quiet"
                    label={`Without ${textOf(choice)}`}
                    onClick={() => set(without(choice))}
                  />
                </li>
              ))}
            </ul>
          )}
        </>
      ) : many ? (
        <Combobox {...list} />
      ) : (
        <Select {...common} multiple={field.multiselect} choices={choices ?? []} />
      )}
      {noted && (
        <p class="ck-note" id={`${id}-note`}>
          The server does not have “{textOf(value)}”: install it there, or take another.
        </p>
      )}
      <ErrorLine id={id} error={problem} />
    </>
  );
}

interface SelectProps {
  choices: readonly Value[];
  value: Value;
  missing: boolean;
  multiple: boolean;
  attributes: ReturnType<typeof described>;
  onChoose(value: Value): void;
}

/** The host's own list; choices in folders are grouped by them. */
function Select({ choices, value, missing, multiple, attributes, onChoose }: SelectProps) {
  const chosen = multiple && Array.isArray(value) ? value : [value];
  const option = (choice: Value) => (
    <option key={textOf(choice)} value={textOf(choice)} selected={chosen.some((each) => same(each, choice))}>
      {fileName(textOf(choice))}
    </option>
  );
  const folders = new Map<string, Value[]>();
  for (const choice of choices) {
    const text = textOf(choice);
    const folder = text.slice(0, text.length - fileName(text).length);
    folders.set(folder, [...(folders.get(folder) ?? []), choice]);
  }
  return (
    <select
      multiple={multiple}
      class={`ck-input ${multiple ? "ck-several" : "ck-select"}${missing ? " ck-missing" : ""}`}
      size={multiple ? Math.min(6, Math.max(2, choices.length)) : 1}
      onChange={(event) => {
        const texts = Array.from(event.currentTarget.selectedOptions, (each) => each.value);
        const taken = choices.filter((choice) => texts.includes(textOf(choice)));
        if (multiple) onChoose(taken);
        else if (taken[0] !== undefined) onChoose(taken[0]);
      }}
      {...attributes}
    >
      {!multiple && !choices.some((choice) => same(choice, value)) && (
        <option value={textOf(value)} selected>
          {textOf(value) + (missing ? " (missing)" : "")}
        </option>
      )}
      {[...folders].map(([folder, inside]) =>
        folder ? (
          <optgroup key={folder} label={folder}>
            {inside.map(option)}
          </optgroup>
        ) : (
          inside.map(option)
        ),
      )}
    </select>
  );
}
