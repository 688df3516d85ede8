/** Computes the size of an image from its aspect ratio and area. */

import { clamp } from "../number";
import type { Field } from "../session/protocol";

/** The presets in landscape orientation. */
const RATIOS = [
  [1, 1],
  [4, 3],
  [3, 2],
  [16, 9],
] as const;

/** Pixels: models of images like multiples of these, so a size that is one stays one if the ratio allows it. */
const GRIDS = [64, 32, 16];
/** How far a rounded size may differ from the ratio that it was computed for. */
const TOLERANCE = 0.06;

/** Return the names of the presets in the orientation of a size, such as `16:9` or `9:16`. */
export function listAspects(width: number, height: number): string[] {
  return RATIOS.map(([long, short]) => (height > width ? `${short}:${long}` : `${long}:${short}`));
}

/** Return the preset that a size has, or an empty text if it has none of them. */
export function findAspect(width: number, height: number): string {
  const getDifference = (name: string) => Math.abs(width / height / toRatio(name) - 1);
  const [nearest = ""] = listAspects(width, height).sort((left, right) => getDifference(left) - getDifference(right));
  return getDifference(nearest) <= TOLERANCE ? nearest : "";
}

/** Return the size with a preset's ratio and the same area, on the grid of both fields and within their bounds. */
export function resize(
  aspect: string,
  [width, height]: readonly [number, number],
  [widthField, heightField]: readonly [Field, Field],
): [number, number] {
  const ratio = toRatio(aspect);
  const round = (pixels: number, { min, max, step }: Field, grid: number) => {
    const unit = grid || Math.max(1, Number(step) || 1);
    const rounded = Math.max(unit, Math.round(pixels / unit) * unit);
    return clamp(rounded, min === null ? null : Number(min), max === null ? null : Number(max));
  };
  const compute = (grid: number): [number, number] => [
    round(Math.sqrt(width * height * ratio), widthField, grid),
    round(Math.sqrt((width * height) / ratio), heightField, grid),
  ];
  const fitting = GRIDS.filter((grid) => width % grid === 0 && height % grid === 0).map(compute);
  return fitting.find((size) => findAspect(...size) === aspect) ?? compute(0);
}

function toRatio(aspect: string): number {
  const [width = 1, height = 1] = aspect.split(":").map(Number);
  return width / height;
}
