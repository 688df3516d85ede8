/** Points and axes for tests. */

import { Points } from "../../src/explorer/state/points";
import type { AxisInfo } from "../../src/explorer/state/protocol";

export function makeAxis(name: string, count: number): AxisInfo {
  const labels = Array.from({ length: count }, (_, index) => `${name} ${index}`);
  return { names: [name], labels, paired: false, numbers: false };
}

const STATES = "wrcfxuilS";

/** Return buffers with all points: a letter for each state, as `c` for completed. */
export function packAll(states: string, marks: number[] = []): Uint8Array[] {
  const bytes = new Uint8Array([...states].map((letter) => STATES.indexOf(letter)));
  return [new Uint8Array(), bytes, new Uint8Array([...states].map((_, index) => marks[index] ?? 0))];
}

/** Return buffers with some points. */
export function packSome(changes: Record<number, string>, marks: Record<number, number> = {}): Uint8Array[] {
  const points = Object.keys(changes).map(Number);
  const states = new Uint8Array(points.map((point) => STATES.indexOf(changes[point] ?? "")));
  return [
    new Uint8Array(new Uint32Array(points).buffer),
    states,
    new Uint8Array(points.map((point) => marks[point] ?? 0)),
  ];
}

export function makePoints(states: string, marks: number[] = []): Points {
  const points = new Points();
  points.apply(1, null, packAll(states, marks));
  return points;
}
