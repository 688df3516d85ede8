/** What crosses between kernel and page: the traits and messages, and requests with their answers. */

import type { AnyModel } from "@anywidget/types";
import type { NumberLike } from "../number";

export type Value = string | number | boolean | null | Value[] | { [key: string]: Value };
export type MediaKind = "image" | "video" | "audio" | "file";
export type FieldKind = "integer" | "number" | "seed" | "choice" | "toggle" | "text" | "multiline" | MediaKind;
export type Status = "idle" | "queued" | "running" | "completed" | "failed" | "cancelled";

/** One parameter of the workflow, as a form shows it. */
export interface Field {
  name: string;
  kind: FieldKind;
  node: string;
  /** What stands over it and its neighbours; empty: nothing. */
  group?: string;
  node_id: string;
  class_type: string;
  tooltip: string;
  required: boolean;
  default: Value;
  min: NumberLike | null;
  max: NumberLike | null;
  step: NumberLike | null;
  slider: boolean;
  /** Null when there are too many for a trait: they are asked for. */
  choices: Value[] | null;
  choice_count: number;
  multiselect: boolean;
  label_on: string;
  label_off: string;
  advanced: boolean;
}

export interface Server {
  address: string;
  state: "ready" | "busy" | "unreachable" | "unknown";
  message: string;
  version: string | null;
}

/** Where the run on the stage is; times in seconds. */
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
  /** What is waited for, where it is no node. */
  note: string;
  text: string;
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
  node_title: string | null;
  node_id: string | null;
  class_type: string | null;
  traceback: string;
}

/** A run that has ended. */
export interface Run {
  id: string;
  status: Status;
  seconds: number;
  /** What it cost, in words; empty where nobody says. */
  cost: string;
  seeds: Record<string, string>;
  changed: Record<string, Value>;
  error: RunError | null;
  items: Item[];
  workflow: string;
  server: string;
}

export interface Waiting {
  id: string;
  position: number | null;
}

/** The traits; the kernel writes them, the page only reads. */
export interface Traits {
  view: "form" | "run";
  title: string;
  server: Partial<Server>;
  fields: Field[];
  values: Record<string, Value>;
  errors: Record<string, string>;
  status: Status;
  progress: Partial<Progress>;
  runs: Run[];
  waiting: Waiting[];
  /** Names the form in the browser's storage. */
  storage: string;
}

export type Model = AnyModel<Traits>;

export interface Answer {
  readonly content: Record<string, unknown>;
  readonly buffers: Bytes[];
}

export type Bytes = Uint8Array<ArrayBuffer>;

export interface RequestOptions {
  buffers?: ArrayBufferView[];
  signal?: AbortSignal | undefined;
}

interface Pending {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** A buffer of a message as bytes, whatever the host made of it. */
export function bytes(buffer: ArrayBufferView | ArrayBuffer): Bytes {
  if (buffer instanceof ArrayBuffer) return new Uint8Array(buffer);
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
}

/** Tells two of a kind apart; no secret. */
export function randomId(): string {
  return Math.random().toString(36).slice(2);
}

/** Milliseconds in which a kernel answers that is free. */
const FREE = 1000;

/** Requests to the kernel, each with a promise of its answer. */
export class Channel {
  /** The requests that wait too long: the kernel is busy with something else. */
  readonly late = new Set<string>();
  readonly #model: Model;
  readonly #changed: () => void;
  readonly #pending = new Map<string, Pending>();
  // Answers reach every page that shows the model: ids of two pages must differ.
  readonly #prefix = randomId();
  #count = 0;
  #closed = false;

  /** `changed` is called when the kernel has become busy, or free. */
  constructor(model: Model, changed = () => {}) {
    this.#model = model;
    this.#changed = changed;
  }

  /**
   * Sends a message and waits for its answer.
   *
   * A kernel that is busy answers when it is free. Rejects with the kernel's error, an `AbortError`, or because the
   * channel has closed.
   */
  request(kind: string, body: Record<string, unknown> = {}, options: RequestOptions = {}): Promise<Answer> {
    const { buffers = [], signal } = options;
    const id = `${this.#prefix}-${this.#count++}`;
    return new Promise<Answer>((resolve, reject) => {
      if (this.#closed) return reject(gone());
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => pending.reject(signal?.reason);
      // Media take as long as they are large.
      const late = () => {
        this.late.add(id);
        this.#changed();
      };
      const timer = kind === "media" ? undefined : setTimeout(late, FREE);
      const settle = () => {
        clearTimeout(timer);
        if (this.late.delete(id)) this.#changed();
        this.#pending.delete(id);
        signal?.removeEventListener("abort", onAbort);
      };
      const pending: Pending = {
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      this.#pending.set(id, pending);
      signal?.addEventListener("abort", onAbort);
      try {
        this.#model.send({ ...body, kind, id }, undefined, buffers);
      } catch (error) {
        pending.reject(error as Error);
      }
    });
  }

  /** Sends a message that wants no answer. */
  tell(kind: string, body: Record<string, unknown> = {}): void {
    try {
      this.#model.send({ ...body, kind, id: "" });
    } catch {
      // The kernel is gone.
    }
  }

  /** Takes an answer in; false when the message is none of ours. */
  receive(content: unknown, buffers: readonly (ArrayBufferView | ArrayBuffer)[] = []): boolean {
    if (!isRecord(content) || content.kind !== "answer") return false;
    const pending = this.#pending.get(String(content.id));
    if (typeof content.error === "string") pending?.reject(new Error(content.error));
    else pending?.resolve({ content, buffers: buffers.map(bytes) });
    return true;
  }

  /** Whether requests are refused: the kernel is gone. Those under way are, too, when it is set. */
  set closed(closed: boolean) {
    this.#closed = closed;
    if (closed) for (const pending of [...this.#pending.values()]) pending.reject(gone());
  }

  get closed(): boolean {
    return this.#closed;
  }
}

function gone(): Error {
  return new Error("The kernel is gone.");
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether two JSON values are equal. */
export function same(left: unknown, right: unknown): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}

/** What an error says, in a line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown): boolean {
  return (error as Error | undefined)?.name === "AbortError";
}
