/** Tests of uploads in chunks. */

import { beforeEach, describe, expect, it } from "vitest";
import { Channel } from "../../src/session/channel";
import { sendFile } from "../../src/session/sendFile";
import { makeBytes } from "../bytes";
import { settle, TestModel } from "../model";

let model: TestModel;
let channel: Channel;

beforeEach(() => {
  model = new TestModel();
  channel = new Channel(model.asModel);
  model.on("msg:custom", (content, buffers) => channel.handleAnswer(content, buffers as ArrayBufferView[]));
});

describe("an upload", () => {
  it.each([0, 1, 1024 * 1024, 1024 * 1024 + 1, 7 * 1024 * 1024 + 5])(
    "of %i bytes arrives complete and in order",
    async (size) => {
      const file = new File([makeBytes(size)], "anna.png");
      let active = 0;
      let most = 0;
      let received = 0;
      model.kernel = (content, buffers) => {
        most = Math.max(most, ++active);
        const length = buffers[0]?.byteLength ?? 0;
        expect(content).toMatchObject({ name: "image", file: "anna.png", size, offset: received });
        expect(length).toBeLessThanOrEqual(1024 * 1024);
        received += length;
        const last = received === size;
        void settle().then(() => {
          active--;
          model.answer(content, last ? { value: "anna.png" } : {});
        });
        return undefined;
      };
      const progress: number[] = [];
      const value = await sendFile(channel, "upload", { name: "image", file: file.name }, file, {
        signal: new AbortController().signal,
        onProgress: (bytes) => progress.push(bytes),
      });
      expect(value).toBe("anna.png");
      expect(received).toBe(size);
      expect(progress.at(-1)).toBe(size);
      expect(most).toBeLessThanOrEqual(4);
    },
  );

  it("fails with the kernel's error", async () => {
    model.kernel = () => ({ error: "anna.exe is not an image" });
    const file = new File([makeBytes(3 * 1024 * 1024)], "anna.exe");
    const options = { signal: new AbortController().signal, onProgress: () => {} };
    await expect(sendFile(channel, "upload", { name: "image", file: file.name }, file, options)).rejects.toThrow(
      "anna.exe is not an image",
    );
  });
});
