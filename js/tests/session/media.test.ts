/** Tests of media files: chunks, sharing, bounds, types. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Channel } from "../../src/session/channel";
import { MediaCache } from "../../src/session/media";
import { makeBytes } from "../bytes";
import { settle, TestModel, trackUrls } from "../model";

let urls: ReturnType<typeof trackUrls>;
let model: TestModel;
let channel: Channel;

beforeEach(() => {
  urls = trackUrls();
  model = new TestModel();
  channel = new Channel(model.asModel);
  model.on("msg:custom", (content, buffers) => channel.handleAnswer(content, buffers as ArrayBufferView[]));
});

afterEach(() => urls.restore());

/** Make the kernel serve one file in chunks of at most `chunkSize` bytes. */
function serve(data: Uint8Array, chunkSize: number, mime = "image/png") {
  model.kernel = ({ kind, offset }) => {
    if (kind !== "media") return undefined;
    const chunk = data.slice(Number(offset), Number(offset) + chunkSize);
    return { total: data.length, mime, offset, buffers: [new DataView(chunk.buffer)] };
  };
}

describe("a media file", () => {
  it.each([
    [0, 10],
    [1, 10],
    [10, 10],
    [11, 10],
    [100, 7],
    [1000, 64],
  ])("of %i bytes is fetched in chunks of %i", async (length, chunkSize) => {
    let blob: Blob | undefined;
    const create = URL.createObjectURL;
    URL.createObjectURL = (made: Blob) => {
      blob = made;
      return create(made);
    };
    serve(makeBytes(length), chunkSize);
    const cache = new MediaCache(channel);
    const held = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    await settle();
    await settle();
    expect(held.getState().url).toBeDefined();
    expect(new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(1))).toEqual(makeBytes(length));
  });

  it("is fetched once for all holders and revoked when it is dropped", async () => {
    serve(makeBytes(10), 100);
    const cache = new MediaCache(channel, 15);
    const first = cache.hold({ run: "r", key: "a", size: "thumb" }, () => {});
    const second = cache.hold({ run: "r", key: "a", size: "thumb" }, () => {});
    await settle();
    expect(model.getSent("media")).toHaveLength(1);
    expect(first.getState().url).toBe(second.getState().url);
    first.release();
    second.release();
    expect(urls.alive.size).toBe(1);
    const other = cache.hold({ run: "r", key: "b", size: "thumb" }, () => {});
    await settle();
    expect(urls.alive.size).toBe(2);
    other.release();
    expect(urls.alive).toEqual(new Set([other.getState().url]));
    cache.destroy();
    expect(urls.alive.size).toBe(0);
  });

  it("keeps its URL as long as it is held, whatever the bound", async () => {
    serve(makeBytes(10), 100);
    const cache = new MediaCache(channel, 0);
    const held = ["a", "b", "c"].map((key) => cache.hold({ run: "r", key, size: "thumb" }, () => {}));
    await settle();
    expect(urls.alive.size).toBe(3);
    for (const { release } of held) release();
    expect(urls.alive.size).toBe(0);
  });

  it("is not fetched further after its release", async () => {
    const cache = new MediaCache(channel);
    const held = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    held.release();
    model.answer(model.getSent("media")[0] ?? {}, { total: 100, mime: "image/png", buffers: [makeBytes(10)] });
    await settle();
    expect(model.getSent("media")).toHaveLength(1);
    expect(urls.alive.size).toBe(0);
  });

  it("reports an error and is fetched again by the next holder", async () => {
    model.kernel = () => ({ error: "the server has deleted it" });
    const cache = new MediaCache(channel);
    const held = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    await settle();
    expect(held.getState().error).toBe("the server has deleted it");
    held.release();
    serve(makeBytes(10), 100);
    const again = cache.hold({ run: "r", key: "k", size: "full" }, () => {});
    await settle();
    expect(again.getState().url).toBeDefined();
  });

  it.each(["text/html", "image/svg+xml", "application/xhtml+xml", "image/png; x", ""])(
    "of type %j never becomes a page of the notebook's origin",
    async (mime) => {
      serve(makeBytes(10), 100, mime);
      const held = new MediaCache(channel).hold({ run: "r", key: "k", size: "full" }, () => {});
      await settle();
      expect(held.getState().mime).toBe("application/octet-stream");
    },
  );

  it.each([
    { total: 1e12, buffers: [makeBytes(10)] },
    { total: 5, buffers: [makeBytes(10)] },
    { total: Number.NaN, buffers: [makeBytes(10)] },
    { total: 100, buffers: [] },
  ])("of an impossible size is rejected", async (reply) => {
    model.kernel = () => ({ mime: "image/png", ...reply });
    const held = new MediaCache(channel).hold({ run: "r", key: "k", size: "full" }, () => {});
    await settle();
    expect(held.getState().error).toBeDefined();
    expect(urls.alive.size).toBe(0);
  });
});
