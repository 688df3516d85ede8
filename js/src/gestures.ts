/** What two fingers and a wheel do to a view. */

export interface Point {
  x: number;
  y: number;
}

/** Change of the scale for each pixel of a wheel. A touch pad reports a pinch as a wheel with Ctrl, in small steps. */
const WHEEL_SPEED = 0.0015;
const PINCH_SPEED = 0.01;

/** Return the factor by which a wheel zooms. */
export function measureWheel({ deltaY, ctrlKey }: WheelEvent): number {
  return Math.exp(-deltaY * (ctrlKey ? PINCH_SPEED : WHEEL_SPEED));
}

/** Return how a view zooms and moves when one of two fingers moves; the point between them stays in place. */
export function measurePinch(from: Point, to: Point, other: Point): { factor: number; center: Point; move: Point } {
  const measureDistance = ({ x, y }: Point) => Math.hypot(x - other.x, y - other.y) || 1;
  return {
    factor: measureDistance(to) / measureDistance(from),
    center: { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 },
    move: { x: (to.x - from.x) / 2, y: (to.y - from.y) / 2 },
  };
}
