import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Channel } from "../../src/session/protocol";
import { TestModel } from "../model";

let model: TestModel;
let channel: Channel;

beforeEach(() => {
  vi.useFakeTimers();
  model = new TestModel();
  channel = new Channel(model.asModel);
  model.on("msg:custom", (content, buffers) => channel.receive(content, buffers as ArrayBufferView[]));
});

afterEach(() => void vi.useRealTimers());

describe("a request", () => {
  it("gets the answer that has its id, with the buffers as bytes", async () => {
    const first = channel.request("media", { run: "r" });
    const second = channel.request("media", { run: "s" });
    const [one, two] = model.of("media");
    model.answer(two ?? {}, { total: 2, buffers: [new DataView(new Uint8Array([0, 1, 2, 3]).buffer, 1, 2)] });
    model.answer(one ?? {}, { total: 1 });
    expect((await first).content.total).toBe(1);
    const answer = await second;
    expect(answer.content.total).toBe(2);
    expect([...(answer.buffers[0] ?? [])]).toEqual([1, 2]);
  });

  it("fails with the kernel's words", async () => {
    model.kernel = () => ({ error: "steps must be at most 60." });
    await expect(channel.request("set")).rejects.toThrow("steps must be at most 60.");
  });

  it("leaves the answers of another page alone", async () => {
    const other = new Channel(model.asModel);
    const mine = channel.request("run");
    const theirs = other.request("run");
    const [first, second] = model.of("run");
    expect(first?.id).not.toBe(second?.id);
    model.answer(second ?? {}, { error: "not for this page" });
    model.answer(first ?? {});
    await expect(mine).resolves.toBeDefined();
    other.closed = true;
    await expect(theirs).rejects.toThrow("gone");
  });

  it("waits for a busy kernel", async () => {
    const asked = channel.request("set");
    await vi.advanceTimersByTimeAsync(3_600_000);
    model.answer(model.of("set")[0] ?? {});
    await expect(asked).resolves.toBeDefined();
  });

  it("ends at once when it is not wanted any more", async () => {
    const controller = new AbortController();
    const asked = channel.request("media", {}, { signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
    await expect(channel.request("media", {}, { signal: controller.signal })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(model.of("media")).toHaveLength(1);
  });

  it("ends when the kernel is gone, and none is sent then", async () => {
    const asked = channel.request("run");
    channel.closed = true;
    await expect(asked).rejects.toThrow("The kernel is gone.");
    await expect(channel.request("run")).rejects.toThrow("The kernel is gone.");
    expect(model.of("run")).toHaveLength(1);
  });

  it("fails when the message can't be sent", async () => {
    model.send = () => {
      throw new Error("Comm is disposed");
    };
    await expect(channel.request("run")).rejects.toThrow("Comm is disposed");
  });
});

it("takes only answers for its own", () => {
  for (const message of [null, 1, "answer", [], {}, { kind: "preview" }]) expect(channel.receive(message)).toBe(false);
  expect(channel.receive({ kind: "answer", id: "unknown" })).toBe(true);
});
