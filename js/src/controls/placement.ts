/** Places a popup at the element that opens it. */

import { useLayoutEffect } from "preact/hooks";
import { joinStops, listen } from "../listen";

/** Pixels between the list and the edge of the window, and between the list and the input. */
const WINDOW_MARGIN = 8;
const LIST_GAP = 2;
/** In pixels: the list opens upwards if there is less room below, and is never higher than this. */
const MIN_ROOM = 160;
const MAX_HEIGHT = 280;

/** Place the list below the input, or above it where there is more room. A popover covers everything else. */
export function usePlacement(
  open: boolean,
  input: { current: HTMLElement | null },
  list: { current: HTMLElement | null },
): void {
  useLayoutEffect(() => {
    const [anchor, popup] = [input.current, list.current];
    if (!open || !anchor || !popup?.showPopover) return;
    popup.showPopover();
    const place = () => {
      const box = anchor.getBoundingClientRect();
      const below = innerHeight - box.bottom - WINDOW_MARGIN;
      const above = box.top - WINDOW_MARGIN;
      const upwards = below < MIN_ROOM && above > below;
      popup.style.maxHeight = `${Math.min(MAX_HEIGHT, upwards ? above : below)}px`;
      popup.style.minWidth = `${box.width}px`;
      popup.style.left = `${Math.max(0, Math.min(box.left, innerWidth - popup.offsetWidth - WINDOW_MARGIN))}px`;
      popup.style.top = upwards ? "auto" : `${box.bottom + LIST_GAP}px`;
      popup.style.bottom = upwards ? `${innerHeight - box.top + LIST_GAP}px` : "auto";
    };
    place();
    return joinStops(
      listen(window, "scroll", place, { capture: true, passive: true }),
      listen(window, "resize", place),
      () => popup.isConnected && popup.hidePopover(),
    );
  }, [open, input, list]);
}
