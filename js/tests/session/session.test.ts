/** Tests of the state that the views share. */

import { describe, expect, it } from "vitest";
import type { Item } from "../../src/session/protocol";
import { Session } from "../../src/session/session";
import { makeRun, settle, TestModel } from "../model";

const items: Item[] = Array.from({ length: 1000 }, (_, index) => ({
  key: `${index}`,
  kind: "image",
  name: `picture_${index}.png`,
  node: "9",
  var: "9",
  temp: false,
  mime: "image/png",
}));

it("keeps the items that arrive by message with their run", () => {
  const model = new TestModel({ runs: [makeRun("b", { items: items.slice(0, 3) }), makeRun("a")] });
  const session = new Session(model.asModel);
  let notified = 0;
  session.subscribe("state", () => void notified++);
  const counts = () => session.get("runs").map((each) => each.items.length);
  expect(counts()).toEqual([3, 0]);
  model.sendToPage({ kind: "items", run: "b", items });
  expect(notified).toBe(1);
  expect(counts()).toEqual([1000, 0]);
  model.setTraits({ runs: [makeRun("c"), makeRun("b"), makeRun("a")] });
  expect(counts()).toEqual([0, 1000, 0]);
  session.destroy();
});

it("stays connected when its model has taken long to load, and keeps what it has asked for", async () => {
  const model = new TestModel();
  const handled: unknown[] = [];
  class HostModel {
    readonly comm = {
      on_msg: (handler: (message: unknown) => void) => handler("a message"),
      send: (data: unknown) => handled.push(data),
    };
    _handle_comm_msg(message: unknown) {
      handled.push(message);
    }
  }
  class SlowModel extends HostModel {
    override async _handle_comm_msg() {
      throw new Error("timed out");
    }
  }
  Object.assign(model.widget_manager, { get_model: async () => new SlowModel() });
  const session = new Session(model.asModel);
  const asked = session.channel.request("media");
  await settle();
  expect(handled).toEqual(["a message", { method: "request_state" }]);
  expect(session.channel.closed).toBe(false);
  model.answer(model.getSent("media")[0] ?? {}, { total: 1 });
  expect((await asked).content.total).toBe(1);
  session.destroy();
});

describe("the sight of a stage", () => {
  it("is sent to the kernel as it changes, for all views together", () => {
    const model = new TestModel();
    const session = new Session(model.asModel);
    const [first, second] = [{}, {}];
    const getSent = () => model.getSent("sight").map(({ visible }) => visible);
    session.sight.set(first, true);
    session.sight.set(second, false);
    session.sight.set(first, true);
    expect(getSent()).toEqual([true]);
    session.sight.set(first, false);
    session.sight.set(second, true);
    session.sight.remove(second);
    expect(getSent()).toEqual([true, false, true, false]);
    expect(new Set(model.getSent("sight").map(({ page }) => page)).size).toBe(1);
    session.destroy();
  });
});
