/** Which rows and columns of a grid are in sight while it is scrolled, and how a point comes into sight. */

import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { joinStops, listen, observeSize } from "../listen";
import { isEqual } from "../session/protocol";
import { findOffset, findSight, type Layout, type Range } from "./state/layout";

/** Milliseconds without a scroll after which the grid is at rest. */
const REST = 120;
/** Milliseconds between two renderings of a grid that moves by more than half of what is in sight. */
const FAST = 80;

interface Sight {
  rows: Range;
  columns: Range;
  /** Whether the grid moves so fast that only what is in sight is rendered. */
  fast: boolean;
  /** Whether the grid has not been scrolled for a while. */
  resting: boolean;
}

const NO_SIGHT: Sight = { rows: { first: 0, end: 8 }, columns: { first: 0, end: 12 }, fast: false, resting: true };

/** Return what is in sight in the element of a grid. */
export function useSight(box: RefObject<HTMLElement | null>, layout: Layout): Sight {
  const [sight, setSight] = useState(NO_SIGHT);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let shown = NO_SIGHT;
    let shownAt = 0;
    const find = (resting: boolean): Sight => {
      const { width, height } = measureView(element, layout);
      return {
        rows: findSight(layout.rows, layout.height, element.scrollTop, height),
        columns: findSight(layout.columns, layout.width, element.scrollLeft, width),
        fast: false,
        resting,
      };
    };
    const show = (next: Sight) => {
      [shown, shownAt] = [next, performance.now()];
      setSight((old) => (isEqual(old, next) ? old : next));
    };
    const rest = () => show(find(true));
    const onScroll = () => {
      clearTimeout(timer);
      timer = setTimeout(rest, REST);
      const next = find(false);
      next.fast = isFar(shown.rows, next.rows) || isFar(shown.columns, next.columns);
      if (!next.fast || performance.now() - shownAt > FAST) show(next);
    };
    rest();
    return joinStops(observeSize(element, rest), listen(element, "scroll", onScroll, { passive: true }), () =>
      clearTimeout(timer),
    );
  }, [layout]);
  return sight;
}

/** Return whether a range has moved by more than half of its length. */
function isFar(one: Range, other: Range): boolean {
  return 2 * Math.abs(other.first - one.first) > other.end - other.first;
}

/** Scroll just far enough for a whole point to be in sight. */
export function scrollToPoint(box: HTMLElement, layout: Layout, point: number): void {
  const place = layout.find(point);
  if (!place) return;
  const top = findOffset(layout.rows, place[0], layout.height);
  const left = findOffset(layout.columns, place[1], layout.width);
  const view = measureView(box, layout);
  box.scrollTop = findScroll(box.scrollTop, view.height, top, layout.height);
  box.scrollLeft = findScroll(box.scrollLeft, view.width, left, layout.width);
}

/** Return where to scroll to, from `scroll`, so that something of this size is in sight. */
function findScroll(scroll: number, view: number, offset: number, size: number): number {
  return offset < scroll ? offset : Math.max(scroll, offset + size - view);
}

/** Return the pixels in which cells are in sight, beside their labels. */
function measureView(box: HTMLElement, layout: Layout): { width: number; height: number } {
  return {
    width: (box.clientWidth || innerWidth) - layout.labelWidth - layout.groupWidth,
    height: (box.clientHeight || innerHeight) - layout.headHeight,
  };
}
