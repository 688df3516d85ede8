/** The data of an explorer that crosses between kernel and page. */

import type { Run } from "../../session/protocol";

/** The states of a point, in the order of their bytes. */
export const STATES = [
  "waiting",
  "running",
  "completed",
  "failed",
  "cancelled",
  "unknown",
  "invalid",
  "lost",
  "sent",
] as const;
export type PointState = (typeof STATES)[number];

export type Label = string | (string | null)[];

/** One axis of a sweep. Its points are numbered with the last axis varying fastest. */
export interface AxisInfo {
  names: string[];
  /** A label for each value; of a table's rows a label for each name. */
  labels: Label[];
  /** Whether its points are the rows of a table. */
  paired: boolean;
  /** Whether its values are numbers, which may be entered as ranges. */
  numbers: boolean;
}

/** What is the same for all points. */
export interface About {
  name: string;
  axes: AxisInfo[];
  /** The values that all points share. */
  base: Record<string, string>;
  /** Width by height of the pictures. */
  ratio: number;
  /** What the keys do. */
  legend?: [string, string][];
}

/** How far a sweep is, beside the states of its points. */
export interface Header {
  running: boolean;
  /** Why no points are sent; empty if they are. */
  paused: string;
  /** Why no server answers; empty if one does. */
  away: string;
  /** Seconds that the rest takes; null if nothing like it has run yet. */
  seconds: number | null;
  /** Whether the start has to be confirmed. */
  large: boolean;
  notes: string[];
  /** Whether every second value of each axis is sent first. */
  sparse: boolean;
}

export interface PointProgress {
  queued: boolean;
  fraction: number;
  step: number | null;
  steps: number | null;
  node: string;
  text: string;
}

/** A point in detail: its run, if it has one, and why it failed. */
export interface Details extends Partial<Run> {
  server?: string;
  at?: string;
  note?: string;
  tags?: string[];
  /** Of a kept run: its day and time in words, and the ID of its sweep. */
  day?: string;
  time?: string;
  sweep?: string;
  score?: number | null;
  /** The first line of the error. */
  reason?: string;
  progress?: PointProgress;
}

export interface Marks {
  star: boolean;
  rejected: boolean;
  rating: number;
  note: boolean;
  tags: boolean;
}

/** Return the marks that a byte stands for. */
export function decodeMarks(byte: number): Marks {
  return {
    star: (byte & 1) > 0,
    rejected: (byte & 2) > 0,
    rating: (byte >> 2) & 7,
    note: (byte & 32) > 0,
    tags: (byte & 64) > 0,
  };
}

/** Return the byte of marks. */
export function encodeMarks({ star, rejected, rating, note, tags }: Marks): number {
  return Number(star) | (Number(rejected) << 1) | (rating << 2) | (Number(note) << 5) | (Number(tags) << 6);
}
