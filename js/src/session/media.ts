/** Media of the kernel as object URLs: fetched in pieces, shared by those who show it, bounded, revoked. */

import { type Bytes, type Channel, isAbort, messageOf } from "./protocol";

export type Size = "thumb" | "full";

/** Which picture, video, sound or file: an item of a run, or (run `"input"`, with the value as version) that of a field. */
export interface MediaName {
  run: string;
  key: string;
  size: Size;
  version?: string;
}

export interface MediaState {
  url?: string;
  mime?: string;
  /** In bytes. */
  total?: number;
  /** Of the picture itself, in pixels, where the kernel tells. */
  width?: number;
  height?: number;
  /** 0…1 of the bytes. */
  fraction: number;
  error?: string;
}

interface Entry {
  state: MediaState;
  holders: Set<() => void>;
  controller: AbortController;
}

/** Bytes, and how many, are kept of media that nobody shows. */
const KEPT_BYTES = 1e8;
/** Past this a page had better not try. */
const MAX_BYTES = 1e9;
const KEPT = 200;
/** Pieces of a medium, and thumbnails, that are asked for at once. */
const AT_ONCE = 3;
const THUMBS_AT_ONCE = 6;

// Opened in a tab, a blob of the page's origin with scripts in it would run there: such types are not passed on.
const SHOWN = /^(image\/(png|jpeg|webp|gif|avif|bmp)|(video|audio)\/[a-z0-9.+-]+)$/;

export class MediaCache {
  readonly #channel: Channel;
  // In the order of use, the oldest first.
  readonly #entries = new Map<string, Entry>();
  readonly #kept: number;
  #busy = 0;
  readonly #queue: (() => void)[] = [];

  constructor(channel: Channel, kept = KEPT_BYTES) {
    this.#channel = channel;
    this.#kept = kept;
  }

  /**
   * Holds a medium, which is fetched if it is not there, and calls `changed` as it comes.
   *
   * Returns how it stands and its release: a URL stays valid while somebody holds it.
   */
  hold(name: MediaName, changed: () => void): { state: () => MediaState; release: () => void } {
    const id = JSON.stringify(name);
    const entry = this.#entries.get(id) ?? this.#start(id, name);
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    entry.holders.add(changed);
    return {
      state: () => entry.state,
      release: () => {
        entry.holders.delete(changed);
        if (entry.holders.size === 0 && !entry.state.url) this.#drop(id, entry);
        this.#trim();
      },
    };
  }

  destroy(): void {
    for (const [id, entry] of [...this.#entries]) this.#drop(id, entry);
  }

  #start(id: string, name: MediaName): Entry {
    const entry: Entry = { state: { fraction: 0 }, holders: new Set(), controller: new AbortController() };
    const update = (state: MediaState) => {
      entry.state = state;
      for (const holder of [...entry.holders]) holder();
    };
    const progress = (fraction: number, total: number) => update({ fraction, total });
    const { signal } = entry.controller;
    const fetched = () => fetchMedia(this.#channel, name, signal, progress);
    (name.size === "thumb" ? this.#inTurn(fetched) : fetched()).then(
      ({ blob, ...size }) => {
        if (this.#entries.get(id) !== entry) return;
        update({ url: URL.createObjectURL(blob), mime: blob.type, total: blob.size, fraction: 1, ...size });
        this.#trim();
      },
      (error: unknown) => {
        // Whoever asks again tries again.
        if (this.#entries.get(id) === entry) this.#entries.delete(id);
        if (!isAbort(error)) update({ fraction: 0, error: messageOf(error) });
      },
    );
    return entry;
  }

  /** Thumbnails wait for each other, so that one that is scrolled past is never asked for. The last to come goes first. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy >= THUMBS_AT_ONCE) await new Promise<void>((go) => this.#queue.push(go));
    else this.#busy++;
    try {
      return await work();
    } finally {
      const next = this.#queue.pop();
      if (next) next();
      else this.#busy--;
    }
  }

  #trim(): void {
    const unused = [...this.#entries].filter(([, entry]) => entry.holders.size === 0 && entry.state.url);
    let bytes = unused.reduce((sum, [, entry]) => sum + (entry.state.total ?? 0), 0);
    for (const [index, [id, entry]] of unused.entries()) {
      if (bytes <= this.#kept && unused.length - index <= KEPT) break;
      bytes -= entry.state.total ?? 0;
      this.#drop(id, entry);
    }
  }

  #drop(id: string, entry: Entry): void {
    if (this.#entries.get(id) === entry) this.#entries.delete(id);
    entry.controller.abort();
    if (entry.state.url) URL.revokeObjectURL(entry.state.url);
  }
}

/** Fetches a medium in pieces, several at a time; `progress` gets the fraction and the total of bytes. */
export async function fetchMedia(
  channel: Channel,
  { run, key, size }: MediaName,
  signal: AbortSignal,
  progress: (fraction: number, total: number) => void,
): Promise<{ blob: Blob; width?: number; height?: number }> {
  const piece = async (offset: number) => {
    const { content, buffers } = await channel.request("media", { run, key, size, offset }, { signal });
    return { content, bytes: buffers[0] ?? new Uint8Array() };
  };
  const { content, bytes: first } = await piece(0);
  const total = Number(content.total);
  const mime = String(content.mime ?? "");
  if (!(total >= first.length && total <= MAX_BYTES)) {
    throw new Error(`Not shown: ${total} bytes are too many for a page. Save it from Python.`);
  }
  const parts: Bytes[] = [first];
  let done = first.length;
  let next = first.length;
  const check = (right: boolean) => {
    if (!right) throw new Error("The kernel sent a piece of a wrong size.");
  };
  check(first.length > 0 || total === 0);

  const fill = async () => {
    while (next < total) {
      const start = next;
      next = Math.min(total, start + first.length);
      const expected = next - start;
      const { bytes } = await piece(start);
      check(bytes.length === expected);
      parts[start / first.length] = bytes;
      done += expected;
      progress(done / total, total);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, fill));
  const blob = new Blob(parts, { type: SHOWN.test(mime) ? mime : "application/octet-stream" });
  const [width, height] = [Number(content.width), Number(content.height)];
  return width > 0 && height > 0 ? { blob, width, height } : { blob };
}
