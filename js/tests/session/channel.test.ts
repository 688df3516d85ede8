/** Tests of requests to the kernel and their answers. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Channel } from "../../src/session/channel";
import { TestModel } from "../model";

let model: TestModel;
let channel: Channel;

beforeEach(() => {
  vi.useFakeTimers();
  model = new TestModel();
  channel = new Channel(model.asModel);
  model.on("msg:custom", (content, buffers) => channel.handleAnswer(content, buffers as ArrayBufferView[]));
});

afterEach(() => void vi.useRealTimers());

describe("a request", () => {
  it("gets the answer with its id, and the buffers as bytes", async () => {
    const first = channel.request("media", { run: "r" });
    const second = channel.request("media", { run: "s" });
    const [one, two] = model.getSent("media");
    model.answer(two ?? {}, { total: 2, buffers: [new DataView(new Uint8Array([0, 1, 2, 3]).buffer, 1, 2)] });
    model.answer(one ?? {}, { total: 1 });
    expect((await first).content.total).toBe(1);
    const answer = await second;
    expect(answer.content.total).toBe(2);
    expect([...(answer.buffers[0] ?? [])]).toEqual([1, 2]);
  });

  it("fails with the kernel's error", async () => {
    model.kernel = () => ({ error: "steps must be at most 60" });
    await expect(channel.request("set")).rejects.toThrow("steps must be at most 60");
  });

  it("ignores the answers to another page", async () => {
    const other = new Channel(model.asModel);
    const mine = channel.request("run");
    const theirs = other.request("run");
    const [first, second] = model.getSent("run");
    expect(first?.id).not.toBe(second?.id);
    model.answer(second ?? {}, { error: "not for this page" });
    model.answer(first ?? {});
    await expect(mine).resolves.toBeDefined();
    other.close();
    await expect(theirs).rejects.toThrow("kernel disconnected");
  });

  it("waits for a busy kernel", async () => {
    const asked = channel.request("set");
    await vi.advanceTimersByTimeAsync(3_600_000);
    model.answer(model.getSent("set")[0] ?? {});
    await expect(asked).resolves.toBeDefined();
  });

  it("calls no kernel busy that the host knows to be idle: it is slow", async () => {
    let isIdle = true;
    const slow = new Channel(
      model.asModel,
      () => {},
      () => {},
      () => isIdle,
    );
    void slow.request("run");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(slow.busy).toBe(false);
    isIdle = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(slow.busy).toBe(true);
  });

  it("ends at once when it is aborted", async () => {
    const controller = new AbortController();
    const asked = channel.request("media", {}, { signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
    await expect(channel.request("media", {}, { signal: controller.signal })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(model.getSent("media")).toHaveLength(1);
  });

  it("fails when the kernel is disconnected, and none is sent then", async () => {
    const asked = channel.request("run");
    channel.close();
    await expect(asked).rejects.toThrow("kernel disconnected");
    await expect(channel.request("run")).rejects.toThrow("kernel disconnected");
    expect(model.getSent("run")).toHaveLength(1);
  });

  it("fails as disconnected when there is no kernel to send it to, and reports that", async () => {
    const onSendError = vi.fn();
    channel = new Channel(model.asModel, undefined, onSendError);
    model.send = () => {
      throw new Error("Cannot send");
    };
    await expect(channel.request("run")).rejects.toThrow("kernel disconnected");
    expect(onSendError).toHaveBeenCalledOnce();
  });

  it.each(["media", "look", "run"])(
    "of kind %s pings the kernel, which is busy only if it has no time for that",
    async (kind) => {
      model.kernel = (content) => (content.kind === "ping" ? {} : undefined);
      void channel.request(kind);
      await vi.advanceTimersByTimeAsync(5000);
      expect(model.getSent("ping")).toHaveLength(1);
      expect(channel.busy).toBe(false);
      model.kernel = () => undefined;
      void channel.request(kind, { run: "s" });
      void channel.request(kind, { run: "t" });
      await vi.advanceTimersByTimeAsync(900);
      expect(channel.busy).toBe(false);
      await vi.advanceTimersByTimeAsync(200);
      expect(channel.busy).toBe(true);
      await vi.advanceTimersByTimeAsync(5000);
      expect(model.getSent("ping")).toHaveLength(2);
      expect(channel.busy).toBe(true);
      model.answer(model.getSent("ping")[1] ?? {});
      await vi.advanceTimersByTimeAsync(0);
      expect(channel.busy).toBe(false);
    },
  );

  it("shows a kernel as busy that runs another cell before it reads a later request", async () => {
    void channel.request("set");
    await vi.advanceTimersByTimeAsync(5000);
    const later = channel.request("run");
    await vi.advanceTimersByTimeAsync(5000);
    expect(model.getSent("ping")).toHaveLength(1);
    for (const kind of ["set", "ping"]) model.answer(model.getSent(kind)[0] ?? {});
    await vi.advanceTimersByTimeAsync(1000);
    expect(channel.busy).toBe(true);
    for (const kind of ["run", "ping"]) model.answer(model.getSent(kind).at(-1) ?? {});
    await later;
    await vi.advanceTimersByTimeAsync(5000);
    expect(channel.busy).toBe(false);
    expect(model.getSent("ping")).toHaveLength(2);
  });
});

it("handles answers only", () => {
  for (const message of [null, 1, "answer", [], {}, { kind: "preview" }])
    expect(channel.handleAnswer(message)).toBe(false);
  expect(channel.handleAnswer({ kind: "answer", id: "unknown" })).toBe(true);
});
