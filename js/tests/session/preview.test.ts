/** Tests of previews: decoding, order, memory. */

import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Bytes } from "../../src/session/channel";
import { type Frame, Preview } from "../../src/session/preview";
import { settle } from "../model";

describe("the preview", () => {
  const data = new Uint8Array([1]) as Bytes;
  const held = new Set<Frame>();
  let most = 0;

  /** Make a decoded image that counts as held until it is closed. */
  function makeFrame(width = 1): Frame {
    const made = { width, height: 4, close: () => void held.delete(made) };
    held.add(made);
    most = Math.max(most, held.size);
    return made;
  }

  beforeEach(() => {
    held.clear();
    most = 0;
  });

  it("holds at most two frames and ends with the newest", async () => {
    const decodes: (() => void)[] = [];
    const preview = new Preview(
      () => {},
      () => {},
      () => new Promise((resolve) => decodes.push(() => resolve(makeFrame(decodes.length)))),
    );
    for (let index = 0; index < 50; index++) {
      preview.push("image/jpeg", data);
      if (index % 7 === 0) {
        decodes.at(-1)?.();
        await settle();
      }
    }
    while (preview.frame?.width !== decodes.length) {
      decodes.at(-1)?.();
      await settle();
    }
    expect(most).toBeLessThanOrEqual(2);
    preview.clear();
    expect(held.size).toBe(0);
  });

  it("reports the frames that were painted, not those that were skipped", async () => {
    const decodes: (() => void)[] = [];
    const painted: unknown[] = [];
    const preview = new Preview(
      () => {},
      ({ seq }) => painted.push(seq),
      () => new Promise((resolve) => decodes.push(() => resolve(makeFrame()))),
    );
    for (let seq = 1; seq <= 4; seq++) preview.push("image/jpeg", data, { seq });
    for (let index = 0; index < 2; index++) {
      decodes[index]?.();
      await settle();
    }
    await vi.waitFor(() => expect(painted).toEqual([1, 4]));
  });

  it("does not grow with 10,000 frames", async () => {
    const preview = new Preview(
      () => {},
      () => {},
      async () => makeFrame(),
    );
    for (let index = 0; index < 10_000; index++) {
      preview.push("image/jpeg", data);
      if (index % 100 === 0) await settle();
    }
    await settle();
    expect(most).toBeLessThanOrEqual(2);
    expect(held.size).toBe(1);
  });

  it("does not show a frame of a run that was cleared", async () => {
    let done = () => {};
    const preview = new Preview(
      () => {},
      () => {},
      () => new Promise((resolve) => (done = () => resolve(makeFrame()))),
    );
    preview.push("image/jpeg", data);
    preview.clear();
    done();
    await settle();
    expect(preview.frame).toBeNull();
    expect(held.size).toBe(0);
  });

  it("skips what can't be decoded and what is not an image", async () => {
    let decodes = 0;
    const preview = new Preview(
      () => {},
      () => {},
      () => Promise.reject(new Error(`incomplete image ${++decodes}`)),
    );
    preview.push("image/jpeg", data);
    preview.push("text/html", data);
    await settle();
    expect(preview.frame).toBeNull();
    expect(decodes).toBe(1);
  });
});
