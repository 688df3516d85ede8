/** Tests of aspect ratios. */

import { describe, expect, it } from "vitest";
import { findAspect, listAspects, resize } from "../../src/controls/aspect";
import { makeField } from "../model";

const field = makeField("width", "integer", { min: 16, max: 2048, step: 8 });

describe("an aspect ratio", () => {
  it("keeps the area and the grid of 64 pixels", () => {
    expect(resize("4:3", [1024, 1024], [field, field])).toEqual([1152, 896]);
    expect(resize("16:9", [1024, 1024], [field, field])).toEqual([1344, 768]);
    expect(resize("1:1", [1344, 768], [field, field])).toEqual([1024, 1024]);
    expect(resize("1:1", [520, 504], [field, field])).toEqual([512, 512]);
    expect(resize("3:2", [100, 100], [field, field])).toEqual([120, 80]);
  });

  it("stays within the bounds", () => {
    expect(resize("16:9", [2048, 2048], [field, field])).toEqual([2048, 1536]);
    expect(resize("9:16", [16, 16], [field, field])).toEqual([16, 24]);
  });

  it("is recognized after it was chosen, whatever the size", () => {
    for (const size of [256, 512, 520, 768, 1000, 1024, 1536])
      for (const aspect of listAspects(1, 1))
        expect(findAspect(...resize(aspect, [size, size], [field, field]))).toBe(aspect);
    expect(findAspect(1000, 300)).toBe("");
  });

  it("is named in the orientation of the size", () => {
    expect(listAspects(512, 768)).toEqual(["1:1", "3:4", "2:3", "9:16"]);
    expect(findAspect(832, 1216)).toBe("2:3");
  });
});
