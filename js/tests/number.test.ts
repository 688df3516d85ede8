/** Tests of integers on their way to the kernel, steps, bounds and random numbers. */

import { describe, expect, it } from "vitest";
import { addSteps, clamp, drawInteger, toInteger, toWire } from "../src/number";
import { generateNumbers } from "./numbers";

describe("integers on their way to the kernel", () => {
  it("are strings past 2^53 - 1 and stay exact in both directions", () => {
    for (const number of generateNumbers(200)) {
      const value = (BigInt(number) << 32n) + BigInt(number >>> 3);
      expect(toInteger(JSON.parse(JSON.stringify(toWire(value))))).toBe(value);
    }
    expect(toWire(2n ** 53n - 1n)).toBe(9007199254740991);
    expect(toWire(2n ** 53n)).toBe("9007199254740992");
    expect(toWire(-(2n ** 60n))).toBe("-1152921504606846976");
  });

  it("are read from integers only", () => {
    for (const value of ["random", "", "1.5", null, undefined, true, Number.NaN]) expect(toInteger(value)).toBeNull();
  });
});

describe("steps and bounds", () => {
  it("add up without the noise of binary fractions", () => {
    expect(addSteps(0.1, 0.1, 2)).toBe(0.3);
    expect(addSteps(1, 0.05, -3)).toBe(0.85);
    expect(addSteps(1e-7, 1e-8, 1)).toBe(1.1e-7);
  });

  it("are ignored where they are null", () => {
    expect(clamp(5n, 0n, 3n)).toBe(3n);
    expect(clamp(-5, 0, null)).toBe(0);
    expect(clamp(-5, null, null)).toBe(-5);
  });
});

describe("a random integer", () => {
  it("stays within its bounds, also with 64 bits", () => {
    for (const [min, max] of [
      [0n, 2n ** 64n - 1n],
      [-3n, 3n],
      [2n ** 63n, 2n ** 63n + 4n],
      [7n, 7n],
    ] as const) {
      for (let count = 0; count < 300; count++) {
        const drawn = drawInteger(min, max);
        expect(drawn >= min && drawn <= max).toBe(true);
      }
    }
  });

  it("reaches both bounds", () => {
    const drawn = new Set(Array.from({ length: 400 }, () => drawInteger(-1n, 1n)));
    expect([...drawn].sort()).toEqual([-1n, 0n, 1n]);
  });
});
