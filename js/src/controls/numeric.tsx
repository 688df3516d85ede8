/** Edits integers and numbers: arithmetic, arrow keys, and a slider where the range is small enough. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { Slider } from "../bar";
import { addSteps, clamp, toInteger, toWire } from "../number";
import type { Field, Value } from "../session/protocol";
import { claim, hasModifier } from "../session/shortcuts";
import { parseInteger, parseNumber } from "./arithmetic";
import { buildAttributes, type ControlProps, ErrorLine, toText } from "./control";

/** Milliseconds after the last step until the value is sent. */
const STEP_DELAY = 120;

/** Steps of each key; with Shift ten times as many. */
const KEY_STEPS: Record<string, number> = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

/** A character that can't be part of a number or of arithmetic. */
const NOT_ARITHMETIC = /[^\d\s.+\-*/()×÷−e]/i;

/** Parses and steps the values of a field. */
interface Stepper {
  parse(text: string): Value | undefined;
  /** Add `count` steps to a value, within the bounds. */
  step(value: Value, count: number): Value | undefined;
}

/** Create the stepper of an integer field. */
export function createIntegerStepper(field: Field): Stepper {
  const step = toInteger(field.step) || 1n;
  return {
    parse: (text) => {
      const value = parseInteger(text);
      return value === null ? undefined : toWire(value);
    },
    step: (value, count) => {
      const from = toInteger(value) ?? toInteger(field.default) ?? 0n;
      return toWire(clamp(from + step * BigInt(count), toInteger(field.min), toInteger(field.max)));
    },
  };
}

/** Create the stepper of a field of numbers. */
export function createNumberStepper(field: Field): Stepper {
  const toBound = (value: Field["min"]) => (value === null ? null : Number(value));
  const step = Number(field.step) || 0.1;
  return {
    parse: (text) => parseNumber(text) ?? undefined,
    step: (value, count) => {
      const from = typeof value === "number" ? value : Number(field.default ?? 0);
      return clamp(addSteps(from, step, count), toBound(field.min), toBound(field.max));
    },
  };
}

/** A control for an integer, exact at any size. */
export function IntegerControl(props: ControlProps) {
  return <SliderInput {...props} stepper={createIntegerStepper(props.field)} />;
}

/** A control for a number. */
export function NumberControl(props: ControlProps) {
  return <SliderInput {...props} stepper={createNumberStepper(props.field)} />;
}

/** A number input, with a slider before it where the field has one. */
function SliderInput(props: ControlProps & { stepper: Stepper }) {
  const { session, field, value } = props;
  if (!field.slider) return <NumberInput {...props} />;
  return (
    <NumberInput
      {...props}
      before={
        // For the pointer only: keyboards and screen readers use the input beside it.
        <Slider
          key="slider"
          min={Number(field.min)}
          max={Number(field.max)}
          step={Number(field.step) || "any"}
          value={Number(value)}
          attributes={{ "aria-hidden": "true", tabIndex: -1, onChange: () => session.values.flush() }}
          onInput={(next) => session.values.set(field.name, next, STEP_DELAY)}
        />
      }
    />
  );
}

interface NumberInputProps extends ControlProps {
  stepper: Stepper;
  placeholder?: string;
  title?: string | undefined;
  /** Shown instead of the value. */
  display?: string;
  before?: ComponentChildren;
  after?: ComponentChildren;
  /** Called with the value, instead of setting it in the form. */
  onSet?(value: Value, delay: number): void;
  /** Whether a list of values is an error. */
  isSingle?: boolean;
}

/**
 * A text input for numbers. It commits on Enter or when it loses the focus, and shows errors while typing.
 *
 * A text such as `3, 4.5` or `1..9:2` is a list of values, which the kernel reads.
 */
