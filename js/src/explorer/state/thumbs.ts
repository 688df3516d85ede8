/** Fetches thumbnails and details of the points in sight, in batches; what is kept of them is bounded. */

import type { Bytes, Channel } from "../../session/channel";
import type { Details } from "./protocol";

/** Bytes of all thumbnails that are kept. */
const MAX_BYTES = 64e6;
const MAX_BATCH = 16;
const MAX_DETAILS_BATCH = 50;
const MAX_DETAILS = 2000;
/** Requests at a time; while the grid moves it is one. */
const MAX_REQUESTS = 3;
/** Milliseconds before each request while the grid moves. */
const MOVING_PAUSE = 60;

interface Thumb {
  url: string;
  large: boolean;
}

/** The thumbnails of one explorer. */
export class Thumbs {
  readonly #channel: Channel;
  readonly #onLoad: (point: number) => void;
  readonly #maxBytes: number;
  // In the order of use, the oldest first.
  readonly #thumbs = new Map<number, Thumb>();
  /** The points without a picture. */
  readonly #missing = new Set<number>();
  /** The points that are being fetched, each with the ticket of its newest request. */
  readonly #requested = new Map<number, number>();
  #wanted = new Set<number>();
  #large = false;
  #most = MAX_REQUESTS;
  #pause = 0;
  #bytes = 0;
  #requests = 0;
  #queued = false;

  constructor(channel: Channel, onLoad: (point: number) => void, maxBytes = MAX_BYTES) {
    this.#channel = channel;
    this.#onLoad = onLoad;
    this.#maxBytes = maxBytes;
  }

