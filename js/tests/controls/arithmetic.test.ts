/** Tests of arithmetic in number inputs. */

import { describe, expect, it } from "vitest";
import { evaluate, parseInteger, parseNumber } from "../../src/controls/arithmetic";
import { generateNumbers } from "../numbers";

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
  ])("%j is not a number", (text) => {
    expect(evaluate(text)).toBeNull();
    expect(parseInteger(text)).toBeNull();
    expect(parseNumber(text)).toBeNull();
  });

  it("parses every double as it is printed", () => {
    const bits = new DataView(new ArrayBuffer(8));
    const halves = [...generateNumbers(2000)];
    for (let index = 0; index < halves.length; index += 2) {
      bits.setUint32(0, halves[index] ?? 0);
      bits.setUint32(4, halves[index + 1] ?? 0);
      const value = bits.getFloat64(0);
      if (Number.isFinite(value)) expect(parseNumber(String(value))).toBe(value === 0 ? 0 : value);
    }
  });

  it("computes sums and products of any size exactly", () => {
    const numbers = [...generateNumbers(600)].map((number) => BigInt(number) ** 3n);
    for (let index = 0; index + 2 < numbers.length; index += 3) {
      const [a = 0n, b = 0n, c = 0n] = numbers.slice(index, index + 3);
      expect(parseInteger(`${a} * (${b} - ${c})`)).toBe(a * (b - c));
    }
  });
});
