/** The data that crosses between kernel and page: the traits and what they hold. */

import type { AnyModel } from "@anywidget/types";
import type { WireNumber } from "../number";

export type Value = string | number | boolean | null | Value[] | { [key: string]: Value };
const MEDIA_KINDS = ["image", "video", "audio", "file"] as const;
export type MediaKind = (typeof MEDIA_KINDS)[number];
export type FieldKind =
  | "integer"
  | "number"
  | "seed"
  | "choice"
  | "toggle"
  | "text"
  | "multiline"
  | "loras"
  | MediaKind;
export type SeedMode = "random" | "fixed" | "increment";
export type Status = "idle" | "queued" | "running" | "completed" | "failed" | "cancelled";

/** One parameter of the workflow, as a form shows it. */
export interface Field {
  name: string;
  /** The words beside the control, where they are not the name. */
  label?: string;
  /** Where the value goes in the workflow, such as `3.width`. */
  address?: string;
  kind: FieldKind;
  node: string;
  /** The heading above this field and its neighbours; empty for none. */
  group?: string;
  node_id: string;
  class_type: string;
  tooltip: string;
  required: boolean;
  default: Value;
  min: WireNumber | null;
  max: WireNumber | null;
  step: WireNumber | null;
  slider: boolean;
  /** Null when there are too many for a trait: the page requests them. */
  choices: Value[] | null;
  choice_count: number;
  multiselect: boolean;
  label_on: string;
  label_off: string;
  /** What is wrong with the workflow's own value, if it can't be shown. */
  note?: string;
  /** What the workflow does with a seed after each run. */
  seed_mode?: SeedMode | "";
  advanced: boolean;
  /** Of a stack of LoRAs: whether the server has said what it has. */
  is_known?: boolean;
  /** Whether its loaders change CLIP, too. */
  has_clip?: boolean;
  /** Why no loader can be put in. */
  problem?: string;
  /** The files of the workflow's own loaders. */
  own?: string[];
  /** The field that trigger words are put into. */
  prompt?: string;
}

export interface Server {
  /** Only sent as a message, since a notebook keeps the trait; so is the message. */
  address?: string;
  state: "ready" | "busy" | "unreachable" | "unknown";
  message?: string;
  version: string | null;
  /** The servers that it stands for, if there are several. */
  servers?: Pool;
}

/** Several servers, each with its state in a few words. */
export type Pool = { address: string; state: Server["state"]; detail: string }[];

/** The progress of the run on the stage; times in seconds. */
export interface Progress {
  prompt_id: string;
  status: Status;
  node_title: string | null;
  step: number | null;
  steps: number | null;
  nodes_done: number;
  nodes_total: number;
  nodes_cached: number;
  queue_position: number | null;
  elapsed: number;
  remaining: number | null;
  fraction: number;
  /** What the run waits for, where it is not a node. */
  note: string;
  text: string;
  /** Seconds until the run is given up, because its server does not answer; null while it answers. */
  gives_up_in?: number | null;
  /** Whether the run was cached as a whole, so that it made nothing new. */
  unchanged?: boolean;
}

/** One output of a run. */
export interface Item {
  key: string;
  kind: MediaKind | "text";
  name: string;
  node: string;
  var: string;
  temp: boolean;
  mime: string;
  text?: string;
  /** In pixels. */
  width?: number;
  height?: number;
}

export interface RunError {
  kind: string;
  message: string;
  /** What to do about it, where the cause is known. */
  hint?: string;
  node_title: string | null;
  node_id: string | null;
  class_type: string | null;
  traceback: string;
}

/** A run that has ended. */
export interface Run {
  id: string;
  /** How many runs it stands for, where several failed one after another for the same reason. */
  alike?: number;
  status: Status;
  /** Of the execution, without the wait in the queue. */
  seconds: number | null;
  /** Seconds in the queue, where they are known. */
  waited?: number | null;
  /** Whether the server had all of it cached, so that it made nothing new. */
  unchanged?: boolean;
  /** The price in words; empty where it is not known. */
  cost: string;
  seeds: Record<string, string>;
  changed: Record<string, Value>;
  error: RunError | null;
  items: Item[];
  workflow: string;
}

/** A run that waits in the queue, or is paused. */
export interface Waiting {
  id: string;
  /** What it will do, in a few words. */
  label: string;
  paused: boolean;
}

/** All runs until nothing is left to run. */
export interface Batch {
  done: number;
  total: number;
  paused: number;
  /** Whether runs are being taken off the queue. */
  pausing: boolean;
  /** What a run takes, on average; null before the first has ended. */
  seconds: number | null;
}

/** How far the download of a model is. */
export interface Download {
  status: "running" | "checking" | "completed" | "failed" | "cancelled";
  received: number;
  /** In bytes; null until the host says so. */
  total: number | null;
  /** The host that sends it, after all redirects. */
  host: string;
  /** Whether its content has the digest that the host or the workflow gives. */
  verified: boolean;
  message: string;
}

/** Something that the workflow needs and the server lacks. */
export interface Missing {
  kind: "model" | "file" | "node";
  name: string;
  /** The field that has it as its value, or an address; empty for a node. */
  parameter: string;
  label: string;
  folder: string;
  /** What the server has that is most like it. */
  nearest: string;
  url: string;
  host: string;
  pack: string;
  downloadable: boolean;
  download: Download | null;
}

/** The preset in the form. */
interface PresetState {
  name: string;
  /** Whether the form has other values by now. */
  changed: boolean;
  /** A line for each of its values that is not used, because the workflow or the server has changed. */
  left_out: string[];
}

/** A preset of the kernel's folder. */
export interface ListedPreset {
  name: string;
  /** Whether it was saved for this workflow. */
  own: boolean;
  workflow: string;
  /** Why its file can't be read. */
  error: string;
}

/** The traits. The kernel writes them; the page only reads them. */
export interface Traits {
  view: "form" | "run" | "sweep" | "runs";
  title: string;
  comm_id: string;
  server: Partial<Server>;
  fields: Field[];
  values: Record<string, Value>;
  errors: Record<string, string>;
  /** Lines about the workflow, such as that a title is not read. */
  notes: string[];
  missing: Missing[];
  status: Status;
  progress: Partial<Progress>;
  runs: Run[];
  waiting: Waiting[];
  batch: Partial<Batch>;
  /** Whether the workflow came in an image. */
  has_origin: boolean;
  /** The key of the form in the browser's storage. */
  storage: string;
  /** What fields with several values have: a text such as `3, 4.5` or `1..9:2`, or chosen values. */
  lists: Record<string, string | Value[]>;
  /** What Run does with them. */
  plan: string;
  preset: Partial<PresetState>;
  /** What Undo reverts, in a few words; empty for nothing. */
  undo: string;
  /** The models of the grids below the form, by ID. */
  grids: string[];
}

export type Model = AnyModel<Traits>;

/** Return whether a kind of field holds a file. */
export function isMediaKind(kind: string): kind is MediaKind {
  return (MEDIA_KINDS as readonly string[]).includes(kind);
}

/** Return whether a value is an object with string keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return whether two JSON values are equal. */
export function isEqual(left: unknown, right: unknown): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}
