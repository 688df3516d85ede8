/** Edits a prompt: earlier texts, the weight of words, names of wildcards, and a larger editor. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import type { ControlAttributes } from "../controls/control";
import { filterChoices, OptionList } from "../controls/optionList";
import { getLabel } from "../format";
import { ExpandIcon } from "../icons";
import { clamp } from "../number";
import type { Field } from "../session/protocol";
import type { Session } from "../session/session";
import { claim } from "../session/shortcuts";
import { countWords, findWildcard, replaceText } from "./edits";
import { PromptHistory } from "./history";
import { changeWeight, WEIGHT_STEP } from "./weights";

/** Wildcards in the list at once. */
const MAX_OPTIONS = 50;

/** The direction of each key: to an older text, a larger weight, or the option above. */
const STEPS: Record<string, number> = { ArrowUp: 1, ArrowDown: -1 };

interface PromptAreaProps {
  session: Session;
  field: Field;
  text: string;
  attributes: ControlAttributes & { onInput(event: Event): void };
}

/** The area, also as a larger editor over the page: it is the same element, so that caret and undo stay. */
export function PromptArea({ session, field, text, attributes }: PromptAreaProps) {
  const frame = useRef<HTMLDivElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const history = useRef(new PromptHistory()).current;
  const [large, setLarge] = useState(false);
  const wildcards = useWildcards(session, area);

  useLayoutEffect(() => {
    // Browsers with field-sizing grow the area themselves.
    if (!area.current || CSS.supports?.("field-sizing", "content")) return;
    area.current.style.height = "";
    if (!large) area.current.style.height = `${area.current.scrollHeight + 2}px`;
  }, [text, large]);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!large || !element) return;
    element.popover = "manual";
    element.showPopover?.();
    area.current?.focus();
    return () => {
      element.hidePopover?.();
      element.removeAttribute("popover");
      area.current?.focus();
    };
  }, [large]);

  const recall = async (element: HTMLTextAreaElement, by: number) => {
    const { value } = element;
    if (!history.isAt(value)) {
      if (by < 0) return;
      const answer = await session.requestOrNotify("prompts", { name: field.name });
      if (!answer || element.value !== value) return;
      history.start(value, answer.prompts as string[]);
    }
    const found = history.move(by);
    if (found === undefined) return;
    replaceText(element, 0, value.length, found);
    // Here the same key recalls the next text, and what is typed does not split this one.
    const caret = by > 0 ? 0 : found.length;
    element.setSelectionRange(caret, caret);
  };

  const weigh = (element: HTMLTextAreaElement, change: number) => {
    const edit = changeWeight(element.value, element.selectionStart, element.selectionEnd, change);
    if (!edit) return;
    replaceText(element, edit.start, edit.end, edit.text);
    element.setSelectionRange(edit.start, edit.start + edit.text.length);
  };

  /** Recall another text where the caret can't move further. Return whether that handles the key. */
  const browse = (element: HTMLTextAreaElement, by: number): boolean => {
    const { selectionStart: start, selectionEnd: end, value } = element;
    const isRecalled = history.isAt(value) && start === end && (start === 0 || start === value.length);
    if (isRecalled) void recall(element, by);
    else if (start === end)
      setTimeout(() => {
        // The browser has handled the key: it moves the caret to the end of the text where there is no other line.
        const { selectionStart: now } = element;
        const isLast = by > 0 ? !now && !value.slice(0, start).includes("\n") : now === value.length;
        if (element.value === value && (now === start || isLast)) void recall(element, by);
      });
    return isRecalled;
  };

  const handleArrow = (event: KeyboardEvent, element: HTMLTextAreaElement): boolean => {
    const step = STEPS[event.key];
    if (!step || event.altKey || event.shiftKey || event.isComposing) return false;
    if (!(event.ctrlKey || event.metaKey)) return browse(element, step);
    weigh(element, step * WEIGHT_STEP);
    return true;
  };

  const onKeyDown = (event: KeyboardEvent & { currentTarget: HTMLTextAreaElement }) => {
    if (!wildcards.handleKey(event.key) && !handleArrow(event, event.currentTarget)) return;
    claim(event);
  };
  const onFrameKeyDown = (event: KeyboardEvent) => {
    if (!large || !["Escape", "Tab"].includes(event.key)) return;
    claim(event);
    if (event.key === "Escape") return setLarge(false);
    const stops = [...(frame.current?.querySelectorAll<HTMLElement>("textarea, button") ?? [])];
    const next = stops.indexOf(event.target as HTMLElement) + (event.shiftKey ? -1 : 1);
    stops.at(next % stops.length)?.focus();
  };
  const place = history.isAt(text) ? history.place : "";

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it is a dialog as long as it has keys
    <div
      ref={frame}
      class="ck-prompt"
      {...(large && { role: "dialog", "aria-modal": true, "aria-label": getLabel(field) })}
      onKeyDown={onFrameKeyDown}
    >
      <textarea
        ref={area}
        class="ck-input ck-area"
        rows={2}
        {...attributes}
        {...wildcards.attributes}
        value={text}
        onInput={(event) => {
          attributes.onInput(event);
          wildcards.update();
        }}
        onKeyDown={onKeyDown}
        onBlur={wildcards.close}
      />
      {wildcards.list}
      {place && (
        <p class="ck-note" role="status">
          {place}
        </p>
      )}
      {large ? (
        <div class="ck-line">
          <span class="ck-muted ck-grow">
            {countWords(text)} words · Ctrl+↑ and Ctrl+↓ change the weight of the selected words
          </span>
          <Button title="Esc" onClick={() => setLarge(false)}>
            Done
          </Button>
        </div>
      ) : (
        <IconButton
          icon={ExpandIcon}
          class="ck-quiet ck-expand"
          label={`Larger editor for ${getLabel(field)}`}
          onClick={() => setLarge(true)}
        />
      )}
    </div>
  );
}

