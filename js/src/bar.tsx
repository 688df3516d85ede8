/** Bars: how far something is, and sliders. */

import { clamp } from "./number";

interface BarProps {
  /** The filled part, from 0 to 1. */
  fraction: number;
  /** Its accessible name: with it, it is a progress bar for screen readers, too. */
  label?: string;
  /** The progress, from 0 to `max`; undefined while it is unknown. */
  now?: number | undefined;
  max?: number;
  text?: string;
  /** Whether it has stripes, because the progress is unknown. */
  striped?: boolean;
}

/** A bar that is filled in part. */
export function Bar({ fraction, label, now, max, text, striped = false }: BarProps) {
  const progress = label && {
    role: "progressbar" as const,
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": max,
    "aria-valuenow": now,
    "aria-valuetext": text,
  };
  return (
    <div class={`ck-bar${striped ? " ck-striped" : ""}`} {...progress}>
      <div style={{ transform: striped ? "none" : `scaleX(${fraction})` }} />
    </div>
  );
}

interface SliderProps {
  min: number;
  max: number;
  value: number;
  step?: number | "any";
  /** More attributes of its element. */
  attributes?: object;
  onInput(value: number): void;
}

/** A slider whose track is filled up to the thumb. */
export function Slider({ min, max, value, step = 1, attributes, onInput }: SliderProps) {
  const part = clamp((value - min) / (max - min) || 0, 0, 1);
  return (
    <input
      type="range"
      class="ck-slider"
      min={min}
      max={max}
      step={step}
      value={value}
      style={{ "--ck-at": `${100 * part}%` }}
      onInput={({ currentTarget }) => onInput(currentTarget.valueAsNumber)}
      {...attributes}
    />
  );
}
