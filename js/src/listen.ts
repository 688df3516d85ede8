/** Adds listeners and observers. Each function returns a function that removes them. */

/** Call back at an event. */
export function listen(
  target: EventTarget,
  type: string,
  callback: (event: never) => void,
  options?: AddEventListenerOptions,
): () => void {
  target.addEventListener(type, callback as EventListener, options);
  return () => target.removeEventListener(type, callback as EventListener, options);
}

/** Call back when an element gets another size, and once at first. */
export function observeSize(element: Element, callback: () => void): () => void {
  const observer = new ResizeObserver(callback);
  observer.observe(element);
  return () => observer.disconnect();
}

/** Call back when an element comes into sight or leaves it; undefined where the browser does not know. */
export function observeSight(
  element: Element,
  callback: (isVisible: boolean) => void,
  margin = "0px",
): (() => void) | undefined {
  if (typeof IntersectionObserver === "undefined") return undefined;
  const observer = new IntersectionObserver((entries) => callback(entries.at(-1)?.isIntersecting ?? false), {
    rootMargin: margin,
  });
  observer.observe(element);
  return () => observer.disconnect();
}
