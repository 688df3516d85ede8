/** The stack of LoRAs among a form's values: rows of name, strength for the model, strength for CLIP, and on or off. */

import { toText } from "../controls/control";
import { getFileName } from "../format";
import type { Field } from "../session/protocol";
import type { Session } from "../session/session";

/** The name of the stack among the values. */
export const STACK = "+loras";

export type Row = [name: string, model: number, clip: number, on: boolean];

/** Return the rows of the stack. A browser's storage may hold anything. */
export function getRows(session: Session, field: Field): Row[] {
  const value = session.values.get(STACK) ?? field.default;
  const rows = Array.isArray(value) ? value : [];
  return rows.filter((row) => Array.isArray(row) && typeof row[0] === "string") as unknown as Row[];
}

/** Return the rows with one of them at another place. */
export function moveRow(rows: readonly Row[], index: number, by: number): Row[] {
  const moved = [...rows];
  moved.splice(index + by, 0, ...moved.splice(index, 1));
  return moved;
}

/** Return whether a name refers to a file. It may leave out folder and suffix. */
export function isSameFile(name: string, file: string): boolean {
  return [file, getFileName(file)].some((path) => name === path || name === path.replace(/\.\w+$/, ""));
}

/** Return whether a text has a word, not as a part of another one. */
export function hasWord(text: string, word: string): boolean {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(^|[^\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, "iu").test(text);
}

/** Return the text of a field. */
export function getText(session: Session, field: Field): string {
  return toText(session.values.get(field.name) ?? field.default);
}

/** Put a word at the end of a text, unless it is there already. */
export function addWord(text: string, word: string): string {
  if (hasWord(text, word)) return text;
  const before = text.trimEnd();
  return (before && before + (before.endsWith(",") ? " " : ", ") + word) || word;
}
