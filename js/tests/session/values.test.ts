/** Tests of values that are edited while the kernel changes them. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Session } from "../../src/session/session";
import { TestModel } from "../model";

let model: TestModel;
let session: Session;

beforeEach(() => {
  vi.useFakeTimers();
  model = new TestModel({ values: { steps: 20, prompt: "a cat" } });
  session = new Session(model.asModel);
});

afterEach(() => {
  session.destroy();
  vi.useRealTimers();
});

/** The messages that set a value. */
const getRequests = () => model.getSent("set");

describe("a value that is set", () => {
  it("is shown at once and sent", () => {
    session.values.set("steps", 30);
    expect(session.values.get("steps")).toBe(30);
    expect(getRequests()).toMatchObject([{ name: "steps", value: 30 }]);
  });

  it("hides values from the kernel until it is answered", async () => {
    session.values.set("steps", 30);
    model.setTraits({ values: { steps: 25 } });
    expect(session.values.get("steps")).toBe(30);
    model.setTraits({ values: { steps: 30 } });
    model.answer(getRequests()[0] ?? {});
    await vi.advanceTimersByTimeAsync(0);
    model.setTraits({ values: { steps: 40 } });
    expect(session.values.get("steps")).toBe(40);
  });

  it("waits for the answer to the newest request", async () => {
    session.values.set("steps", 30);
    session.values.set("steps", 31);
    const [first, second] = getRequests();
    model.answer(first ?? {});
    await vi.advanceTimersByTimeAsync(0);
    model.setTraits({ values: { steps: 30 } });
    expect(session.values.get("steps")).toBe(31);
    model.setTraits({ values: { steps: 31 } });
    model.answer(second ?? {});
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("steps")).toBe(31);
  });

  it("does not flicker when the answer comes before the trait", async () => {
    session.values.set("steps", 30);
    model.answer(getRequests()[0] ?? {});
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("steps")).toBe(30);
    model.setTraits({ values: { steps: 32 } });
    expect(session.values.get("steps")).toBe(32);
  });

  it("is dropped when the kernel accepts it but keeps its own", async () => {
    session.values.set("steps", 30);
    model.answer(getRequests()[0] ?? {});
    await vi.advanceTimersByTimeAsync(1000);
    expect(session.values.get("steps")).toBe(20);
  });

  it("stays with its error when it is rejected, until the kernel has another", async () => {
    session.values.set("steps", 9999);
    model.answer(getRequests()[0] ?? {}, { error: "steps must be at most 60" });
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("steps")).toBe(9999);
    expect(session.values.getError("steps")).toBe("steps must be at most 60");
    model.setTraits({ values: { steps: 20, prompt: "a dog" } });
    expect(session.values.get("steps")).toBe(9999);
    model.setTraits({ values: { steps: 50, prompt: "a dog" } });
    expect(session.values.get("steps")).toBe(50);
    expect(session.values.getError("steps")).toBeUndefined();
  });

  it("is sent once for many key presses, and before a run", async () => {
    for (const text of ["a", "a d", "a do", "a dog"]) session.values.set("prompt", text, 300);
    expect(getRequests()).toHaveLength(0);
    session.submitter.submit();
    expect(model.sent.map(({ content }) => content.kind)).toEqual(["set", "run"]);
    expect(getRequests()).toMatchObject([{ name: "prompt", value: "a dog" }]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(getRequests()).toHaveLength(1);
  });

  it("stays in the form when the kernel is disconnected", async () => {
    session.values.set("prompt", "a dog");
    session.channel.close();
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("prompt")).toBe("a dog");
  });
});

it("a reset is sent as such and shows the workflow's value at once", () => {
  session.values.reset("steps", 15);
  expect(session.values.get("steps")).toBe(15);
  expect(getRequests()).toMatchObject([{ name: "steps", reset: true }]);
  expect(getRequests()[0]).not.toHaveProperty("value");
});
