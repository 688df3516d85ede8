/**
 * The picture of a run while it is made: the latest frame wins, and a frame is shown once it is decoded.
 *
 * Frames are decoded off the page's thread and drawn as they are: no URL is made of them, nothing is loaded. At most two
 * are held: the one shown and the one being decoded.
 */

import type { Bytes } from "./protocol";

/** A decoded picture. */
export type Frame = Pick<ImageBitmap, "width" | "height" | "close">;

type Decode = (data: Blob) => Promise<Frame>;

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
  constructor(
    changed: () => void,
    painted: (about: Record<string, unknown>) => void,
    decode: Decode = (data) => createImageBitmap(data),
  ) {
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
      const generation = this.#generation;
      this.#next = null;
      try {
        const frame = await this.#decode(blob);
        if (generation === this.#generation) {
          this.#show(frame);
          // A page that nobody sees paints nothing, and needs no more.
          requestAnimationFrame(() => this.#painted(about));
        } else frame.close();
      } catch {
        // Half a picture: the next frame is on its way.
      }
    }
    this.#decoding = false;
  }

  #show(frame: Frame | null): void {
    const previous = this.#shown;
    this.#shown = frame;
    previous?.close();
    if (previous || frame) this.#changed();
  }
}
