/** Keeps plain keys for the widget in hosts whose shortcuts see each key first, such as Notebook 7. */

/** Such hosts look for an element that matches a shortcut from the target up, until one has this attribute. */
const MARK = "data-lm-suppress-shortcuts";

/** Keep plain keys for an element while it has the focus; return a function that ends this. */
export function keepPlainKeys(root: HTMLElement): () => void {
  const mark = ({ target, ctrlKey, metaKey, altKey }: KeyboardEvent) => {
    if (ctrlKey || metaKey || altKey || !(target instanceof Element) || !root.contains(target)) return;
    target.setAttribute(MARK, "true");
  };
  // Only the window gets an event earlier than the document, where the host listens.
  window.addEventListener("keydown", mark, true);
  return () => window.removeEventListener("keydown", mark, true);
}
