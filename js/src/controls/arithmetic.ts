/**
 * Evaluates arithmetic that is typed into a number input, such as `512*1.5`.
 *
 * It works on exact fractions, so that integers of any size stay exact. Nothing is evaluated as code.
 */

/** An exact fraction; the denominator `d` is positive. */
interface Fraction {
  readonly n: bigint;
  readonly d: bigint;
}

const MAX_TEXT = 200;
const MAX_EXPONENT = 400;
/** Digits after the point that a result is converted with: more than a double holds. */
const PRECISION = 25;
/** A number or any other single character; the parser rejects characters that it does not expect. */
const TOKEN = /(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?|\S/gi;

/**
 * Evaluate numbers, `+ - * /` and parentheses. Return null for anything else, and for a division by 0.
 *
 * @example evaluate("(512 + 64) * 1.5") // { n: 8640n, d: 10n }
 */
export function evaluate(text: string): Fraction | null {
  const plain = text.replace(/×/g, "*").replace(/÷/g, "/").replace(/−/g, "-");
  const tokens: string[] = (text.length <= MAX_TEXT && plain.match(TOKEN)) || [];
  let position = 0;

  const parseChain = (operators: string[], parsePart: () => Fraction | null) => () => {
    let left = parsePart();
    while (left && operators.includes(tokens[position] ?? "")) {
      const operator = tokens[position++];
      const right = parsePart();
      left = right && applyOperator(operator, left, right);
    }
    return left;
  };

  function parseSigned(): Fraction | null {
    const token = tokens[position++];
    if (token === "+") return parseSigned();
    if (token === "-") {
      const value = parseSigned();
      return value && { n: -value.n, d: value.d };
    }
    if (token !== "(") return parseLiteral(token);
    const value = parseSum();
    return tokens[position++] === ")" ? value : null;
  }

  const parseSum = parseChain(["+", "-"], parseChain(["*", "/"], parseSigned));
  const value = parseSum();
  return position === tokens.length ? value : null;
}

/** Parse a text as an integer, exact at any size; a fraction is rounded to the nearest. Return null if it is not a number. */
export function parseInteger(text: string): bigint | null {
  const value = evaluate(text);
  if (!value) return null;
  const doubled = 2n * value.n + value.d;
  const quotient = doubled / (2n * value.d);
  // Division of bigints rounds towards zero; rounding to the nearest needs the floor.
  return doubled < 0n && quotient * 2n * value.d !== doubled ? quotient - 1n : quotient;
}

/** Parse a text as a finite number. Return null if it is not one. */
export function parseNumber(text: string): number | null {
  const value = evaluate(text);
  if (!value) return null;
  const scale = PRECISION + Math.max(0, value.d.toString().length - value.n.toString().length);
  const number = Number(`${(value.n * 10n ** BigInt(scale)) / value.d}e-${scale}`);
  return Number.isFinite(number) ? number : null;
}

function parseLiteral(token = ""): Fraction | null {
  const match = /^(?=\.?\d)(\d*)\.?(\d*)(?:e(.+))?$/i.exec(token);
  if (!match) return null;
  const [, whole = "", decimals = "", power = "0"] = match;
  const exponent = Number(power) - decimals.length;
  if (Math.abs(exponent) > MAX_EXPONENT) return null;
  const digits = BigInt(whole + decimals);
  const scale = 10n ** BigInt(Math.abs(exponent));
  return exponent < 0 ? { n: digits, d: scale } : { n: digits * scale, d: 1n };
}

function applyOperator(operator: string | undefined, left: Fraction, right: Fraction): Fraction | null {
  if (operator === "*") return { n: left.n * right.n, d: left.d * right.d };
  if (operator !== "/") {
    const term = right.n * left.d;
    return { n: left.n * right.d + (operator === "+" ? term : -term), d: left.d * right.d };
  }
  if (right.n === 0n) return null;
  const sign = right.n < 0n ? -1n : 1n;
  return { n: left.n * right.d * sign, d: left.d * right.n * sign };
}
