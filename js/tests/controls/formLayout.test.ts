/** Tests of the blocks and lines of a form. */

import { describe, expect, it } from "vitest";
import { arrangeFields } from "../../src/controls/formLayout";
import type { Field } from "../../src/session/protocol";
import { makeField } from "../model";

function arrange(...fields: [name: string, group?: string, address?: string][]) {
  const made = fields.map(([name, group = "", address = ""]) => makeField(name, "integer", { group, address }));
  return arrangeFields(made).map(({ heading, lines }) => [
    heading,
    ...lines.map((line) => line.map((f) => f.name).join("+")),
  ]);
}

describe("the layout of a form", () => {
  it("puts all fields of a heading together, at the place of the first", () => {
    expect(arrange(["a", "One"], ["b"], ["c", "Two"], ["d", "One"], ["e"])).toEqual([
      ["One", "a", "d"],
      ["", "b"],
      ["Two", "c"],
      ["", "e"],
    ]);
  });

  it("keeps neighbours without a heading in one block", () => {
    expect(arrange(["a"], ["b"], ["c", "One"])).toEqual([
      ["", "a", "b"],
      ["One", "c"],
    ]);
  });

  it("leaves out a heading that repeats the label of its one field", () => {
    expect(arrange(["prompt", "prompt"], ["model", "Loader"])).toEqual([
      ["", "prompt"],
      ["Loader", "model"],
    ]);
    expect(arrange(["seed", "seed"], ["steps", "seed"])).toEqual([["seed", "seed", "steps"]]);
  });

  it("pairs width and height, and steps and cfg, in this order, by the names of the inputs", () => {
    expect(arrange(["size.height"], ["size.width"], ["steps"], ["cfg"])).toEqual([
      ["", "size.width+size.height", "steps+cfg"],
    ]);
    expect(arrange(["breite", "", "5.width"], ["hoehe", "", "5.height"])).toEqual([["", "breite+hoehe"]]);
  });

  it("pairs inputs of a subgraph by their labels, and a mislabelled one by its input", () => {
    const make = (name: string, label: string, address: string) => makeField(name, "integer", { label, address });
    const arranged = (...fields: Field[]) => arrangeFields(fields)[0]?.lines.map((line) => line.map((f) => f.name));
    expect(arranged(make("w", "Width", "Width.value"), make("h", "Height", "213:179.value"))).toEqual([["w", "h"]]);
    expect(arranged(make("s", "Steps", "1.value"), make("c", "CFG", "2.value"))).toEqual([["s", "c"]]);
    expect(arranged(make("a", "Height (Width)", "1.type.width"), make("b", "Height", "1.type.height"))).toEqual([
      ["a", "b"],
    ]);
  });

  it("pairs only numbers that stand together under one heading", () => {
    expect(arrange(["width", "One"], ["height", "Two"])).toEqual([
      ["One", "width"],
      ["Two", "height"],
    ]);
    expect(arrange(["width"], ["batch"], ["height"])).toEqual([["", "width", "batch", "height"]]);
    const [block] = arrangeFields([makeField("width", "text"), makeField("height", "integer")]);
    expect(block?.lines).toHaveLength(2);
  });
});
