/** Changes the weight of words in a prompt, as the keys of ComfyUI's editor do: `(soft light:1.2)`. */

/** What each key press adds to a weight. */
export const WEIGHT_STEP = 0.05;

/** Replaces a part of a text; the new part is selected then. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/** Where parentheses open and close; both belong to the group. */
type Group = readonly [open: number, close: number];

/** Characters that end a word. */
const DELIMITERS = " .,\\/!?%^*;:{}=-_`~()\r\n\t";
const WEIGHT = /^([\s\S]*):([+-]?(?:\d*\.)?\d+(?:e[+-]?\d+)?)$/i;
/** A time, such as `at 12:30`, ends like a weight. */
const TIME = /(?:^|\s)\d{1,2}:\d{2}$/;
/** Decimals that are kept: 0.1 + 0.2 is 0.3. */
const DECIMALS = 10;

/**
 * Add to the weight of what is selected: of the group in parentheses or the word at the caret if nothing is.
 *
 * Return null if there is nothing to weigh, or the selection has one of two parentheses. A weight of 1 is not written.
 */
export function changeWeight(text: string, start: number, end: number, change: number): Edit | null {
  const groups = findGroups(text);
  const selected = start === end ? selectAtCaret(text, start, groups) : widen(text, start, end, groups);
  const [from, to] = selected;
  if (!isWhole(text, from, to)) return null;
  const isGroup = groups.some(([open, close]) => open === from && close + 1 === to);
  const [words, weight] = isGroup ? splitWeight(text.slice(from + 1, to - 1)) : [text.slice(from, to), 1];
  if (!words.trim()) return null;
  const changed = Number((weight + change).toFixed(DECIMALS));
  return { start: from, end: to, text: changed === 1 ? words : `(${words}:${changed})` };
}

/** Find all pairs of parentheses, the inner ones first; `\(` is a character like others. */
function findGroups(text: string): Group[] {
  const groups: Group[] = [];
  const open: number[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "(") open.push(at);
    else if (text[at] === ")") {
      const start = open.pop();
      if (start !== undefined) groups.push([start, at]);
    }
  }
  return groups;
}

/** Return whether a part of a text has both parentheses of each pair, and no half of an escaped character. */
function isWhole(text: string, start: number, end: number): boolean {
  let depth = 0;
  for (let at = 0; at < end; at++) {
    if (text[at] === "\\") {
      at++;
      if (at === start || at === end) return false;
    } else if (at >= start) {
      depth += Number(text[at] === "(") - Number(text[at] === ")");
      if (depth < 0) return false;
    }
  }
  return depth === 0;
}

function selectAtCaret(text: string, caret: number, groups: Group[]): [number, number] {
  const group = groups.find(([open, close]) => open < caret && caret <= close);
  if (group) return [group[0], group[1] + 1];
  let [start, end] = [caret, caret];
  while (start > 0 && !DELIMITERS.includes(text.charAt(start - 1))) start--;
  while (end < text.length && !DELIMITERS.includes(text.charAt(end))) end++;
  return [start, end];
}

/** Leave out a space at the end; take the parentheses around what is selected. */
function widen(text: string, start: number, end: number, groups: Group[]): [number, number] {
  const last = text[end - 1] === " " ? end - 1 : end;
  const around = groups.find(([open, close]) => open + 1 === start && close === last);
  return around ? [around[0], around[1] + 1] : [start, last];
}

/** Split what stands between parentheses into words and weight. */
function splitWeight(inner: string): [string, number] {
  const [, words, weight] = (!TIME.test(inner) && WEIGHT.exec(inner)) || [];
  return words === undefined ? [inner, 1] : [words, Number(weight)];
}
