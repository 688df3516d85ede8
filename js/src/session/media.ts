/** Fetches media from the kernel as object URLs, which are shared, bounded in number and size, and revoked. */

import { formatBytes } from "../format";
import { type Bytes, type Channel, getErrorMessage, isAbortError } from "./channel";
import { isSafeMedia } from "./mimeTypes";
import type { Item, Run } from "./protocol";

/** `view` and `base` are what a mask is painted on: the image at the size of a screen, and its mask. */
export type Size = "thumb" | "full" | "view" | "base";

/** Identifies a media file: an item of a run, or the value of a field (then `run` is `"input"` and `version` the value). */
export interface MediaRef {
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
  /** Of the original image, in pixels, where the kernel knows it. */
  width?: number;
  height?: number;
  /** The fetched part, from 0 to 1. */
  fraction: number;
  error?: string;
}

interface Entry {
  state: MediaState;
  holders: Set<() => void>;
  controller: AbortController;
}

/** Bounds of the media that are kept although nothing shows them. */
const MAX_UNUSED_BYTES = 1e8;
const MAX_UNUSED = 200;
/** Bytes of a file above which a page may run out of memory. */
const MAX_BYTES = 1e9;
const MAX_CONCURRENT_CHUNKS = 3;
const MAX_CONCURRENT_THUMBNAILS = 6;

const WRONG_SIZE = "the kernel sent data of the wrong size";

/** Return the reference to an output of a run, in the given size. */
export function toMediaRef({ run, item }: { run: Run; item: Item }, size: Size): MediaRef {
  return { run: run.id, key: item.key, size };
}

/** The media files of one model, fetched once for all components that show them. */
export class MediaCache {
  readonly #channel: Channel;
  // In the order of use, the oldest first.
  readonly #entries = new Map<string, Entry>();
  readonly #maxUnusedBytes: number;
  #fetchingThumbnails = 0;
  readonly #waitingThumbnails: (() => void)[] = [];

  constructor(channel: Channel, maxUnusedBytes = MAX_UNUSED_BYTES) {
    this.#channel = channel;
    this.#maxUnusedBytes = maxUnusedBytes;
  }

  /**
   * Hold a media file, fetch it if necessary, and call `onChange` as its state changes.
   *
   * Returns the state, and a function that releases the file. Its URL stays valid until the last holder releases it.
   */
  hold(ref: MediaRef, onChange: () => void): { getState: () => MediaState; release: () => void } {
    const id = JSON.stringify(ref);
    const entry = this.#entries.get(id) ?? this.#fetch(id, ref);
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    entry.holders.add(onChange);
    return {
      getState: () => entry.state,
      release: () => {
        entry.holders.delete(onChange);
        if (entry.holders.size === 0 && !entry.state.url) this.#drop(id, entry);
        this.#trim();
      },
    };
  }

  destroy(): void {
    for (const [id, entry] of [...this.#entries]) this.#drop(id, entry);
  }

  #fetch(id: string, ref: MediaRef): Entry {
    const entry: Entry = { state: { fraction: 0 }, holders: new Set(), controller: new AbortController() };
    const update = (state: MediaState) => {
      entry.state = state;
      for (const holder of [...entry.holders]) holder();
    };
    const onProgress = (fraction: number, total: number) => update({ fraction, total });
    const { signal } = entry.controller;
    const fetch = () => fetchMedia(this.#channel, ref, signal, onProgress);
    (ref.size === "thumb" ? this.#fetchInTurn(fetch) : fetch()).then(
      ({ blob, ...size }) => {
        if (this.#entries.get(id) !== entry) return;
        update({ url: URL.createObjectURL(blob), mime: blob.type, total: blob.size, fraction: 1, ...size });
        this.#trim();
      },
      (error: unknown) => {
        // Removed, so that the next holder tries again.
        if (this.#entries.get(id) === entry) this.#entries.delete(id);
        if (!isAbortError(error)) update({ fraction: 0, error: getErrorMessage(error) });
      },
    );
    return entry;
  }

  /** Fetch a few thumbnails at a time, the latest first: those scrolled out of sight are dropped before their turn. */
  async #fetchInTurn<T>(fetch: () => Promise<T>): Promise<T> {
    if (this.#fetchingThumbnails >= MAX_CONCURRENT_THUMBNAILS)
      await new Promise<void>((start) => this.#waitingThumbnails.push(start));
    else this.#fetchingThumbnails++;
    try {
      return await fetch();
    } finally {
      const next = this.#waitingThumbnails.pop();
      if (next) next();
      else this.#fetchingThumbnails--;
    }
  }

  #trim(): void {
    const unused = [...this.#entries].filter(([, entry]) => entry.holders.size === 0 && entry.state.url);
    let bytes = unused.reduce((sum, [, entry]) => sum + (entry.state.total ?? 0), 0);
    for (const [index, [id, entry]] of unused.entries()) {
      if (bytes <= this.#maxUnusedBytes && unused.length - index <= MAX_UNUSED) break;
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

/** Fetch a media file in chunks, several at a time; `onProgress` gets the fraction and the total of bytes. */
async function fetchMedia(
  channel: Channel,
  { run, key, size }: MediaRef,
  signal: AbortSignal,
  onProgress: (fraction: number, total: number) => void,
): Promise<{ blob: Blob; width?: number; height?: number }> {
  const fetchChunk = async (offset: number) => {
    const { content, buffers } = await channel.request("media", { run, key, size, offset }, { signal });
    return { content, bytes: buffers[0] ?? new Uint8Array() };
  };
  const { content, bytes: first } = await fetchChunk(0);
  const total = Number(content.total);
  const mime = String(content.mime ?? "");
  if (total > MAX_BYTES) throw new Error(`too large for a page (${formatBytes(total)}): save it from Python`);
  if (!(total >= first.length) || (first.length === 0 && total > 0)) throw new Error(WRONG_SIZE);

  const chunks: Bytes[] = [first];
  let fetched = first.length;
  let next = first.length;
  const fetchRest = async () => {
    while (next < total) {
      const start = next;
      next = Math.min(total, start + first.length);
      const expected = next - start;
      const { bytes } = await fetchChunk(start);
      if (bytes.length !== expected) throw new Error(WRONG_SIZE);
      chunks[start / first.length] = bytes;
      fetched += expected;
      onProgress(fetched / total, total);
    }
  };
  await Promise.all(Array.from({ length: MAX_CONCURRENT_CHUNKS }, fetchRest));
  const blob = new Blob(chunks, { type: isSafeMedia(mime) ? mime : "application/octet-stream" });
  const [width, height] = [Number(content.width), Number(content.height)];
  return width > 0 && height > 0 ? { blob, width, height } : { blob };
}
