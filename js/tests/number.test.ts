import { describe, expect, it } from "vitest";
import { clamp, draw, evaluate, parseInteger, parseNumber, stepNumber, toInteger, wire } from "../src/number";

/** Numbers that are the same in each run of the tests. */
function* sequence(count: number): Generator<number> {
  let state = 0x2545f491;
  for (let index = 0; index < count; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

describe("arithmetic", () => {
  it.each([
    ["512*1.5", 768n],
    ["1 + 2 * 3", 7n],
    ["(1+2)*3", 9n],
    ["10/4", 3n],
    ["-10/4", -2n],
    ["2-3-4", -5n],
    ["1e3", 1000n],
    ["--5", 5n],
    ["2 × 3 ÷ 2 − 1", 2n],
    ["18446744073709551615", 18446744073709551615n],
    ["18446744073709551614+1", 18446744073709551615n],
    ["0.1*10", 1n],
  ])("%s is %s as an integer", (text, value) => expect(parseInteger(text)).toBe(value));

  it.each([
    "",
    " ",
    "abc",
    "1 2",
    "1+",
    "(1",
    "1)",
    "*2",
    "1/0",
    "1..2",
    "1,5",
    "alert(1)",
    "0x10",
    "1e999",
    "9".repeat(300),
  ])("%j is no number", (text) => {
    expect(evaluate(text)).toBeNull();
    expect(parseInteger(text)).toBeNull();
    expect(parseNumber(text)).toBeNull();
  });

  it("reads back every double that it wrote", () => {
    const bits = new DataView(new ArrayBuffer(8));
    const halves = [...sequence(2000)];
    for (let index = 0; index < halves.length; index += 2) {
      bits.setUint32(0, halves[index] ?? 0);
      bits.setUint32(4, halves[index + 1] ?? 0);
      const value = bits.getFloat64(0);
      if (Number.isFinite(value)) expect(parseNumber(String(value))).toBe(value === 0 ? 0 : value);
    }
  });

  it("agrees with exact integers on sums and products of any size", () => {
    const numbers = [...sequence(600)].map((number) => BigInt(number) ** 3n);
    for (let index = 0; index + 2 < numbers.length; index += 3) {
      const [a = 0n, b = 0n, c = 0n] = numbers.slice(index, index + 3);
      expect(parseInteger(`${a} * (${b} - ${c})`)).toBe(a * (b - c));
    }
  });
});

describe("integers across the wire", () => {
  it("are strings past 2^53 - 1 and stay exact there and back", () => {
    for (const number of sequence(200)) {
      const value = (BigInt(number) << 32n) + BigInt(number >>> 3);
      expect(toInteger(JSON.parse(JSON.stringify(wire(value))))).toBe(value);
    }
    expect(wire(2n ** 53n - 1n)).toBe(9007199254740991);
    expect(wire(2n ** 53n)).toBe("9007199254740992");
    expect(wire(-(2n ** 60n))).toBe("-1152921504606846976");
  });

  it("come from nothing but integers", () => {
    for (const value of ["random", "", "1.5", null, undefined, true, Number.NaN]) expect(toInteger(value)).toBeNull();
  });
});

describe("steps and bounds", () => {
  it("steps without the noise of binary fractions", () => {
    expect(stepNumber(0.1, 0.1, 2)).toBe(0.3);
    expect(stepNumber(1, 0.05, -3)).toBe(0.85);
    expect(stepNumber(1e-7, 1e-8, 1)).toBe(1.1e-7);
  });

  it("clamps to the bounds there are", () => {
    expect(clamp(5n, 0n, 3n)).toBe(3n);
    expect(clamp(-5, 0, null)).toBe(0);
    expect(clamp(-5, null, null)).toBe(-5);
  });
});

describe("drawing", () => {
  it("stays within its bounds, 64 bits included", () => {
    for (const [min, max] of [
      [0n, 2n ** 64n - 1n],
      [-3n, 3n],
      [2n ** 63n, 2n ** 63n + 4n],
      [7n, 7n],
    ] as const) {
      for (let count = 0; count < 300; count++) {
        const drawn = draw(min, max);
        expect(drawn >= min && drawn <= max).toBe(true);
      }
    }
  });

  it("reaches both bounds", () => {
    const drawn = new Set(Array.from({ length: 400 }, () => draw(-1n, 1n)));
    expect([...drawn].sort()).toEqual([-1n, 0n, 1n]);
  });
});
