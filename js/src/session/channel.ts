/** Sends requests to the kernel and matches the answers to them. */

import { isRecord, type Model } from "./protocol";

/** The kernel's answer to a request. */
export interface Answer {
  readonly content: Record<string, unknown>;
  readonly buffers: Bytes[];
}

export type Bytes = Uint8Array<ArrayBuffer>;

interface RequestOptions {
  buffers?: ArrayBufferView[];
  signal?: AbortSignal | undefined;
}

interface Pending {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** Milliseconds in which an idle kernel answers a ping. */
const IDLE_ANSWER = 500;

/** The requests of one page to its kernel, each with a promise of its answer. */
export class Channel {
  readonly #model: Model;
  readonly #onBusyChange: () => void;
  readonly #onSendError: () => void;
  readonly #isKernelIdle: () => boolean;
  readonly #pending = new Map<string, Pending>();
  /** The requests that have waited long, and that no ping was sent for yet. */
  readonly #late = new Set<string>();
  // Answers reach every page that shows the model, so the ids of two pages must differ.
  readonly #prefix = randomId();
  #count = 0;
  #closed = false;
  /** Whether a ping waits for its answer; one is sent at a time. */
  #pinging = false;
  #busy = false;

  /**
   * Create a channel.
   *
   * It calls `onBusyChange` when the kernel becomes busy or idle, and `onSendError` when there is no kernel to send to.
   * `isKernelIdle` returns whether the host knows that no cell is running.
   */
  constructor(model: Model, onBusyChange = () => {}, onSendError = () => {}, isKernelIdle = () => false) {
    this.#model = model;
    this.#onBusyChange = onBusyChange;
    this.#onSendError = onSendError;
    this.#isKernelIdle = isKernelIdle;
  }

  /** Identifies this page among those that show the model. */
  get pageId(): string {
    return this.#prefix;
  }

  /** Whether the kernel is disconnected: requests are rejected. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Whether a request waits because the kernel is busy with something else. */
  get busy(): boolean {
    return this.#busy;
  }

  /**
   * Send a request and return its answer.
   *
   * A busy kernel answers when it is idle again. Rejects with the kernel's error, with an `AbortError`, or because the
   * channel is closed.
   */
  request(kind: string, body: Record<string, unknown> = {}, options: RequestOptions = {}): Promise<Answer> {
    const { buffers = [], signal } = options;
    const id = `${this.#prefix}-${this.#count++}`;
    return new Promise<Answer>((resolve, reject) => {
      if (this.#closed) return reject(disconnectedError());
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => pending.reject(signal?.reason);
      // An idle kernel may wait for a server or a disk. A ping shows whether it is busy.
      const timer = setTimeout(() => {
        this.#late.add(id);
        this.#ping();
      }, IDLE_ANSWER);
      const settle = () => {
        clearTimeout(timer);
        this.#late.delete(id);
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
      } catch {
        pending.reject(disconnectedError());
        this.#onSendError();
      }
    });
  }

  /** Send a message that needs no answer. */
  send(kind: string, body: Record<string, unknown> = {}): void {
    try {
      this.#model.send({ ...body, kind, id: "" });
    } catch {
      // Disconnected: there is no kernel to receive it.
    }
  }

  /** Settle the request that a message answers; return false if the message is not an answer. */
  handleAnswer(content: unknown, buffers: readonly (ArrayBufferView | ArrayBuffer)[] = []): boolean {
    if (!isRecord(content) || content.kind !== "answer") return false;
    const pending = this.#pending.get(String(content.id));
    if (typeof content.error === "string") pending?.reject(new Error(content.error));
    else pending?.resolve({ content, buffers: buffers.map(toBytes) });
    return true;
  }

  /** Reject all requests, those that wait included, until the channel is opened again. */
  close(): void {
    this.#closed = true;
    for (const pending of [...this.#pending.values()]) pending.reject(disconnectedError());
  }

  /** Accept requests again. */
  open(): void {
    this.#closed = false;
  }

  /** Send a ping behind the late requests: the kernel is busy until it answers that. */
  #ping(): void {
    if (this.#pinging || this.#late.size === 0) return;
    this.#late.clear();
    this.#pinging = true;
    const check = () => {
      // An idle kernel may be slow, too: on a machine that has other work.
      if (this.#isKernelIdle()) timer = setTimeout(check, IDLE_ANSWER);
      else this.#setBusy(true);
    };
    let timer = setTimeout(check, IDLE_ANSWER);
    const done = () => {
      clearTimeout(timer);
      this.#pinging = false;
      this.#setBusy(false);
      this.#ping(); // For those that were sent after the ping.
    };
    this.request("ping").then(done, done);
  }

  #setBusy(busy: boolean): void {
    if (busy === this.#busy) return;
    this.#busy = busy;
    this.#onBusyChange();
  }
}

/** Return a buffer of a message as bytes; hosts deliver buffers in different types. */
export function toBytes(buffer: ArrayBufferView | ArrayBuffer): Bytes {
  if (buffer instanceof ArrayBuffer) return new Uint8Array(buffer);
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
}

/** Return an id that is unlikely to be drawn twice. It is not a secret. */
export function randomId(): string {
  return Math.random().toString(36).slice(2);
}

/** Return the message of an error. */
export function getErrorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Return whether an error only says that the work was aborted. */
export function isAbortError(error: unknown): boolean {
  return (error as Error | undefined)?.name === "AbortError";
}

function disconnectedError(): Error {
  return new Error("kernel disconnected: run the cell again");
}
