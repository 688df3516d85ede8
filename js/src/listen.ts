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

/** Call back with the width of an element's content in pixels, at first and each time that its size changes. */
export function observeSize(element: Element, callback: (width: number) => void): () => void {
  const observer = new ResizeObserver(([entry]) => entry && callback(entry.contentRect.width));
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

/** Combine functions that remove something into one. */
export function joinStops(...stops: (() => unknown)[]): () => void {
  return () => {
    for (const stop of stops) stop();
  };
}
