import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MediaCache } from "../../src/session/media";
import { type Frame, Preview } from "../../src/session/preview";
import { type Bytes, Channel } from "../../src/session/protocol";
import { upload } from "../../src/session/upload";
import { countUrls, settled, TestModel } from "../model";

let urls: ReturnType<typeof countUrls>;
let model: TestModel;
let channel: Channel;

beforeEach(() => {
  urls = countUrls();
  model = new TestModel();
  channel = new Channel(model.asModel);
  model.on("msg:custom", (content, buffers) => channel.receive(content, buffers as ArrayBufferView[]));
});

afterEach(() => urls.restore());

/** A kernel with one medium, sent in pieces of at most `piece` bytes. */
function serve(data: Uint8Array, piece: number, mime = "image/png") {
  model.kernel = ({ kind, offset }) => {
    if (kind !== "media") return undefined;
    const part = data.slice(Number(offset), Number(offset) + piece);
    return { total: data.length, mime, offset, buffers: [new DataView(part.buffer)] };
  };
}

const pattern = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 31) % 251);

describe("a medium", () => {
  it.each([
    [0, 10],
    [1, 10],
    [10, 10],
    [11, 10],
    [100, 7],
    [1000, 64],
  ])("of %i bytes comes whole in pieces of %i", async (length, piece) => {
    let blob: Blob | undefined;
    const create = URL.createObjectURL;
    URL.createObjectURL = (made: Blob) => {
      blob = made;
      return create(made);
    };
    serve(pattern(length), piece);
    const cache = new MediaCache(channel);
    const held = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    await settled();
    await settled();
    expect(held.state().url).toBeDefined();
    expect(new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(1))).toEqual(pattern(length));
  });

  it("is fetched once for all who show it, and revoked when it is no longer kept", async () => {
    serve(pattern(10), 100);
    const cache = new MediaCache(channel, 15);
    const first = cache.hold({ run: "r", key: "a", size: "thumb" }, () => {});
    const second = cache.hold({ run: "r", key: "a", size: "thumb" }, () => {});
    await settled();
    expect(model.of("media")).toHaveLength(1);
    expect(first.state().url).toBe(second.state().url);
    first.release();
    second.release();
    expect(urls.alive.size).toBe(1);
    const other = cache.hold({ run: "r", key: "b", size: "thumb" }, () => {});
    await settled();
    expect(urls.alive.size).toBe(2);
    other.release();
    expect(urls.alive).toEqual(new Set([other.state().url]));
    cache.destroy();
    expect(urls.alive.size).toBe(0);
  });

  it("keeps its URL as long as somebody shows it, whatever the bound", async () => {
    serve(pattern(10), 100);
    const cache = new MediaCache(channel, 0);
    const held = ["a", "b", "c"].map((key) => cache.hold({ run: "r", key, size: "thumb" }, () => {}));
    await settled();
    expect(urls.alive.size).toBe(3);
    for (const { release } of held) release();
    expect(urls.alive.size).toBe(0);
  });

  it("is not fetched on when nobody waits for it", async () => {
    const cache = new MediaCache(channel);
    const held = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    held.release();
    model.answer(model.of("media")[0] ?? {}, { total: 100, mime: "image/png", buffers: [pattern(10)] });
    await settled();
    expect(model.of("media")).toHaveLength(1);
    expect(urls.alive.size).toBe(0);
  });

  it("says what went wrong and is asked for again by the next", async () => {
    model.kernel = () => ({ error: "The server has deleted it." });
    const cache = new MediaCache(channel);
    const held = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    await settled();
    expect(held.state().error).toBe("The server has deleted it.");
    held.release();
    serve(pattern(10), 100);
    const again = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    await settled();
    expect(again.state().url).toBeDefined();
  });

  it.each(["text/html", "image/svg+xml", "application/xhtml+xml", "image/png; x", ""])(
    "of type %j is no page of the notebook's origin",
    async (mime) => {
      serve(pattern(10), 100, mime);
      const held = new MediaCache(channel).hold({ run: "r", key: "k", size: "full" }, () => {});
      await settled();
      expect(held.state().mime).toBe("application/octet-stream");
    },
  );

  it.each([
    { total: 1e12, buffers: [pattern(10)] },
    { total: 5, buffers: [pattern(10)] },
    { total: Number.NaN, buffers: [pattern(10)] },
    { total: 100, buffers: [] },
  ])("whose size makes no sense is refused", async (reply) => {
    model.kernel = () => ({ mime: "image/png", ...reply });
    const held = new MediaCache(channel).hold({ run: "r", key: "k", size: "full" }, () => {});
    await settled();
    expect(held.state().error).toBeDefined();
    expect(urls.alive.size).toBe(0);
  });
});

