/** The keys of an explorer, the same in its grid and in its lightbox. */

import type { Marks } from "./protocol";

export type Action =
  | { kind: "move"; rows: number; columns: number; extend: boolean }
  | { kind: "edge"; toEnd: boolean; whole: boolean; extend: boolean }
  | { kind: "page"; by: number; extend: boolean }
  | { kind: "mark"; mark: Mark; advance: boolean }
  | { kind: "remove"; place: "rows" | "columns" }
  | { kind: "all" | SimpleKind };

export type Mark = { star: true } | { rejected: true } | { rating: number };

type KeyEvent = Pick<KeyboardEvent, "key" | "code" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey">;

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

const SIMPLE = {
  Enter: "open",
  z: "zoom",
  u: "undo",
  c: "choose",
  C: "compare",
  i: "info",
  t: "transpose",
  n: "note",
  "/": "search",
  g: "stack",
  "?": "keys",
  " ": "select",
  Escape: "clear",
  "+": "larger",
  "=": "larger",
  "-": "smaller",
  "−": "smaller",
  "[": "previous",
  "]": "next",
} as const;

type SimpleKind = (typeof SIMPLE)[keyof typeof SIMPLE];

/** Return what a key does; undefined if it has no meaning here. */
export function findAction(event: KeyEvent): Action | undefined {
  const { key, shiftKey } = event;
  if (event.altKey) return undefined;
  const move = findMove(event);
  if (move) return move;
  if (event.ctrlKey || event.metaKey) return key === "a" ? { kind: "all" } : undefined;
  if (key === "Delete") return { kind: "remove", place: shiftKey ? "columns" : "rows" };
  const mark = findMark(event);
  if (mark) return { kind: "mark", mark, advance: shiftKey };
  const kinds: Partial<Record<string, SimpleKind>> = SIMPLE;
  const kind = kinds[key] ?? kinds[key.toLowerCase()];
  return kind && { kind };
}

function findMove({ key, shiftKey: extend, ctrlKey, metaKey }: KeyEvent): Action | undefined {
  const whole = ctrlKey || metaKey;
  if (key === "Home" || key === "End") return { kind: "edge", toEnd: key === "End", whole, extend };
  if (whole) return undefined;
  const arrow = ARROWS[key];
  if (arrow) return { kind: "move", rows: arrow[0], columns: arrow[1], extend };
  if (key === "PageUp" || key === "PageDown") return { kind: "page", by: key === "PageUp" ? -1 : 1, extend };
  return undefined;
}

/** Return the mark of a key. With Shift a digit is known by its place, since it types another sign. */
function findMark({ key, code, shiftKey }: KeyEvent): Mark | undefined {
  const digit = /^[0-5]$/.test(key) ? key : shiftKey ? /^Digit([0-5])$/.exec(code)?.[1] : undefined;
  if (digit !== undefined) return { rating: Number(digit) };
  if (key.toLowerCase() === "s") return { star: true };
  return key.toLowerCase() === "x" ? { rejected: true } : undefined;
}

/** Return the marks of several points after a mark: what all of them have is taken away, else all of them get it. */
export function applyMark(mark: Mark, before: readonly Marks[]): Marks[] {
  if ("rating" in mark) return before.map((each) => ({ ...each, rating: mark.rating }));
  const name = "star" in mark ? "star" : "rejected";
  const value = !before.every((each) => each[name]);
  return before.map((each) => ({ ...each, [name]: value }));
}

/** Return the part of marks that is sent to the kernel. */
export function listChangedMarks(before: Marks, after: Marks): Record<string, boolean | number> {
  const changed: Record<string, boolean | number> = {};
  for (const name of ["star", "rejected", "rating"] as const)
    if (before[name] !== after[name]) changed[name] = after[name];
  return changed;
}
