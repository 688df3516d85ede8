/**
 * Renders strokes at the image's full size, as an 8-bit grey PNG: 255 where the mask is set.
 *
 * Each row is computed from the strokes, since a canvas of that size takes hundreds of megabytes, and some browsers
 * change what is read from one.
 */

import { findSteps, type Stroke, type Strokes } from "./strokes";

/** The level of pixels that keep what the base has. */
export const UNTOUCHED = 128;
/** Bytes that are computed before the page gets its turn. */
const CHUNK = 1 << 19;
/** Milliseconds of work before the page gets its turn. */
const SLICE = 6;

interface Segment {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

interface Line {
  level: number;
  radius: number;
  top: number;
  bottom: number;
  segments: Segment[];
}

/** Return the PNG of a mask, and whether the base is inverted where it is untouched. */
export async function renderMask(strokes: Strokes): Promise<{ data: Uint8Array<ArrayBuffer>; invert: boolean }> {
  const { width, height } = strokes;
  const { steps, base } = findSteps(strokes);
  const lines = steps.map((step) => (typeof step === "string" ? null : toLine(step)));
  const deflate = new CompressionStream("deflate");
  const packed = new Response(deflate.readable).arrayBuffer();
  const writer = deflate.writable.getWriter();
  const rows = Math.max(1, Math.floor(CHUNK / (width + 1)));
  let last = new Uint8Array(width);
  let row = new Uint8Array(width);
  let since = performance.now();
  for (let y = 0, chunk = new Uint8Array(); y < height; y++) {
    const at = (y % rows) * (width + 1);
    if (at === 0) chunk = new Uint8Array(Math.min(rows, height - y) * (width + 1));
    fillRow(row.fill(base ? UNTOUCHED : 0), lines, y + 0.5);
    chunk[at] = 2; // The difference from the row above: mostly zeros.
    for (let x = 0; x < width; x++) chunk[at + 1 + x] = (row[x] as number) - (last[x] as number);
    [last, row] = [row, last];
    if (at + width + 1 === chunk.length) await writer.write(chunk);
    if (performance.now() - since > SLICE) {
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
  }
  await writer.close();
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // Bits of a pixel; grey, and no interlacing, are zeros.
  const parts = [
    new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]),
    toChunk("IHDR", new Uint8Array(header.buffer)),
    toChunk("IDAT", new Uint8Array(await packed)),
    toChunk("IEND", new Uint8Array()),
  ];
  const data = new Uint8Array(await new Blob(parts).arrayBuffer());
  return { data, invert: lines.filter((line) => !line).length % 2 === 1 };
}

/** Do all steps in a row; `y` is the middle of the row. A line that is null inverts. */
function fillRow(row: Uint8Array, lines: (Line | null)[], y: number): void {
  for (const line of lines) {
    if (line) paintRow(row, line, y);
    else invertRow(row);
  }
}

function invertRow(row: Uint8Array): void {
  for (let x = 0; x < row.length; x++) if (row[x] !== UNTOUCHED) row[x] = 255 - (row[x] as number);
}

function toLine({ points, size, erase }: Stroke): Line {
  const radius = size / 2;
  const segments: Segment[] = [];
  let [top, bottom] = [Infinity, -Infinity];
  for (let at = 0; at + 1 < points.length; at += 2) {
    const from = Math.max(0, at - 2);
    const [x0 = 0, y0 = 0] = points.slice(from, from + 2);
    const [x1 = 0, y1 = 0] = points.slice(at, at + 2);
    if (at > 0 || points.length === 2) segments.push({ x0, y0, x1, y1 });
    top = Math.min(top, y1 - radius);
    bottom = Math.max(bottom, y1 + radius);
  }
  return { level: erase ? 0 : 255, radius, top, bottom, segments };
}

/** Fill what a line covers of a row; `y` is the middle of the row. */
function paintRow(row: Uint8Array, { level, radius, top, bottom, segments }: Line, y: number): void {
  if (y < top || y > bottom) return;
  for (const segment of segments) {
    if (y < Math.min(segment.y0, segment.y1) - radius || y > Math.max(segment.y0, segment.y1) + radius) continue;
    const covered = [...crossDiscs(segment, radius, y), ...crossSides(segment, radius, y)];
    const [low, high] = [Math.min(...covered), Math.max(...covered)];
    if (high >= low) row.fill(level, Math.max(0, Math.ceil(low - 0.5)), Math.max(0, Math.floor(high - 0.5) + 1));
  }
}

/** Return where a row enters and leaves the discs at both ends of a segment. */
function crossDiscs({ x0, y0, x1, y1 }: Segment, radius: number, y: number): number[] {
  const ends: [number, number][] = [
    [x0, radius * radius - (y - y0) ** 2],
    [x1, radius * radius - (y - y1) ** 2],
  ];
  return ends.flatMap(([x, square]) => (square < 0 ? [] : [x - Math.sqrt(square), x + Math.sqrt(square)]));
}

/** Return where a row crosses the two sides of the rectangle between the discs. */
function crossSides({ x0, y0, x1, y1 }: Segment, radius: number, y: number): number[] {
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (y0 === y1) return length > 0 && Math.abs(y - y0) <= radius ? [x0, x1] : [];
  const [nx, ny] = [((y1 - y0) / length) * radius, ((x0 - x1) / length) * radius];
  return [1, -1].flatMap((side) => {
    const part = (y - y0 - side * ny) / (y1 - y0);
    return part < 0 || part > 1 ? [] : [x0 + side * nx + part * (x1 - x0)];
  });
}

/** Return a chunk of a PNG, with its length and checksum. */
function toChunk(name: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const chunk = new Uint8Array(data.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  for (let at = 0; at < 4; at++) chunk[4 + at] = name.charCodeAt(at);
  chunk.set(data, 8);
  let sum = -1;
  for (let at = 4; at < data.length + 8; at++) {
    sum ^= chunk[at] as number;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  view.setUint32(data.length + 8, ~sum);
  return chunk;
}
