/** Zoom by wheel and keys, pan by drag: one view that any number of pictures share. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface View {
  scale: number;
  x: number;
  y: number;
}

const WHOLE: View = { scale: 1, x: 0, y: 0 };

/** The view of what has this key, which is shown whole at first. */
export function useZoom(key: string) {
  const [view, setView] = useState(WHOLE);
  const drag = useRef<{ x: number; y: number } | null>(null);
  useLayoutEffect(() => setView(WHOLE), [key]);

  /** Scales about a point, in pixels from the middle of the picture's frame. */
  const by = (factor: number, x = 0, y = 0) =>
    setView((old) => {
      const scale = Math.min(32, Math.max(1, old.scale * factor));
      if (scale === 1) return WHOLE;
      const ratio = scale / old.scale;
      return { scale, x: x - (x - old.x) * ratio, y: y - (y - old.y) * ratio };
    });
  const drop = () => {
    drag.current = null;
  };

  const handlers = {
    onWheel: (event: WheelEvent) => {
      event.preventDefault();
      const box = (event.currentTarget as Element).getBoundingClientRect();
      const [x, y] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
      by(Math.exp(-event.deltaY * 0.0015), x, y);
    },
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      drag.current = { x: event.clientX, y: event.clientY };
    },
    onPointerMove: (event: PointerEvent) => {
      const from = drag.current;
      if (!from) return;
      drag.current = { x: event.clientX, y: event.clientY };
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      setView((old) => (old.scale === 1 ? old : { ...old, x: old.x + dx, y: old.y + dy }));
    },
    onPointerUp: drop,
    onPointerCancel: drop,
    onDblClick: () => (view.scale === 1 ? by(3) : setView(WHOLE)),
  };
  return {
    by,
    reset: () => setView(WHOLE),
    handlers,
    transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
  };
}
