/** Integers that stay exact at any size, bounds and steps. */

/** A number as JSON carries it to the kernel: integers past 2^53 - 1 are strings. */
export type WireNumber = number | string;

/** The largest integer that a JavaScript number holds exactly: 2^53 - 1. */
export const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** Most digits that `toFixed` accepts. */
const MAX_DIGITS = 100;

/** Return a bound, default or value of an integer field as a bigint, or null if it is not a number. */
export function toInteger(value: unknown): bigint | null {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isFinite(value) ? BigInt(Math.round(value)) : null;
  return typeof value === "string" && /^[+-]?\d+$/.test(value) ? BigInt(value) : null;
}

/** Return an integer in the form that crosses to the kernel. */
export function toWire(value: bigint): WireNumber {
  return value >= -MAX_EXACT && value <= MAX_EXACT ? Number(value) : value.toString();
}

/** Limit a value to its bounds; a bound of null is ignored. */
export function clamp<T extends number | bigint>(value: T, min: T | null, max: T | null): T {
  if (min !== null && value < min) return min;
  if (max !== null && value > max) return max;
  return value;
}

/**
 * Add `count` steps to a value, without the noise of binary fractions.
 *
 * @example addSteps(0.1, 0.1, 2) // 0.3
 */
export function addSteps(value: number, step: number, count: number): number {
  const digits = Math.min(MAX_DIGITS, Math.max(countDecimals(value), countDecimals(step)));
  return Number((value + step * count).toFixed(digits));
}

function countDecimals(value: number): number {
  const [digits = "", power = "0"] = value.toString().split("e");
  return Math.max(0, (digits.split(".")[1]?.length ?? 0) - Number(power));
}

/** Draw a random integer between `min` and `max`, both included. */
export function drawInteger(min: bigint, max: bigint): bigint {
  // 128 random bits for a seed of 64: the remainder favours no seed noticeably.
  const [high = 0n, low = 0n] = crypto.getRandomValues(new BigUint64Array(2));
  return max <= min ? min : min + (((high << 64n) | low) % (max - min + 1n));
}
