/** Moves the focus. */

/** Focus an input when it appears: a `ref` that is a new function at each render would take the focus each time. */
export function focusOnce(element: HTMLInputElement | null): void {
  if (!element?.dataset.ck) element?.focus();
  if (element) element.dataset.ck = "";
}
