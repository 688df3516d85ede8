/** Values, times and outputs as short texts. */

import type { Field, Item, Run, Value } from "./session/protocol";

/** Seconds as a clock: 0:08, 1:05, 1:00:00. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number: number) => number.toString().padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Seconds that something took: 3.1 s, 42 s, 1:05. */
export function duration(seconds: number): string {
  if (seconds >= 60) return clock(seconds);
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** A value on one line, shortened to `length` characters. */
export function brief(value: Value | undefined, length = 1e9): string {
  const text = typeof value === "string" ? value : JSON.stringify(value ?? null);
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** The last part of a path. */
export function fileName(path: string): string {
  return path.split(/[/\\]/).at(-1) ?? path;
}

/** A path of this machine as the name of its file; any other text as it is. */
export function shortPath(text: string): string {
  return /^(\/|[a-z]:\\).*\.\w{1,5}$/i.test(text) ? fileName(text) : text;
}

/** Bytes: 512 B, 12 kB, 3.4 MB. */
export function byteSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** What tells a run from others: its seeds and the values that were changed. */
export function differences(run: Run): [string, string][] {
  const seeds = Object.entries(run.seeds ?? {});
  const changed = Object.entries(run.changed ?? {}).filter(([name]) => !(name in (run.seeds ?? {})));
  return [...seeds, ...changed.map(([name, value]): [string, string] => [name, shortPath(brief(value))])];
}

/** What made a run different from another, or from the workflow, on one line. */
export function caption(run: Run, other?: Run): string {
  const others = other ? differences(other).map(String) : [];
  const own = differences(run).filter((part) => !others.includes(String(part)));
  return own.map(([name, value]) => `${name} ${brief(value, 60)}`).join(" · ");
}

const PROMPTS = ["prompt", "positive", "positive_prompt", "text"];

/** What a picture is, for those who don't see it: its name in the workflow and the prompt that made it. */
export function alternative(item: Item, run: Run, fields: readonly Field[]): string {
  const name = item.var || item.name;
  for (const key of PROMPTS) {
    const prompt = run.changed?.[key] ?? fields.find((field) => field.name === key)?.default;
    if (typeof prompt === "string" && prompt) return `${name}: ${brief(prompt, 200)}`;
  }
  return name;
}
