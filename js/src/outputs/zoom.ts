/** Looking closer: wheel, keys, double click, drag, and two fingers: one view that any number of pictures share. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { clamp } from "../number";

interface Point {
  x: number;
  y: number;
}

interface View extends Point {
  scale: number;
}

const WHOLE: View = { scale: 1, x: 0, y: 0 };
const STILL: Point = { x: 0, y: 0 };
const CLOSEST = 32;
/** Pixels from where a finger that goes to the side means the next picture. */
const SWIPE = 60;

/** The view of what has this key, which is shown whole at first. `turn` is called when a finger asks for the next (1). */
export function useZoom(key: string, turn: (by: number) => void) {
  const [view, setView] = useState(WHOLE);
  const pointers = useRef(new Map<number, Point>()).current;
  const size = useRef(STILL);
  const began = useRef(STILL);
  useLayoutEffect(() => setView(WHOLE), [key]);

  /** Scales about a point, in pixels from the middle of the picture's frame, and moves by so much; never out of sight. */
  const by = (factor: number, about = STILL, move = STILL) =>
    setView((old) => {
      const scale = clamp(old.scale * factor, 1, CLOSEST);
      const along = (axis: "x" | "y") => {
        const most = ((scale - 1) * size.current[axis]) / 2 || Infinity;
        return clamp(about[axis] - (about[axis] - old[axis]) * (scale / old.scale) + move[axis], -most, most);
      };
      return scale === 1 ? WHOLE : { scale, x: along("x"), y: along("y") };
    });
  /** Where a pointer is, from the middle of the frame. */
  const place = (event: MouseEvent): Point => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    size.current = { x: box.width, y: box.height };
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  };
  const drop = ({ pointerId }: PointerEvent) => pointers.delete(pointerId);

  const handlers = {
    onWheel: (event: WheelEvent) => {
      event.preventDefault();
      // Two fingers on a touch pad come as small steps of a wheel, with Ctrl.
      by(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), place(event));
    },
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      began.current = place(event);
      pointers.set(event.pointerId, began.current);
    },
    onPointerMove: (event: PointerEvent) => {
      const from = pointers.get(event.pointerId);
      if (!from) return;
      const to = place(event);
      const [other] = [...pointers].flatMap(([id, point]) => (id === event.pointerId ? [] : [point]));
      pointers.set(event.pointerId, to);
      // What is in the middle between two fingers stays there.
      const share = other ? 0.5 : 1;
      const move = { x: (to.x - from.x) * share, y: (to.y - from.y) * share };
      if (!other) return by(1, STILL, move);
      const apart = (point: Point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      by(apart(to) / apart(from), { x: (from.x + other.x) / 2, y: (from.y + other.y) / 2 }, move);
    },
    onPointerUp: (event: PointerEvent) => {
      const aside = place(event).x - began.current.x;
      const alone = pointers.size === 1;
      drop(event);
      if (alone && view.scale === 1 && event.pointerType === "touch" && Math.abs(aside) > SWIPE)
        turn(-Math.sign(aside));
    },
    onPointerCancel: drop,
    onDblClick: (event: MouseEvent) => (view.scale === 1 ? by(3, place(event)) : setView(WHOLE)),
  };
  return {
    by,
    reset: () => setView(WHOLE),
    handlers,
    transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
  };
}
