/**
 * Numbers as a form needs them: integers exact at any size, and what a person types understood as arithmetic (`512*1.5`).
 * Arithmetic is done on exact fractions; nothing is evaluated as code.
 */

/** A number as it crosses to the kernel: integers past 2^53 - 1 are strings. */
export type NumberLike = number | string;

/** An exact fraction; `d` is positive. */
interface Fraction {
  readonly n: bigint;
  readonly d: bigint;
}

const MAX_TEXT = 200;
const MAX_EXPONENT = 400;
/** A number, or any other character: what is no operator is found out when its turn comes. */
const TOKEN = /(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?|\S/gi;

function literal(token = ""): Fraction | null {
  const match = /^(?=\.?\d)(\d*)\.?(\d*)(?:e(.+))?$/i.exec(token);
  if (!match) return null;
  const [, whole = "", part = "", power = "0"] = match;
  const exponent = Number(power) - part.length;
  if (Math.abs(exponent) > MAX_EXPONENT) return null;
  const digits = BigInt(whole + part);
  const scale = 10n ** BigInt(Math.abs(exponent));
  return exponent < 0 ? { n: digits, d: scale } : { n: digits * scale, d: 1n };
}

function combine(operator: string | undefined, left: Fraction, right: Fraction): Fraction | null {
  if (operator === "*") return { n: left.n * right.n, d: left.d * right.d };
  if (operator !== "/") {
    const added = right.n * left.d;
    return { n: left.n * right.d + (operator === "+" ? added : -added), d: left.d * right.d };
  }
  if (right.n === 0n) return null;
  const sign = right.n < 0n ? -1n : 1n;
  return { n: left.n * right.d * sign, d: left.d * right.n * sign };
}

/**
 * The value of an arithmetic text: numbers, `+ - * /`, parentheses. Null when it is not one (also for a division by 0).
 *
 * @example evaluate("(512 + 64) * 1.5")  // { n: 8640n, d: 10n }
 */
export function evaluate(text: string): Fraction | null {
  const plain = text.replace(/×/g, "*").replace(/÷/g, "/").replace(/−/g, "-");
  const input: string[] = (text.length <= MAX_TEXT && plain.match(TOKEN)) || [];
  let at = 0;

  const joined = (operators: string[], part: () => Fraction | null) => () => {
    let left = part();
    while (left && operators.includes(input[at] ?? "")) {
      const operator = input[at++];
      const right = part();
      left = right && combine(operator, left, right);
    }
    return left;
  };

  function signed(): Fraction | null {
    const token = input[at++];
    if (token === "+") return signed();
    if (token === "-") {
      const value = signed();
      return value && { n: -value.n, d: value.d };
    }
    if (token !== "(") return literal(token);
    const value = sum();
    return input[at++] === ")" ? value : null;
  }

  const sum = joined(["+", "-"], joined(["*", "/"], signed));
  const value = sum();
  return at === input.length ? value : null;
}

/** The text as an integer, exact at any size; a fraction is rounded to the nearest. Null when it is no number. */
export function parseInteger(text: string): bigint | null {
  const value = evaluate(text);
  if (!value) return null;
  const doubled = 2n * value.n + value.d;
  const floor = doubled / (2n * value.d);
  return doubled < 0n && floor * 2n * value.d !== doubled ? floor - 1n : floor;
}

/** The text as a number. Null when it is no number or not a finite one. */
export function parseNumber(text: string): number | null {
  const value = evaluate(text);
  if (!value) return null;
  const scale = 25 + Math.max(0, value.d.toString().length - value.n.toString().length);
  const number = Number(`${(value.n * 10n ** BigInt(scale)) / value.d}e-${scale}`);
  return Number.isFinite(number) ? number : null;
}

/** A bound, default or value of an integer field as a bigint; null when there is none or it is no number. */
export function toInteger(value: unknown): bigint | null {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isFinite(value) ? BigInt(Math.round(value)) : null;
  return typeof value === "string" && /^[+-]?\d+$/.test(value) ? BigInt(value) : null;
}

/** An integer as it crosses to the kernel. */
export function wire(value: bigint): NumberLike {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

/** The value inside its bounds; a bound that is null does not count. */
export function clamp<T extends number | bigint>(value: T, min: T | null, max: T | null): T {
  if (min !== null && value < min) return min;
  if (max !== null && value > max) return max;
  return value;
}

function decimals(value: number): number {
  const [digits = "", power = "0"] = value.toString().split("e");
  return Math.max(0, (digits.split(".")[1]?.length ?? 0) - Number(power));
}

/** `value` and `count` steps more, without the noise of binary fractions: 0.1 and two steps of 0.1 are 0.3. */
export function stepNumber(value: number, step: number, count: number): number {
  const digits = Math.min(100, Math.max(decimals(value), decimals(step)));
  return Number((value + step * count).toFixed(digits));
}

/** An integer drawn from `min` to `max`, both included, exact at any size. */
export function draw(min: bigint, max: bigint): bigint {
  // 128 bits: what is left over of them makes no seed of 64 likelier than another.
  const [high = 0n, low = 0n] = crypto.getRandomValues(new BigUint64Array(2));
  return max <= min ? min : min + (((high << 64n) | low) % (max - min + 1n));
}
