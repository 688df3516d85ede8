/** Chooses one of many: an input that filters, and a list (the combobox pattern of WAI-ARIA). */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { getFileName, getFolder } from "../format";
import { clamp } from "../number";
import type { Value } from "../session/protocol";
import { type ControlAttributes, toText } from "./control";

/** Options in the page at once; typing finds the rest. */
const MAX_OPTIONS = 200;

/** The option that a field takes several values by. */
export const SEVERAL_LABEL = "Several values…";

/** How many options each key moves. */
const KEY_MOVES: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };

/** Pixels between the list and the edge of the window, and between the list and the input. */
const WINDOW_MARGIN = 8;
const LIST_GAP = 2;
/** In pixels: the list opens upwards if there is less room below, and is never higher than this. */
const MIN_ROOM = 160;
const MAX_HEIGHT = 280;

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

/** Filter the choices that contain all words of a query; those whose file name starts with the first word come first. */
export function filterChoices(choices: readonly Value[], query: string): Value[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter((choice) => {
    const text = toText(choice).toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const first = words[0];
  if (first === undefined) return found;
  const startsWithFirst = (choice: Value) => getFileName(toText(choice)).toLowerCase().startsWith(first);
  return [...found.filter(startsWithFirst), ...found.filter((choice) => !startsWithFirst(choice))];
}

/** An input that filters a list of choices and takes one of them. */
export function Combobox(props: ComboboxProps) {
  const { choices, count, value, missing, attributes } = props;
  const [open, setOpen] = useState(false);
  // The text being typed; null while the input shows the value.
  const [query, setQuery] = useState<string | null>(null);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
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
    event.preventDefault();
    event.stopPropagation();
  };

  usePlacement(open, input, list);
  useLayoutEffect(() => {
    if (props.focused) input.current?.focus();
  }, []);
  useLayoutEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView?.({ block: "nearest" });
  }, [active, open, choices]);

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
      <div
        ref={list}
        id={listId}
        class="ck-list"
        role="listbox"
        aria-label="Choices"
        popover="manual"
        hidden={!open}
        // Keeps the focus in the input.
        onMouseDown={(event) => event.preventDefault()}
      >
        {options.map((choice, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the pattern keeps focus and keys in the input
          <div
            key={toText(choice)}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === active}
            class={toText(choice) === toText(value) ? "ck-chosen" : ""}
            onClick={() => choose(choice)}
          >
            <Path text={toText(choice)} />
          </div>
        ))}
        {open && options.length === 0 && (
          <div class="ck-muted">
            {choices ? "No matches" : count > 0 ? `Loading ${count} choices…` : "Loading choices…"}
          </div>
        )}
        {found.length > MAX_OPTIONS && <div class="ck-muted">{found.length - MAX_OPTIONS} more: type to filter</div>}
      </div>
    </div>
  );
}

/** A path with its folders muted. */
function Path({ text }: { text: string }) {
  return (
    <>
      <span class="ck-muted">{getFolder(text)}</span>
      {getFileName(text)}
    </>
  );
}

/** Place the list below the input, or above it where there is more room. A popover covers everything else. */
export function usePlacement(
  open: boolean,
  input: { current: HTMLElement | null },
  list: { current: HTMLElement | null },
): void {
  useLayoutEffect(() => {
    const [anchor, popup] = [input.current, list.current];
    if (!open || !anchor || !popup?.showPopover) return;
    popup.showPopover();
    const place = () => {
      const box = anchor.getBoundingClientRect();
      const below = innerHeight - box.bottom - WINDOW_MARGIN;
      const above = box.top - WINDOW_MARGIN;
      const upwards = below < MIN_ROOM && above > below;
      popup.style.maxHeight = `${Math.min(MAX_HEIGHT, upwards ? above : below)}px`;
      popup.style.minWidth = `${box.width}px`;
      popup.style.left = `${Math.max(0, Math.min(box.left, innerWidth - popup.offsetWidth - WINDOW_MARGIN))}px`;
      popup.style.top = upwards ? "auto" : `${box.bottom + LIST_GAP}px`;
      popup.style.bottom = upwards ? `${innerHeight - box.top + LIST_GAP}px` : "auto";
    };
    place();
    addEventListener("scroll", place, { capture: true, passive: true });
    addEventListener("resize", place);
    return () => {
      removeEventListener("scroll", place, { capture: true });
      removeEventListener("resize", place);
      if (popup.isConnected) popup.hidePopover();
    };
  }, [open, input, list]);
}
