/** A choice: a native select for a few, several of a few, or a list that filters as one types for many. */

import { useState } from "preact/hooks";
import { Combobox } from "./combobox";
import { type ControlProps, described, ErrorLine, textOf } from "./fields";
import { messageOf, same, type Value } from "./protocol";

/** Up to here a native select shows them all. */
const FEW = 20;

export function Choice(props: ControlProps) {
  const { session, field, id, value, error } = props;
  const many = field.choices === null || field.choices.length > FEW;
  const [fetched, setFetched] = useState<Value[] | null>(null);
  const [failure, setFailure] = useState<string | undefined>();
  // Asked for when the list is wanted; the session knows whether it still has them.
  const fetchChoices = () => {
    if (field.choices !== null) return;
    setFailure(undefined);
    session.choices(field.name).then(setFetched, (reason: unknown) => setFailure(messageOf(reason)));
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
  const common = described(id, problem, noted);

  return (
    <>
      {field.multiselect ? (
        <Several choices={choices ?? []} value={value} onChange={set} attributes={common} />
      ) : many ? (
        <Combobox
          choices={choices}
          count={field.choice_count}
          value={value}
          missing={missing}
          attributes={common}
          onOpen={fetchChoices}
          onChoose={set}
        />
      ) : (
        <Few choices={choices ?? []} value={value} missing={missing} onChange={set} attributes={common} />
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
  onChange(value: Value): void;
  attributes: ReturnType<typeof described>;
}

function Few({ choices, value, missing, onChange, attributes }: SelectProps & { missing: boolean }) {
  const absent = missing || !choices.some((choice) => same(choice, value));
  return (
    <select
      class={`ck-input ck-select${missing ? " ck-missing" : ""}`}
      value={textOf(value)}
      onChange={(event) => {
        const choice = choices.find((each) => textOf(each) === event.currentTarget.value);
        if (choice !== undefined) onChange(choice);
      }}
      {...attributes}
    >
      {absent && <option value={textOf(value)}>{missing ? `${textOf(value)} (missing)` : textOf(value)}</option>}
      {choices.map((choice) => (
        <option key={textOf(choice)} value={textOf(choice)}>
          {textOf(choice)}
        </option>
      ))}
    </select>
  );
}

function Several({ choices, value, onChange, attributes }: SelectProps) {
  const chosen = Array.isArray(value) ? value : [];
  return (
    <select
      multiple
      class="ck-input ck-several"
      size={Math.min(6, Math.max(2, choices.length))}
      onChange={(event) => {
        const texts = Array.from(event.currentTarget.selectedOptions, (option) => option.value);
        onChange(choices.filter((choice) => texts.includes(textOf(choice))));
      }}
      {...attributes}
    >
      {choices.map((choice) => (
        <option key={textOf(choice)} value={textOf(choice)} selected={chosen.some((each) => same(each, choice))}>
          {textOf(choice)}
        </option>
      ))}
    </select>
  );
}
