/** Chooses one of many: an input that filters, and a list (the combobox pattern of WAI-ARIA). */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { clamp } from "../number";
import type { Value } from "../session/protocol";
import { claim } from "../session/shortcuts";
import { type ControlAttributes, toText } from "./control";
import { filterChoices, OptionList } from "./optionList";

/** Options in the page at once; typing finds the rest. */
const MAX_OPTIONS = 200;

/** The option that a field takes several values by. */
export const SEVERAL_LABEL = "Several values…";

/** How many options each key moves. */
const KEY_MOVES: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };

export interface ComboboxProps {
  /** Null until they are loaded. */
  choices: readonly Value[] | null;
  count: number;
  value: Value;
  missing: boolean;
  attributes: ControlAttributes;
  onOpen(): void;
  onChoose(value: Value): void;
  /** Whether it takes the focus when it appears. */
  focused?: boolean;
  /** Lets the field take several values; undefined where it does already. */
  onSeveral: (() => void) | undefined;
}

/** An input that filters a list of choices and takes one of them. */
export function Combobox(props: ComboboxProps) {
  const { choices, count, value, missing, attributes } = props;
  const [open, setOpen] = useState(false);
  // The text being typed; null while the input shows the value.
  const [query, setQuery] = useState<string | null>(null);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const listId = `${attributes.id}-list`;

  const found = open && choices ? filterChoices(choices, query ?? "") : [];
  const options = found.slice(0, MAX_OPTIONS);
  if (props.onSeveral && !query && options.length > 1) options.push(SEVERAL_LABEL);

  const show = () => {
    if (open) return;
    props.onOpen();
    setOpen(true);
    setActive(choices?.findIndex((choice) => toText(choice) === toText(value)) ?? -1);
  };
  const close = () => {
    setOpen(false);
    setQuery(null);
    setActive(-1);
  };
  const choose = (choice: Value | undefined) => {
    close();
    if (choice === SEVERAL_LABEL) props.onSeveral?.();
    else if (choice !== undefined) props.onChoose(choice);
  };
  const move = (by: number) => {
    if (!open) return show();
    const last = options.length - 1;
    if (last >= 0) setActive(clamp(active < 0 && by < 0 ? last : active + by, 0, last));
  };

  /** Handle a key; return false if it is not one of the combobox. */
  const handleKey = (key: string): boolean => {
    const by = KEY_MOVES[key];
    if (by !== undefined) move(by);
    else if (!open) return false;
    else if (key === "Enter") choose(options[active] ?? (options.length === 1 ? options[0] : undefined));
    else if (key === "Escape") close();
    else return false;
    return true;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || !handleKey(event.key)) return;
    claim(event);
  };

  useLayoutEffect(() => {
    if (props.focused) input.current?.focus();
  }, []);

  return (
    <div>
      <input
        ref={input}
        type="text"
        role="combobox"
        class={`ck-input ck-select${missing ? " ck-missing" : ""}`}
        autocomplete="off"
        spellcheck={false}
        aria-autocomplete="list"
        aria-expanded={open}
        aria-controls={listId}
        aria-activedescendant={options[active] === undefined ? undefined : `${listId}-${active}`}
        value={query ?? toText(value)}
        title={toText(value)}
        onClick={show}
        onFocus={(event) => event.currentTarget.select()}
        onInput={(event) => {
          show();
          setQuery(event.currentTarget.value);
          setActive(0);
        }}
        onKeyDown={onKeyDown}
        onBlur={close}
        {...attributes}
      />
      <OptionList
        id={listId}
        label="Choices"
        input={input}
        open={open}
        options={options.map(toText)}
        active={active}
        chosen={toText(value)}
        onChoose={(index) => choose(options[index])}
      >
        {open && options.length === 0 && (
          <div class="ck-muted">
            {choices ? "No matches" : count > 0 ? `Loading ${count} choices…` : "Loading choices…"}
          </div>
        )}
        {found.length > MAX_OPTIONS && <div class="ck-muted">{found.length - MAX_OPTIONS} more: type to filter</div>}
      </OptionList>
    </div>
  );
}
