/** Zooms and pans by wheel, keys, double click, dragging and two fingers. Any number of images and videos share one view. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { measurePinch, measureWheel, type Point } from "../gestures";
import { clamp } from "../number";

interface View extends Point {
  scale: number;
}

const WHOLE: View = { scale: 1, x: 0, y: 0 };
const ORIGIN: Point = { x: 0, y: 0 };
const MAX_SCALE = 32;
const DOUBLE_CLICK_SCALE = 3;
const KEY_FACTOR = 1.25;
/** Pixels that a finger must move sideways to go to the next image. */
const SWIPE = 60;

export type Zoom = ReturnType<typeof useZoom>;

/** Return the factor that makes a pixel of the image in an element a pixel of the screen. */
export function measureZoom(element: HTMLElement | null): number {
  const shown = element?.querySelector<HTMLImageElement | HTMLVideoElement>(".ck-pane :is(img, video)");
  if (!shown) return 1;
  const natural = shown instanceof HTMLVideoElement ? shown.videoWidth : shown.naturalWidth;
  const pixels = Number(shown.getAttribute("width")) || natural;
  const { width } = shown.getBoundingClientRect();
  return width > 0 && pixels > 0 ? pixels / devicePixelRatio / width : 1;
}

/**
 * Hold a view that starts with the whole image for each key; `frame` has the images.
 *
 * A swipe calls `onSwipe` with 1 (next) or -1 (previous).
 */
export function useZoom(key: string, frame: RefObject<HTMLElement | null>, onSwipe: (by: number) => void) {
  const [view, setView] = useState(WHOLE);
  const pointers = useRef(new Map<number, Point>()).current;
  const size = useRef(ORIGIN);
  const start = useRef(ORIGIN);
  useLayoutEffect(() => setView(WHOLE), [key]);

  /** Scale around a point and move, in pixels from the middle of the frame; the image never leaves the frame. */
  const zoomBy = (factor: number, center = ORIGIN, move = ORIGIN) =>
    setView((old) => {
      const scale = clamp(old.scale * factor, 1, MAX_SCALE);
      const moveAlong = (axis: "x" | "y") => {
        const limit = ((scale - 1) * size.current[axis]) / 2 || Number.POSITIVE_INFINITY;
        return clamp(center[axis] - (center[axis] - old[axis]) * (scale / old.scale) + move[axis], -limit, limit);
      };
      return scale === 1 ? WHOLE : { scale, x: moveAlong("x"), y: moveAlong("y") };
    });
  /** Return the position of a pointer from the middle of the frame. */
  const locate = (event: MouseEvent): Point => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    size.current = { x: box.width, y: box.height };
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  };
  const release = ({ pointerId }: PointerEvent) => pointers.delete(pointerId);

  const handlers = {
    onWheel: (event: WheelEvent) => {
      event.preventDefault();
      zoomBy(measureWheel(event), locate(event));
    },
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      start.current = locate(event);
      pointers.set(event.pointerId, start.current);
    },
    onPointerMove: (event: PointerEvent) => {
      const from = pointers.get(event.pointerId);
      if (!from) return;
      const to = locate(event);
      const [other] = [...pointers].flatMap(([id, point]) => (id === event.pointerId ? [] : [point]));
      pointers.set(event.pointerId, to);
      if (!other) return zoomBy(1, ORIGIN, { x: to.x - from.x, y: to.y - from.y });
      const { factor, center, move } = measurePinch(from, to, other);
      zoomBy(factor, center, move);
    },
    onPointerUp: (event: PointerEvent) => {
      const distance = locate(event).x - start.current.x;
      const isSwipe = pointers.size === 1 && view.scale === 1 && event.pointerType === "touch";
      release(event);
      if (isSwipe && Math.abs(distance) > SWIPE) onSwipe(-Math.sign(distance));
    },
    onPointerCancel: release,
    onDblClick: (event: MouseEvent) => (view.scale === 1 ? zoomBy(DOUBLE_CLICK_SCALE, locate(event)) : setView(WHOLE)),
  };
  /** Show true pixels; if they are shown already, or the image was zoomed, show the whole image. */
  const toggle = (toTruePixels: number) => {
    if (view.scale === 1 && toTruePixels > 1) zoomBy(toTruePixels);
    else setView(WHOLE);
  };
  const zoomIn = () => zoomBy(KEY_FACTOR);
  const zoomOut = () => zoomBy(1 / KEY_FACTOR);
  return {
    toggle,
    keys: {
      "+": zoomIn,
      "=": zoomIn,
      "-": zoomOut,
      "−": zoomOut,
      z: () => toggle(measureZoom(frame.current)),
    },
    handlers,
    isWhole: view.scale === 1,
    transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
  };
}