describe("the preview", () => {
  const data = new Uint8Array([1]) as Bytes;
  const held = new Set<Frame>();
  let most = 0;

  /** A decoded picture, which is held until it is closed. */
  function frame(width = 1): Frame {
    const made = { width, height: 4, close: () => void held.delete(made) };
    held.add(made);
    most = Math.max(most, held.size);
    return made;
  }

  beforeEach(() => {
    held.clear();
    most = 0;
  });

  it("never holds more than two frames and ends with the newest", async () => {
    const decodes: (() => void)[] = [];
    const preview = new Preview(
      () => {},
      () => {},
      () => new Promise((resolve) => decodes.push(() => resolve(frame(decodes.length)))),
    );
    for (let index = 0; index < 50; index++) {
      preview.push("image/jpeg", data);
      if (index % 7 === 0) {
        decodes.at(-1)?.();
        await settled();
      }
    }
    while (preview.frame?.width !== decodes.length) {
      decodes.at(-1)?.();
      await settled();
    }
    expect(most).toBeLessThanOrEqual(2);
    preview.clear();
    expect(held.size).toBe(0);
  });

  it("tells which frames were painted, and of those passed over nothing", async () => {
    const decodes: (() => void)[] = [];
    const painted: unknown[] = [];
    const preview = new Preview(
      () => {},
      ({ seq }) => painted.push(seq),
      () => new Promise((resolve) => decodes.push(() => resolve(frame()))),
    );
    for (let seq = 1; seq <= 4; seq++) preview.push("image/jpeg", data, { seq });
    for (let index = 0; index < 2; index++) {
      decodes[index]?.();
      await settled();
    }
    await vi.waitFor(() => expect(painted).toEqual([1, 4]));
  });

  it("does not grow over 10,000 frames", async () => {
    const preview = new Preview(
      () => {},
      () => {},
      async () => frame(),
    );
    for (let index = 0; index < 10_000; index++) {
      preview.push("image/jpeg", data);
      if (index % 100 === 0) await settled();
    }
    await settled();
    expect(most).toBeLessThanOrEqual(2);
    expect(held.size).toBe(1);
  });

  it("does not show a frame of a run that was cleared", async () => {
    let done = () => {};
    const preview = new Preview(
      () => {},
      () => {},
      () => new Promise((resolve) => (done = () => resolve(frame()))),
    );
    preview.push("image/jpeg", data);
    preview.clear();
    done();
    await settled();
    expect(preview.frame).toBeNull();
    expect(held.size).toBe(0);
  });

  it("passes over what can't be decoded and what is no picture", async () => {
    let decodes = 0;
    const preview = new Preview(
      () => {},
      () => {},
      () => Promise.reject(new Error(`half a picture: ${++decodes}`)),
    );
    preview.push("image/jpeg", data);
    preview.push("text/html", data);
    await settled();
    expect(preview.frame).toBeNull();
    expect(decodes).toBe(1);
  });
});

describe("an upload", () => {
  it.each([0, 1, 1024 * 1024, 1024 * 1024 + 1, 7 * 1024 * 1024 + 5])(
    "of %i bytes arrives whole, in order",
    async (size) => {
      const file = new File([pattern(size)], "anna.png");
      let underWay = 0;
      let most = 0;
      let received = 0;
      model.kernel = (content, buffers) => {
        most = Math.max(most, ++underWay);
        const length = buffers[0]?.byteLength ?? 0;
        expect(content).toMatchObject({ name: "image", file: "anna.png", size, offset: received });
        expect(length).toBeLessThanOrEqual(1024 * 1024);
        received += length;
        const last = received === size;
        void settled().then(() => {
          underWay--;
          model.answer(content, last ? { value: "anna.png" } : {});
        });
        return undefined;
      };
      const progress: number[] = [];
      const value = await upload(channel, "image", file, {
        signal: new AbortController().signal,
        progress: (bytes) => progress.push(bytes),
      });
      expect(value).toBe("anna.png");
      expect(received).toBe(size);
      expect(progress.at(-1)).toBe(size);
      expect(most).toBeLessThanOrEqual(4);
    },
  );

  it("ends with the kernel's refusal", async () => {
    model.kernel = () => ({ error: "anna.exe is no picture." });
    const file = new File([pattern(3 * 1024 * 1024)], "anna.exe");
    const options = { signal: new AbortController().signal, progress: () => {} };
    await expect(upload(channel, "image", file, options)).rejects.toThrow("anna.exe is no picture.");
  });
});
