/** Tests of the filter of a combobox. */

import { describe, expect, it } from "vitest";
import { filterChoices } from "../../src/controls/optionList";

describe("filtering choices", () => {
  const choices = [
    "SDXL/base.safetensors",
    "Flux/dev.safetensors",
    "Flux/schnell.safetensors",
    "other/flux_dev.safetensors",
  ];

  it("finds every word, in any order and case", () => {
    expect(filterChoices(choices, "DEV flux")).toEqual(["Flux/dev.safetensors", "other/flux_dev.safetensors"]);
    expect(filterChoices(choices, "nothing")).toEqual([]);
    expect(filterChoices(choices, "  ")).toEqual(choices);
  });

  it("puts names that start with the word first", () => {
    expect(filterChoices(choices, "flux")[0]).toBe("other/flux_dev.safetensors");
  });
});
