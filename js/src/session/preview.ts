/**
 * Decodes the previews of a run, the newest first, and reports each frame that was painted.
 *
 * Frames are decoded off the main thread and drawn on a canvas, without object URLs. At most two are held: the one in the
 * page and the one being decoded.
 */

import type { Bytes } from "./channel";
import { isSafeImage } from "./mimeTypes";

/** A decoded image. */
export type Frame = Pick<ImageBitmap, "width" | "height" | "close">;

type Decode = (data: Blob) => Promise<Frame>;

/** The preview of the current run. */
export class Preview {
  readonly #onChange: () => void;
  readonly #onPaint: (info: Record<string, unknown>) => void;
  readonly #decode: Decode;
  #frame: Frame | null = null;
  #decoding = false;
  #next: { blob: Blob; info: Record<string, unknown> } | null = null;
  // Increased with each run, so that a frame decoded after its run was cleared is dropped.
  #generation = 0;

  /** Create a preview; `onPaint` gets the `info` of each frame that the browser has painted. */
  constructor(
    onChange: () => void,
    onPaint: (info: Record<string, unknown>) => void,
    decode: Decode = (data) => createImageBitmap(data),
  ) {
    this.#onChange = onChange;
    this.#onPaint = onPaint;
    this.#decode = decode;
  }

  /** The newest decoded frame, if there is one. */
  get frame(): Frame | null {
    return this.#frame;
  }

  /** Decode and show a frame. It replaces one that still waits. */
  push(mime: string, data: Bytes, info: Record<string, unknown> = {}): void {
    if (!isSafeImage(mime)) return;
    this.#next = { blob: new Blob([data], { type: mime }), info };
    if (!this.#decoding) void this.#decodeQueued();
  }

  /** Remove the frame, and drop those that are being decoded. */
  clear(): void {
    this.#generation++;
    this.#next = null;
    this.#setFrame(null);
  }

  async #decodeQueued(): Promise<void> {
    this.#decoding = true;
    while (this.#next) {
      const { blob, info } = this.#next;
      const generation = this.#generation;
      this.#next = null;
      try {
        const frame = await this.#decode(blob);
        if (generation === this.#generation) {
          this.#setFrame(frame);
          // A hidden page paints nothing, so it reports nothing and gets no further frames.
          requestAnimationFrame(() => this.#onPaint(info));
        } else frame.close();
      } catch {
        // An incomplete image: the next frame replaces it.
      }
    }
    this.#decoding = false;
  }

  #setFrame(frame: Frame | null): void {
    const previous = this.#frame;
    this.#frame = frame;
    previous?.close();
    if (previous || frame) this.#onChange();
  }
}