  /** Return the URL of a thumbnail; `null` if the point has none, `undefined` if it is not there yet. */
  get(point: number): string | null | undefined {
    return this.#missing.has(point) ? null : this.#thumbs.get(point)?.url;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Fetch the thumbnails of these points, those in front first, and forget what was wanted before.
   *
   * With `resting` false the grid moves, and fetches fewer at a time.
   */
  want(points: Iterable<number>, large: boolean, resting = true): void {
    this.#wanted = new Set(points);
    this.#large = large;
    this.#most = resting ? MAX_REQUESTS : 1;
    this.#pause = resting ? 0 : MOVING_PAUSE;
    this.#schedule();
  }

  /** Forget the thumbnail of a point that has changed. */
  drop(point: number): void {
    this.#missing.delete(point);
    this.#requested.delete(point);
    const thumb = this.#thumbs.get(point);
    if (!thumb) return;
    this.#thumbs.delete(point);
    this.#bytes -= thumb.url.length;
  }

  /** Forget all. */
  clear(): void {
    for (const point of [...this.#thumbs.keys()]) this.drop(point);
    this.#missing.clear();
    this.#requested.clear();
  }

  #schedule(): void {
    if (this.#queued) return;
    this.#queued = true;
    const request = () => {
      this.#queued = false;
      while (this.#requests < this.#most && this.#requestBatch());
    };
    if (this.#pause > 0) setTimeout(request, this.#pause);
    else queueMicrotask(request);
  }

  #requestBatch(): boolean {
    const batch: number[] = [];
    for (const point of this.#wanted) {
      if (batch.length === MAX_BATCH) break;
      if (this.#isNeeded(point)) batch.push(point);
    }
    if (batch.length === 0) return false;
    void this.#fetch(batch, this.#large);
    return true;
  }

  /** Return whether a thumbnail has to be fetched, and note that it is in use. */
  #isNeeded(point: number): boolean {
    const thumb = this.#thumbs.get(point);
    if (thumb) {
      this.#thumbs.delete(point);
      this.#thumbs.set(point, thumb);
    }
    const isEnough = thumb !== undefined && (thumb.large || !this.#large);
    return !isEnough && !this.#missing.has(point) && !this.#requested.has(point);
  }

  async #fetch(batch: number[], large: boolean): Promise<void> {
    const ticket = Math.random();
    for (const point of batch) this.#requested.set(point, ticket);
    this.#requests++;
    try {
      const { content, buffers } = await this.#channel.request("thumbs", { points: batch, large });
      this.#receive(batch, ticket, content.points as number[], buffers, large);
      this.#trim();
    } catch {
      for (const point of batch) if (this.#requested.get(point) === ticket) this.#requested.delete(point);
      return; // The next look at these points tries again.
    } finally {
      this.#requests--;
    }
    this.#schedule();
  }

  #receive(batch: number[], ticket: number, points: number[], buffers: Bytes[], large: boolean): void {
    const found = new Map(points.map((point, at) => [point, buffers[at]]));
    for (const point of batch) {
      // Another ticket, or none: the point has changed meanwhile.
      if (this.#requested.get(point) !== ticket) continue;
      this.#requested.delete(point);
      const bytes = found.get(point);
      if (bytes) this.#put(point, toUrl(bytes), large);
      else this.#missing.add(point);
      this.#onLoad(point);
    }
  }

  #put(point: number, url: string, large: boolean): void {
    this.drop(point);
    this.#thumbs.set(point, { url, large });
    this.#bytes += url.length;
  }

  #trim(): void {
    for (const point of [...this.#thumbs.keys()]) {
      if (this.#bytes <= this.#maxBytes) break;
      if (!this.#wanted.has(point)) this.drop(point);
    }
  }
}

/** Return the URL of a small picture. The URL of a blob would be loaded through another process, each time it is shown. */
function toUrl(bytes: Bytes): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192)
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return `data:image/webp;base64,${btoa(text)}`;
}

/** The details of points, fetched once they are in sight. */
export class DetailsCache {
  readonly #channel: Channel;
  readonly #onLoad: (point: number) => void;
  readonly #details = new Map<number, Details>();
  /** The points that are being fetched, each with the ticket of its newest request. */
  readonly #requested = new Map<number, number>();
  /** The points whose details have changed. The old ones are shown until the new ones arrive. */
  readonly #stale = new Set<number>();

  constructor(channel: Channel, onLoad: (point: number) => void) {
    this.#channel = channel;
    this.#onLoad = onLoad;
  }

  get(point: number): Details | undefined {
    return this.#details.get(point);
  }

  /** Fetch the details of points that are not there yet. */
  want(points: Iterable<number>): void {
    const missing = [...points].filter((point) => !this.#requested.has(point) && this.#isNeeded(point));
    for (let start = 0; start < missing.length; start += MAX_DETAILS_BATCH)
      void this.#fetch(missing.slice(start, start + MAX_DETAILS_BATCH));
  }

  /** Fetch the details of points, and wait for the answer. */
  async load(points: readonly number[]): Promise<void> {
    const missing = points.filter((point) => this.#isNeeded(point));
    if (missing.length > 0) await this.#fetch(missing);
  }

  /** Set how far a running point is. */
  update(point: number, more: Partial<Details>): void {
    this.#details.set(point, { ...this.#details.get(point), ...more });
  }

  /** Note that the details of a point have changed. */
  expire(point: number): void {
    this.#requested.delete(point);
    this.#stale.add(point);
  }

  /** Forget the details of a point: it is another run now. */
  drop(point: number): void {
    this.#details.delete(point);
    this.#requested.delete(point);
  }

  clear(): void {
    this.#details.clear();
    this.#requested.clear();
    this.#stale.clear();
  }

  #isNeeded(point: number): boolean {
    return !this.#details.has(point) || this.#stale.has(point);
  }

  async #fetch(batch: number[]): Promise<void> {
    const ticket = Math.random();
    for (const point of batch) this.#requested.set(point, ticket);
    try {
      const { content } = await this.#channel.request("details", { points: batch });
      batch.forEach((point, at) => {
        // Another ticket, or none: the point has changed meanwhile.
        if (this.#requested.get(point) !== ticket) return;
        this.drop(point);
        this.#stale.delete(point);
        this.#details.set(point, (content.details as Details[])[at] ?? {});
        this.#onLoad(point);
      });
      for (const point of this.#details.keys()) {
        if (this.#details.size <= MAX_DETAILS) break;
        this.#details.delete(point);
      }
    } catch {
      for (const point of batch) if (this.#requested.get(point) === ticket) this.#requested.delete(point);
    }
  }
}
