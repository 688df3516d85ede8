/** Integers and numbers: arithmetic, arrow keys, a slider where the bounds are sane. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { clamp, parseInteger, parseNumber, stepNumber, toInteger, wire } from "../number";
import type { Field, Value } from "../session/protocol";
import { type ControlProps, described, ErrorLine, textOf } from "./registry";

/** Milliseconds after the last step in which a value is sent. */
const STEPPING = 120;

/** How the values of a field are read, stepped and sent. */
interface Arithmetic {
  parse(text: string): Value | undefined;
  /** The value and `count` steps more, within the bounds. */
  step(value: Value, count: number): Value | undefined;
}

export function integers(field: Field): Arithmetic {
  const step = toInteger(field.step) || 1n;
  return {
    parse: (text) => {
      const value = parseInteger(text);
      return value === null ? undefined : wire(value);
    },
    step: (value, count) => {
      const from = toInteger(value) ?? toInteger(field.default) ?? 0n;
      return wire(clamp(from + step * BigInt(count), toInteger(field.min), toInteger(field.max)));
    },
  };
}

function numbers(field: Field): Arithmetic {
  const bound = (value: Field["min"]) => (value === null ? null : Number(value));
  const step = Number(field.step) || 0.1;
  return {
    parse: (text) => parseNumber(text) ?? undefined,
    step: (value, count) => {
      const from = typeof value === "number" ? value : Number(field.default ?? 0);
      return clamp(stepNumber(from, step, count), bound(field.min), bound(field.max));
    },
  };
}

export const Integer = (props: ControlProps) => <Slidden {...props} arithmetic={integers(props.field)} />;
export const Numeric = (props: ControlProps) => <Slidden {...props} arithmetic={numbers(props.field)} />;

function Slidden(props: ControlProps & { arithmetic: Arithmetic }) {
  const { session, field, value } = props;
  if (!field.slider) return <NumberInput {...props} />;
  return (
    <NumberInput
      {...props}
      before={
        // For the pointer alone: keys and screen readers have the input beside it.
        <input
          type="range"
          class="ck-slider"
          aria-hidden="true"
          tabIndex={-1}
          min={Number(field.min)}
          max={Number(field.max)}
          step={Number(field.step) || "any"}
          value={Number(value)}
          style={{ "--ck-at": filled(field, Number(value)) }}
          onInput={(event) => session.values.set(field.name, event.currentTarget.valueAsNumber, STEPPING)}
          onChange={() => session.values.flush()}
        />
      }
    />
  );
}

interface NumberInputProps extends ControlProps {
  arithmetic: Arithmetic;
  placeholder?: string;
  /** What is shown instead of the value. */
  shown?: string;
  before?: ComponentChildren;
  after?: ComponentChildren;
}

export function NumberInput(props: NumberInputProps) {
  const { session, field, id, value, error, arithmetic, placeholder, shown } = props;
  // What is being typed; null when the value is shown.
  const [typed, setTyped] = useState<string | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const text = typed ?? shown ?? textOf(value);

  const show = (next: Value, delay = 0) => {
    showValue();
    session.values.set(field.name, next, delay);
  };
  const commit = () => {
    if (typed === null) return;
    const next = arithmetic.parse(typed);
    if (next !== undefined) show(next);
    else if (typed.trim() === "") showValue();
    else complain(`“${typed}” is not a number.`);
  };
  const showValue = () => {
    setTyped(null);
    complain(null);
  };
  const complain = (line: string | null) => {
    setWrong(line);
    if (line === null) session.wrong.delete(field.name);
    else session.wrong.set(field.name, line);
  };
  // What no further key can put right is told at once: “51” may become 512, but no larger than it is.
  const type = (text: string) => {
    const next = arithmetic.parse(text);
    const inside = next === undefined ? next : arithmetic.step(next, 0);
    setTyped(text);
    if (next === undefined) complain(/[^\d\s.+\-*/()×÷−e]/i.test(text) ? `“${text}” is not a number.` : null);
    else
      complain(inside !== undefined && Number(next) > Number(inside) ? `${text} is too much: ${range(field)}.` : null);
  };
  // What was changed has been committed: what is left to drop is a text that came back to what it was.
  const leave = () => {
    if (typed !== null && arithmetic.parse(typed) !== undefined) setTyped(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") return commit();
    const direction = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (direction === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const from = typed === null ? value : (arithmetic.parse(typed) ?? value);
    const next = arithmetic.step(from, direction * (event.shiftKey ? 10 : 1));
    if (next !== undefined) show(next, STEPPING);
  };
  const problem = wrong ?? error;

  return (
    <>
      <div class="ck-line">
        {props.before}
        <input
          type="text"
          role="spinbutton"
          class={`ck-input ck-number${field.slider ? " ck-short" : ""}`}
          inputMode={field.kind === "number" ? "decimal" : "numeric"}
          autocomplete="off"
          value={text}
          placeholder={placeholder}
          aria-required={field.required}
          aria-valuenow={numeric(value)}
          aria-valuetext={text || placeholder}
          aria-valuemin={numeric(field.min)}
          aria-valuemax={numeric(field.max)}
          title={range(field)}
          onInput={(event) => type(event.currentTarget.value)}
          onChange={commit}
          onBlur={leave}
          onKeyDown={onKeyDown}
          {...described(id, problem)}
        />
        {props.after}
      </div>
      <ErrorLine id={id} error={problem} />
    </>
  );
}

function numeric(value: Value): number | undefined {
  return value === null || Number.isNaN(Number(value)) ? undefined : Number(value);
}

/** The part of the slider before the value, as a size. */
function filled({ min, max }: Field, value: number): string {
  const part = (value - Number(min)) / (Number(max) - Number(min));
  return `${100 * Math.min(1, Math.max(0, part || 0))}% 100%`;
}

/** The bounds in words, and the steps that arrow keys take. */
function range({ min, max, step }: Field): string {
  const bounds =
    min === null ? max !== null && `at most ${max}` : max === null ? `at least ${min}` : `${min} to ${max}`;
  return [bounds, step && Number(step) !== 1 && `in steps of ${step}`].filter(Boolean).join(", ");
}
