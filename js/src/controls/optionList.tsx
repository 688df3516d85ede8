/** The list of a combobox: the focus and the keys stay in its input. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { getFileName, getFolder } from "../format";
import type { Value } from "../session/protocol";
import { toText } from "./control";
import { usePlacement } from "./placement";

/** Filter what has all words of a query in its text. */
export function filterByWords<T>(all: readonly T[], query: string, getText: (each: T) => string): T[] {
  const words = listWords(query);
  return all.filter((each) => {
    const text = getText(each).toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function listWords(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Filter the choices that contain all words of a query; those whose file name starts with the first word come first. */
export function filterChoices(choices: readonly Value[], query: string): Value[] {
  const found = filterByWords(choices, query, toText);
  const [first] = listWords(query);
  if (first === undefined) return found;
  const startsWithFirst = (choice: Value) => getFileName(toText(choice)).toLowerCase().startsWith(first);
  return [...found.filter(startsWithFirst), ...found.filter((choice) => !startsWithFirst(choice))];
}

interface OptionListProps {
  id: string;
  label: string;
  /** The element that has the focus. */
  input: { current: HTMLElement | null };
  open: boolean;
  options: readonly string[];
  /** The index of the option that Enter chooses. */
  active: number;
  /** The option that is the value. */
  chosen?: string;
  onChoose(index: number): void;
  /** What stands below the options. */
  children?: ComponentChildren;
}

/** A list of options at an input. The element of the active one has the ID `ID-INDEX`. */
export function OptionList({ id, label, input, open, options, active, chosen, onChoose, children }: OptionListProps) {
  const list = useRef<HTMLDivElement>(null);
  usePlacement(open, input, list);
  useLayoutEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView?.({ block: "nearest" });
  }, [active, open, options.length]);
  return (
    <div
      ref={list}
      id={id}
      class="ck-list"
      role="listbox"
      aria-label={label}
      popover="manual"
      hidden={!open}
      // Keeps the focus in the input.
      onMouseDown={(event) => event.preventDefault()}
    >
      {options.map((option, index) => (
        // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the pattern keeps focus and keys in the input
        <div
          key={option}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === active}
          class={option === chosen ? "ck-chosen" : ""}
          onClick={() => onChoose(index)}
        >
          <Path text={option} />
        </div>
      ))}
      {children}
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