/** A list of the wildcards that can complete the name at the caret. */
function useWildcards(session: Session, area: { current: HTMLTextAreaElement | null }) {
  const [names, setNames] = useState<string[]>();
  const [query, setQuery] = useState<string>();
  const [active, setActive] = useState(0);
  const found = query === undefined ? [] : (filterChoices(names ?? [], query) as string[]).slice(0, MAX_OPTIONS);
  const open = found.length > 0;
  const id = `${area.current?.id}-list`;

  const close = () => setQuery(undefined);
  const update = () => {
    const element = area.current;
    const next = element ? findWildcard(element.value.slice(0, element.selectionStart)) : undefined;
    setQuery(next);
    setActive(0);
    // The files may have changed since they were asked for.
    if (next === "") void session.requestOrNotify("wildcards").then((answer) => setNames(answer?.names as string[]));
  };
  const choose = (name: string | undefined) => {
    const element = area.current;
    if (name === undefined || !element || query === undefined) return;
    const end = element.selectionStart;
    replaceText(element, end - query.length, end, `${name}__`);
    close();
  };
  const handleKey = (key: string): boolean => {
    const step = STEPS[key];
    if (!open) return false;
    if (step) setActive(clamp(active - step, 0, found.length - 1));
    else if (key === "Enter" || key === "Tab") choose(found[active]);
    else if (key === "Escape") close();
    else return false;
    return true;
  };

  return {
    close,
    update,
    handleKey,
    attributes: {
      "aria-autocomplete": "list" as const,
      "aria-controls": open ? id : undefined,
      "aria-activedescendant": open ? `${id}-${active}` : undefined,
    },
    list: (
      <OptionList
        id={id}
        label="Wildcards"
        input={area}
        open={open}
        options={found}
        active={active}
        onChoose={(index) => choose(found[index])}
      />
    ),
  };
}
