/** Arranges the fields of a form: blocks of one heading, and lines of one field or of a pair. */

import { getLabel } from "../format";
import type { Field } from "../session/protocol";

/** A field on its own line, or two that belong together. */
export type Line = readonly [Field] | readonly [Field, Field];

/** The lines under one heading. Fields without a heading that follow each other are a block as well. */
export interface Block {
  heading: string;
  lines: Line[];
}

/** The fields that share a line, in the order in which they stand there. */
const PAIRS = [
  ["width", "height"],
  ["steps", "cfg"],
] as const;
const PAIRED: readonly string[] = PAIRS.flat();

/** Arrange fields in blocks. All fields of a heading are in one block, at the place of the first. */
export function arrangeFields(fields: readonly Field[]): Block[] {
  const blocks: { heading: string; fields: Field[] }[] = [];
  for (const field of fields) {
    const heading = field.group ?? "";
    const last = blocks.at(-1);
    const block = heading ? blocks.find((each) => each.heading === heading) : last?.heading === "" ? last : undefined;
    if (block) block.fields.push(field);
    else blocks.push({ heading, fields: [field] });
  }
  return blocks.map(({ heading, fields }) => ({
    heading: isRepeated(heading, fields) ? "" : heading,
    lines: pairFields(fields),
  }));
}

/** Return whether a heading only repeats the label of its one field. */
function isRepeated(heading: string, [field, ...others]: readonly Field[]): boolean {
  return others.length === 0 && !!field && getLabel(field) === heading;
}

/** Return whether a line holds the size of an image. */
export function isSize([first]: Line): boolean {
  return getRole(first) === "width";
}

function pairFields(fields: readonly Field[]): Line[] {
  const lines: Line[] = [];
  for (let index = 0; index < fields.length; index++) {
    const [field, next] = [fields[index], fields[index + 1]];
    if (!field) continue;
    const pair = next && orderPair(field, next);
    lines.push(pair || [field]);
    if (pair) index++;
  }
  return lines;
}

/** Return two fields in the order of their pair, or null if they are not a pair. */
function orderPair(left: Field, right: Field): Line | null {
  if (!isNumeric(left) || !isNumeric(right)) return null;
  const roles = [getRole(left), getRole(right)];
  for (const pair of PAIRS) {
    if (roles[0] === pair[0] && roles[1] === pair[1]) return [left, right];
    if (roles[0] === pair[1] && roles[1] === pair[0]) return [right, left];
  }
  return null;
}

function isNumeric({ kind }: Field): boolean {
  return kind === "integer" || kind === "number";
}

/**
 * Return what a field is for: what its label says, else the name of its input.
 *
 * The input of a node that only holds a value is called `value`, and authors mislabel inputs.
 */
function getRole(field: Field): string {
  const label = getLabel(field).toLowerCase();
  return PAIRED.includes(label) ? label : ((field.address || field.name).split(".").at(-1) ?? "");
}
