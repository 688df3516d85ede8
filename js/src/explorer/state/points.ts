/** The states and marks of all points, two bytes each, kept up to date by messages with revisions. */

import { type Bytes, toBytes } from "../../session/channel";
import { decodeMarks, type Marks, type PointState, STATES } from "./protocol";

/** What a message has changed: all points, some of them, or nothing, because a message before it was missed. */
export type Change = "all" | "gap" | number[];

/** The bits of a point's byte that are the index of its state. */
const STATE_BITS = 15;
/** Set if the point was made with another model file of the same name. */
const STALE = 16;
/** Flipped when another run takes the place of the one before. */
const ANOTHER_RUN = 32;

/** The points of one explorer. */
export class Points {
  #revision = -1;
  #states: Bytes = new Uint8Array();
  #marks: Bytes = new Uint8Array();

  get count(): number {
    return this.#states.length;
  }

  /** List all points. */
  list(): number[] {
    return [...this.#states.keys()];
  }

  getState(point: number): PointState {
    return STATES[(this.#states[point] ?? 0) & STATE_BITS] ?? "waiting";
  }

  isDone(point: number): boolean {
    return this.getState(point) === "completed";
  }

  /** Return whether a point is picked: it has a star, and is not rejected. */
  isPicked(point: number): boolean {
    return (this.getMarkByte(point) & 3) === 1;
  }

  /** Return whether a model file of a point has been replaced by another one of the same name. */
  isStale(point: number): boolean {
    return ((this.#states[point] ?? 0) & STALE) > 0;
  }

  getMarks(point: number): Marks {
    return decodeMarks(this.getMarkByte(point));
  }

  /** Return the byte of a point's marks. */
  getMarkByte(point: number): number {
    return this.#marks[point] ?? 0;
  }

  /** Set the marks of a point before the kernel confirms them. */
  setMarkByte(point: number, byte: number): void {
    if (point < this.#marks.length) this.#marks[point] = byte;
  }

  /** Return how many points are in each state. */
  countStates(): Record<PointState, number> {
    const counts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<PointState, number>;
    for (const byte of this.#states) counts[STATES[byte & STATE_BITS] ?? "waiting"]++;
    return counts;
  }

  countStale(): number {
    return this.#states.reduce((sum, byte) => sum + Number((byte & STALE) > 0), 0);
  }

  /**
   * Apply a message: the points that have changed since its base, or all of them if it has none.
   *
   * Calls `onState` for each point that has another state or another run now.
   */
  apply(
    revision: number,
    base: number | null,
    buffers: readonly (ArrayBufferView | ArrayBuffer)[],
    onState = (_point: number) => {},
  ): Change {
    const [indices, states, marks] = buffers.map((buffer) => toBytes(buffer));
    if (!indices || !states || !marks) return "gap";
    if (base === null) {
      this.#revision = revision;
      for (const [point, state] of states.entries()) if (this.#isAnother(point, state)) onState(point);
      this.#states = states.slice();
      this.#marks = marks.slice();
      return "all";
    }
    if (base !== this.#revision) return "gap";
    this.#revision = revision;
    const view = new DataView(indices.buffer, indices.byteOffset, indices.byteLength);
    return [...states].map((state, at) => {
      const point = view.getUint32(4 * at, true);
      if (this.#isAnother(point, state)) onState(point);
      this.#states[point] = state;
      this.#marks[point] = marks[at] ?? 0;
      return point;
    });
  }

  /** Return whether a byte stands for another state or another run than the point has. */
  #isAnother(point: number, state: number): boolean {
    return (((this.#states[point] ?? 0) ^ state) & (STATE_BITS | ANOTHER_RUN)) > 0;
  }
}
