/** A choice among many: a text that filters and a list to take one from (the combobox pattern of WAI-ARIA). */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { fileName } from "../format";
import type { Value } from "../session/protocol";
import { type described, textOf } from "./registry";

/** Options in the page at once; the rest is found by typing. */
const SHOWN = 200;
const PAGE = 8;

export interface ComboboxProps {
  /** Null while they are not here. */
  choices: readonly Value[] | null;
  count: number;
  value: Value;
  missing: boolean;
  attributes: ReturnType<typeof described>;
  onOpen(): void;
  onChoose(value: Value): void;
}

/** The choices with all words of the query in them; those whose file name begins with it come first. */
export function matching(choices: readonly Value[], query: string): Value[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter((choice) => {
    const text = textOf(choice).toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const first = words[0];
  if (first === undefined) return found;
  const begins = (choice: Value) => fileName(textOf(choice)).toLowerCase().startsWith(first);
  return [...found.filter(begins), ...found.filter((choice) => !begins(choice))];
}

export function Combobox(props: ComboboxProps) {
  const { choices, count, value, missing, attributes } = props;
  const [open, setOpen] = useState(false);
  // What is being typed; null when the value is shown.
  const [query, setQuery] = useState<string | null>(null);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const listId = `${attributes.id}-list`;

  const found = open && choices ? matching(choices, query ?? "") : [];
  const shown = found.slice(0, SHOWN);

  const show = () => {
    if (open) return;
    props.onOpen();
    setOpen(true);
    setActive(choices?.findIndex((choice) => textOf(choice) === textOf(value)) ?? -1);
  };
  const close = () => {
    setOpen(false);
    setQuery(null);
    setActive(-1);
  };
  const choose = (choice: Value | undefined) => {
    close();
    if (choice !== undefined) props.onChoose(choice);
  };
  const move = (by: number) => {
    if (!open) return show();
    if (shown.length > 0)
      setActive(Math.max(0, Math.min(shown.length - 1, active < 0 && by < 0 ? shown.length - 1 : active + by)));
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey) return;
    const moves: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE };
    const by = moves[event.key];
    if (by !== undefined) move(by);
    else if (open && event.key === "Enter") choose(shown[active] ?? (shown.length === 1 ? shown[0] : undefined));
    else if (open && event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  usePlacement(open, input, list);
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
        aria-activedescendant={active >= 0 && shown[active] !== undefined ? `${listId}-${active}` : undefined}
        value={query ?? textOf(value)}
        title={textOf(value)}
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
        // The input keeps the focus.
        onMouseDown={(event) => event.preventDefault()}
      >
        {shown.map((choice, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: focus and keys stay with the input, as the pattern has it
          <div
            key={textOf(choice)}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === active}
            class={textOf(choice) === textOf(value) ? "ck-chosen" : ""}
            onClick={() => choose(choice)}
          >
            <Path text={textOf(choice)} />
          </div>
        ))}
        {open && shown.length === 0 && (
          <div class="ck-muted">{choices ? "Nothing matches." : `Asking for ${count || "the"} choices…`}</div>
        )}
        {found.length > SHOWN && <div class="ck-muted">{found.length - SHOWN} more: type to narrow</div>}
      </div>
    </div>
  );
}

/** A model's path, its folders in the back. */
function Path({ text }: { text: string }) {
  const name = fileName(text);
  return (
    <>
      <span class="ck-muted">{text.slice(0, text.length - name.length)}</span>
      {name}
    </>
  );
}

/** Puts the list under the input, or above it where there is more room; over everything, where the browser can. */
function usePlacement(open: boolean, input: { current: HTMLElement | null }, list: { current: HTMLElement | null }) {
  useLayoutEffect(() => {
    const [anchor, popup] = [input.current, list.current];
    if (!open || !anchor || !popup?.showPopover) return;
    popup.showPopover();
    const place = () => {
      const box = anchor.getBoundingClientRect();
      const below = innerHeight - box.bottom - 8;
      const above = box.top - 8;
      const up = below < 160 && above > below;
      popup.style.maxHeight = `${Math.min(280, up ? above : below)}px`;
      popup.style.minWidth = `${box.width}px`;
      popup.style.left = `${box.left}px`;
      popup.style.top = up ? "auto" : `${box.bottom + 2}px`;
      popup.style.bottom = up ? `${innerHeight - box.top + 2}px` : "auto";
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
