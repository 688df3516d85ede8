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

const answers = () => model.of("set");

describe("a value that is set", () => {
  it("is shown at once and sent", () => {
    session.values.set("steps", 30);
    expect(session.values.get("steps")).toBe(30);
    expect(answers()).toMatchObject([{ name: "steps", value: 30 }]);
  });

  it("hides what comes from the kernel until its own answer is there", async () => {
    session.values.set("steps", 30);
    model.put({ values: { steps: 25 } });
    expect(session.values.get("steps")).toBe(30);
    model.put({ values: { steps: 30 } });
    model.answer(answers()[0] ?? {});
    await vi.advanceTimersByTimeAsync(0);
    model.put({ values: { steps: 40 } });
    expect(session.values.get("steps")).toBe(40);
  });

  it("waits for the answer to the newest, not to an older one", async () => {
    session.values.set("steps", 30);
    session.values.set("steps", 31);
    const [first, second] = answers();
    model.answer(first ?? {});
    await vi.advanceTimersByTimeAsync(0);
    model.put({ values: { steps: 30 } });
    expect(session.values.get("steps")).toBe(31);
    model.put({ values: { steps: 31 } });
    model.answer(second ?? {});
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("steps")).toBe(31);
  });

  it("does not flicker when the answer comes before the trait", async () => {
    session.values.set("steps", 30);
    model.answer(answers()[0] ?? {});
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("steps")).toBe(30);
    model.put({ values: { steps: 32 } });
    expect(session.values.get("steps")).toBe(32);
  });

  it("gives way to a kernel that accepted it but kept its own", async () => {
    session.values.set("steps", 30);
    model.answer(answers()[0] ?? {});
    await vi.advanceTimersByTimeAsync(1000);
    expect(session.values.get("steps")).toBe(20);
  });

  it("stays, with the reason, when it is refused, until the kernel has another", async () => {
    session.values.set("steps", 9999);
    model.answer(answers()[0] ?? {}, { error: "steps must be at most 60." });
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("steps")).toBe(9999);
    expect(session.values.refusal("steps")).toBe("steps must be at most 60.");
    model.put({ values: { steps: 20, prompt: "a dog" } });
    expect(session.values.get("steps")).toBe(9999);
    model.put({ values: { steps: 50, prompt: "a dog" } });
    expect(session.values.get("steps")).toBe(50);
    expect(session.values.refusal("steps")).toBeUndefined();
  });

  it("is sent once for many keys, and before a run that comes earlier", async () => {
    for (const text of ["a", "a d", "a do", "a dog"]) session.values.set("prompt", text, 300);
    expect(answers()).toHaveLength(0);
    session.run();
    expect(model.sent.map(({ content }) => content.kind)).toEqual(["set", "run"]);
    expect(answers()).toMatchObject([{ name: "prompt", value: "a dog" }]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(answers()).toHaveLength(1);
  });

  it("stays in the form when the kernel is gone", async () => {
    session.values.set("prompt", "a dog");
    session.channel.closed = true;
    await vi.advanceTimersByTimeAsync(0);
    expect(session.values.get("prompt")).toBe("a dog");
  });
});

it("a reset says so and shows the workflow's value meanwhile", () => {
  session.values.reset("steps", 15);
  expect(session.values.get("steps")).toBe(15);
  expect(answers()).toMatchObject([{ name: "steps", reset: true }]);
  expect(answers()[0]).not.toHaveProperty("value");
});
