/**
 * The picture of a run while it is made: the latest frame wins, and a frame is shown once it is decoded.
 *
 * At most two object URLs are alive: of the frame shown and of the one being decoded.
 */

import type { Bytes } from "./protocol";

export interface Frame {
  url: string;
  /** In pixels. */
  width: number;
  height: number;
}

type Decode = (url: string) => Promise<{ width: number; height: number }>;

const MIME = /^image\/(png|jpeg|webp|gif|avif|bmp)$/;

export class Preview {
  readonly #changed: () => void;
  readonly #painted: (about: Record<string, unknown>) => void;
  readonly #decode: Decode;
  #shown: Frame | null = null;
  #decoding = false;
  #next: { blob: Blob; about: Record<string, unknown> } | null = null;
  // Counts the runs: a frame decoded after its run was cleared is not shown.
  #generation = 0;

  /** `painted` gets what a frame was pushed with, once the browser has painted it. */
  constructor(changed: () => void, painted: (about: Record<string, unknown>) => void, decode: Decode = decodeImage) {
    this.#changed = changed;
    this.#painted = painted;
    this.#decode = decode;
  }

  get frame(): Frame | null {
    return this.#shown;
  }

  /** Takes a frame in; one that still waits for its decoding is given up for it. */
  push(mime: string, data: Bytes, about: Record<string, unknown> = {}): void {
    if (!MIME.test(mime)) return;
    this.#next = { blob: new Blob([data], { type: mime }), about };
    if (!this.#decoding) void this.#work();
  }

  clear(): void {
    this.#generation++;
    this.#next = null;
    this.#show(null);
  }

  async #work(): Promise<void> {
    this.#decoding = true;
    while (this.#next) {
      const { blob, about } = this.#next;
      const url = URL.createObjectURL(blob);
      const generation = this.#generation;
      this.#next = null;
      try {
        const size = await this.#decode(url);
        if (generation === this.#generation) {
          this.#show({ url, ...size });
          // A page that nobody sees paints nothing, and needs no more.
          requestAnimationFrame(() => this.#painted(about));
        } else URL.revokeObjectURL(url);
      } catch {
        // Half a picture: the next frame is on its way.
        URL.revokeObjectURL(url);
      }
    }
    this.#decoding = false;
  }

  #show(frame: Frame | null): void {
    const previous = this.#shown;
    this.#shown = frame;
    if (previous) URL.revokeObjectURL(previous.url);
    if (previous || frame) this.#changed();
  }
}

async function decodeImage(url: string): Promise<{ width: number; height: number }> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}
