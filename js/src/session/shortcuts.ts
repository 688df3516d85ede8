/** Keeps keys from the notebook, which has commands on plain ones. */

import { listen } from "../listen";

type KeyEvent = Pick<KeyboardEvent, "ctrlKey" | "metaKey" | "altKey">;

/** Return whether a key is pressed together with Ctrl, Command or Alt. */
export function hasModifier({ ctrlKey, metaKey, altKey }: KeyEvent): boolean {
  return ctrlKey || metaKey || altKey;
}

/** Keep a key from both the browser and the notebook. */
export function claim(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}

/** Keep a plain key from the notebook: "b" would insert a cell, also while a button has the focus. */
export function stopPlainKey(event: KeyboardEvent): void {
  if (!hasModifier(event)) event.stopPropagation();
}

/** Notebook 7 sees each key first. It looks for an element that matches a shortcut up to one with this attribute. */
const MARK = "data-lm-suppress-shortcuts";

/** Keep plain keys for an element while it has the focus; return a function that ends this. */
export function keepPlainKeys(root: HTMLElement): () => void {
  const mark = (event: KeyboardEvent) => {
    const { target } = event;
    if (hasModifier(event) || !(target instanceof Element) || !root.contains(target)) return;
    target.setAttribute(MARK, "true");
  };
  // Only the window gets an event earlier than the document, where the host listens.
  return listen(window, "keydown", mark, { capture: true });
}
