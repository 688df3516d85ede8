/** Edits the text of an area in such a way that the browser can undo it. */

/** Replace a part of the text. The caret is behind the new part. */
export function replaceText(area: HTMLTextAreaElement, start: number, end: number, text: string): void {
  const { value } = area;
  const after = value.slice(0, start) + text + value.slice(end);
  area.focus();
  area.setSelectionRange(start, end);
  // Deprecated, and the only way that keeps what can be undone.
  if (after !== value) document.execCommand?.(text ? "insertText" : "delete", false, text);
  if (area.value === after) return;
  area.setRangeText(text, start, end, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Count the words of a text. */
export function countWords(text: string): number {
  return text.split(/\s+/).filter(Boolean).length;
}

/** Return what stands before the caret of the name of a wildcard, which begins with `__`; undefined elsewhere. */
export function findWildcard(text: string): string | undefined {
  return /__([\w/ -]*)$/.exec(text.replace(/__[a-zA-Z0-9][\w/ -]*?__/g, ""))?.[1];
}