export function NumberInput(props: NumberInputProps) {
  const { session, field, id, value, error, stepper, placeholder, display } = props;
  const { onSet = (next, delay) => session.values.set(field.name, next, delay), isSingle = false } = props;
  const takesList = (typed: string) => !isSingle && isList(typed);
  // The text being typed; null while the input shows the value.
  const [typed, setTyped] = useState<string | null>(null);
  const [typedError, setTypedError] = useState<string | null>(null);
  const list = session.get("lists")[field.name];
  const hasList = list !== undefined;
  const text = typed ?? (hasList ? toText(list) : (display ?? toText(value)));

  useLayoutEffect(() => setTyped(null), [list]);
  // A text that is gone from the page must not prevent a run.
  useLayoutEffect(() => () => void session.invalid.delete(field.name), [session, field.name]);
  const showError = (message: string | null) => {
    setTypedError(message);
    if (message === null) session.invalid.delete(field.name);
    else session.invalid.set(field.name, message);
  };
  const showValue = () => {
    setTyped(null);
    showError(null);
  };
  const set = (next: Value, delay = 0) => {
    showValue();
    onSet(next, delay);
  };
  const onInput = (event: { currentTarget: HTMLInputElement }) => {
    setTyped(event.currentTarget.value);
    const { value: text } = event.currentTarget;
    showError(takesList(text) ? null : findTypingError(text, field, stepper));
  };
  const commit = () => {
    if (typed === null) return;
    const next = stepper.parse(typed);
    if (next !== undefined) return set(next);
    if (typed.trim() !== "" && !takesList(typed)) return showError(formatNotANumber(typed));
    if (typed.trim() === "") showValue();
    session.submitter.setList(field.name, typed.trim());
  };
  // A changed text has been committed by now. What remains is a text that was changed back: nothing to commit.
  const onBlur = () => {
    if (typed !== null && (takesList(typed) || stepper.parse(typed) !== undefined)) setTyped(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") return commit();
    const steps = KEY_STEPS[event.key];
    if (steps === undefined || takesList(text) || hasModifier(event)) return;
    claim(event);
    const from = typed === null ? value : (stepper.parse(typed) ?? value);
    const next = stepper.step(from, steps * (event.shiftKey ? 10 : 1));
    if (next !== undefined) set(next, STEP_DELAY);
  };
  const shownError = typedError ?? error;
  const note = value === null && !shownError ? field.note : "";

  return (
    <>
      <div class="ck-line">
        {!hasList && props.before}
        <input
          key="text"
          type="text"
          role="spinbutton"
          class={`ck-input ck-number${field.slider && !hasList ? " ck-short" : ""}`}
          inputMode={field.kind === "number" ? "decimal" : "numeric"}
          autocomplete="off"
          value={text}
          placeholder={placeholder}
          aria-required={field.required}
          aria-valuenow={hasList ? undefined : toAriaNumber(value)}
          aria-valuetext={text || placeholder}
          aria-valuemin={toAriaNumber(field.min)}
          aria-valuemax={toAriaNumber(field.max)}
          title={props.title ?? formatRange(field)}
          onInput={onInput}
          onChange={commit}
          onBlur={onBlur}
          onKeyDown={onKeyDown}
          {...buildAttributes(id, shownError, Boolean(note))}
        />
        {props.after}
      </div>
      {note && (
        <p class="ck-note" id={`${id}-note`}>
          {note}
        </p>
      )}
      <ErrorLine id={id} error={shownError} />
    </>
  );
}

/**
 * Find an error in a text that is still being typed.
 *
 * Only what further keys can't correct is an error: “51” may become 512, but a number never becomes smaller.
 */
function findTypingError(text: string, field: Field, stepper: Stepper): string | null {
  const value = stepper.parse(text);
  if (value === undefined) return NOT_ARITHMETIC.test(text) ? formatNotANumber(text) : null;
  return field.max !== null && Number(value) > Number(field.max) ? `must be at most ${field.max}` : null;
}

/** Return whether a text stands for several values. */
export function isList(text: string): boolean {
  return /,|\.\.|^\s*\*/.test(text);
}

function formatNotANumber(text: string): string {
  return `“${text}” is not a number`;
}

function toAriaNumber(value: Value): number | undefined {
  return value === null || Number.isNaN(Number(value)) ? undefined : Number(value);
}

/** Format the bounds, and the step of the arrow keys. */
function formatRange(field: Field): string {
  const { step } = field;
  const parts = [
    formatBounds(field),
    step && Number(step) !== 1 && `in steps of ${step}`,
    "or a list: 3, 4.5 · 1..9:2",
  ];
  return parts.filter(Boolean).join(", ");
}

function formatBounds({ min, max }: Field): string {
  if (min !== null && max !== null) return `${min} to ${max}`;
  if (min !== null) return `at least ${min}`;
  return max === null ? "" : `at most ${max}`;
}
