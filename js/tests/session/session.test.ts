import { expect, test } from "vitest";
import type { Item } from "../../src/session/protocol";
import { Session } from "../../src/session/session";
import { run, TestModel } from "../model";

const items: Item[] = Array.from({ length: 1000 }, (_, index) => ({
  key: `${index}`,
  kind: "image",
  name: `picture_${index}.png`,
  node: "9",
  var: "9",
  temp: false,
  mime: "image/png",
}));

test("items that a run has no room for come by a message and stay with their run", () => {
  const model = new TestModel({ runs: [run("b", { items: items.slice(0, 3) }), run("a")] });
  const session = new Session(model.asModel);
  let told = 0;
  session.follow("state", () => void told++);
  const counts = () => session.get("runs").map((each) => each.items.length);
  expect(counts()).toEqual([3, 0]);
  model.message({ kind: "items", run: "b", items });
  expect(told).toBe(1);
  expect(counts()).toEqual([1000, 0]);
  model.put({ runs: [run("c"), run("b"), run("a")] });
  expect(counts()).toEqual([0, 1000, 0]);
  session.destroy();
});
