import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { renderMask, UNTOUCHED } from "../../src/masks/png";
import { addStep, type Step, type Strokes, undo } from "../../src/masks/strokes";

function make(steps: Step[], base = "", width = 40, height = 30): Strokes {
  return { image: "a.png", width, height, base, sent: "", steps, undone: [] };
}

/** Return the rows of a PNG that is made as ours are. */
async function decode(strokes: Strokes): Promise<number[][]> {
  const { data } = await renderMask(strokes);
  const view = new DataView(data.buffer);
  expect([view.getUint32(16), view.getUint32(20), data[24], data[25]]).toEqual([strokes.width, strokes.height, 8, 0]);
  const length = view.getUint32(33);
  const raw = inflateSync(data.slice(41, 41 + length));
  const rows: number[][] = [];
  for (let y = 0; y < strokes.height; y++) {
    const start = y * (strokes.width + 1);
    expect(raw[start]).toBe(2);
    const row = [...raw.subarray(start + 1, start + 1 + strokes.width)];
    rows.push(row.map((value, x) => (value + (rows[y - 1]?.[x] ?? 0)) & 255));
  }
  return rows;
}

function measure(x: number, y: number, [x0 = 0, y0 = 0, x1 = x0, y1 = y0]: number[]): number {
  const square = (x1 - x0) ** 2 + (y1 - y0) ** 2;
  const part = square ? Math.max(0, Math.min(1, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / square)) : 0;
  return Math.hypot(x - x0 - part * (x1 - x0), y - y0 - part * (y1 - y0));
}

describe("a mask at full size", () => {
  it.each([
    [[12, 9, 31, 20]],
    [[31, 20, 12, 9]],
    [[5, 15, 35, 15]],
    [[20, 3, 20, 28]],
    [[10.5, 10.25]],
    [[-10, -5, 60, 50]],
  ])("is set within half a brush of the line %j", async (points) => {
    const rows = await decode(make([{ erase: false, size: 9, points }]));
    for (const [y, row] of rows.entries())
      for (const [x, level] of row.entries()) {
        const distance = measure(x + 0.5, y + 0.5, points);
        if (Math.abs(distance - 4.5) > 1e-6) expect([x, y, level]).toEqual([x, y, distance < 4.5 ? 255 : 0]);
      }
  });

  it("has the strokes in their order, inverted where asked, and nothing from before a clear", async () => {
    const dot = (erase: boolean, size = 10): Step => ({ erase, size, points: [20, 15] });
    const at = async (steps: Step[], base = "") => (await decode(make(steps, base)))[15]?.[20];
    expect(await at([dot(false), dot(true)])).toBe(0);
    expect(await at([dot(true), dot(false)])).toBe(255);
    expect(await at([dot(false), "invert"])).toBe(0);
    expect(await at(["invert", dot(true)])).toBe(0);
    expect(await at([dot(false), "clear"])).toBe(0);
    expect(await at([], "alpha")).toBe(UNTOUCHED);
    expect(await at(["clear"], "alpha")).toBe(0);
    expect((await renderMask(make(["invert"], "alpha"))).invert).toBe(true);
  });

  it("undoes and redoes steps", () => {
    const strokes = make(["invert"]);
    expect([undo(strokes), undo(strokes)]).toEqual([true, false]);
    expect(undo(strokes, true)).toBe(true);
    undo(strokes);
    addStep(strokes, "clear");
    expect([strokes.steps, undo(strokes, true)]).toEqual([["clear"], false]);
  });
});
