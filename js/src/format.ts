/** Formats values, times and outputs as short texts. */

import type { Field, Item, Run, Value } from "./session/protocol";

/** Names of parameters that usually hold the prompt text. */
const PROMPT_NAMES = ["prompt", "positive", "positive_prompt", "text"];

const MAX_PROMPT = 200;
const MAX_SEED = 6;

/** Format seconds as a clock: 0:08, 1:05, 1:00:00. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (number: number) => number.toString().padStart(2, "0");
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/** Format a duration in seconds: < 0.1 s, 3.1 s, 42 s, 1:05. */
export function formatDuration(seconds: number): string {
  if (seconds >= 60) return formatClock(seconds);
  if (seconds < 0.1) return "< 0.1 s";
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** Shorten a long seed to its last digits. */
export function formatSeed(seed: string): string {
  return seed.length > MAX_SEED ? `…${seed.slice(-4)}` : seed;
}

/** Format a count: 1,234. */
export function formatCount(count: number): string {
  return count.toLocaleString("en");
}

/** Format a number of bytes: 512 B, 12 kB, 3.4 MB. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Format a fraction between 0 and 1 as a percentage. */
export function formatPercent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`;
}

/** Format how much of a file is there; empty while its size is not known. */
export function formatFetched(fraction: number, total: number | undefined): string {
  return total ? `${formatPercent(fraction)} of ${formatBytes(total)}` : "";
}

/** Format the seconds that a run waited in the queue; empty if it hardly did. */
export function formatWait({ waited }: Run): string {
  return waited && waited >= 0.1 ? formatDuration(waited) : "";
}

/** Format a value on one line, shortened to `length` characters. */
export function formatValue(value: Value | undefined, length = Number.POSITIVE_INFINITY): string {
  const text = typeof value === "string" ? value : JSON.stringify(value ?? null);
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** Return a word with its article: an image, a video. */
export function addArticle(word: string): string {
  return `${/^[aeiou]/.test(word) ? "an" : "a"} ${word}`;
}

/** Return the last part of a path. */
export function getFileName(path: string): string {
  return path.split(/[/\\]/).at(-1) ?? path;
}

/** Return a path without its last part, with the separator at its end. */
export function getFolder(path: string): string {
  return path.slice(0, path.length - getFileName(path).length);
}

/** Shorten a local path to its file name; leave any other text unchanged. */
export function shortenPath(text: string): string {
  return /^(\/|[a-z]:\\).*\.\w{1,5}$/i.test(text) ? getFileName(text) : text;
}

/** Return the seeds and the changed values of a run, as pairs of name and text. */
export function listChanges({ seeds = {}, changed = {} }: Run): [string, string][] {
  const values = Object.entries(changed).filter(([name]) => !(name in seeds));
  return [
    ...Object.entries(seeds),
    ...values.map(([name, value]): [string, string] => [name, shortenPath(formatValue(value))]),
  ];
}

/** Describe an output for people who can't see it: its name in the workflow and its prompt text. */
export function formatAltText(item: Item, run: Run, fields: readonly Field[]): string {
  const name = item.var || item.name;
  for (const key of PROMPT_NAMES) {
    const prompt = run.changed?.[key] ?? fields.find((field) => field.name === key)?.default;
    if (typeof prompt === "string" && prompt) return `${name}: ${formatValue(prompt, MAX_PROMPT)}`;
  }
  return name;
}

/** Return the words that name a field in the form. */
export function getLabel(field: Field): string {
  return field.label || field.name;
}

/** Return the words that name a parameter in the form; of an input that only the list of all has, its name. */
export function findLabel(name: string, fields: readonly Field[]): string {
  const field = fields.find((each) => each.name === name);
  return field ? getLabel(field) : name.slice(name.lastIndexOf(".") + 1).replaceAll("_", " ");
}
