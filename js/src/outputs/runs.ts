/** Finds runs and their outputs. */

import { listChanges } from "../format";
import { toInteger, type WireNumber } from "../number";
import { type Field, type Item, isEqual, type Run } from "../session/protocol";
import type { Session } from "../session/session";

/** An output together with the run that made it. */
export interface RunOutput {
  run: Run;
  item: Item;
}

/** Return a key that is unique among all outputs; without an item it stands for the run's error. */
export function getOutputKey(run: Run, item: Item | null | undefined): string {
  return `${run.id}/${item?.key}`;
}

/** Return whether an output is an image or a video. */
export function isVisual(item: Item): boolean {
  return item.kind === "image" || item.kind === "video";
}

/** Find the output that represents a run: an image or video before others, a saved one before a temporary one. */
export function findMainItem({ items }: Run): Item | undefined {
  return items.find((item) => isVisual(item) && !item.temp) ?? items.find(isVisual) ?? items[0];
}

/** List the seeds of a run that were drawn or changed: those that the workflow fixes say nothing. */
export function listFreeSeeds({ seeds }: Run, fields: readonly Field[]): [string, string][] {
  const isFixed = ([name, seed]: [string, string]) => {
    const initial = fields.find((field) => field.name === name)?.default;
    return initial !== undefined && isEqual(formatInteger(initial), seed);
  };
  return Object.entries(seeds).filter((seed) => !isFixed(seed));
}

/** Return an integer of a trait as text: large ones are objects there. */
function formatInteger(value: unknown): string {
  return `${toInteger(value as WireNumber) ?? value}`;
}

/** Return the label of a parameter, as the form shows it. */
export function findLabel(name: string, fields: readonly Field[]): string {
  return fields.find((field) => field.name === name)?.label || name;
}

export interface Caption {
  /** The values that differ from the run before it, or from the workflow. */
  differing: [string, string][];
  seeds: [string, string][];
}

/** Find what distinguishes a run from the one before it. */
export function buildCaption(run: Run, previous: Run | undefined, fields: readonly Field[]): Caption {
  const known = previous ? listChanges(previous).map(String) : [];
  const isNew = (change: [string, string]) => !known.includes(String(change));
  const differing = listChanges(run).filter(([name]) => !(name in run.seeds));
  const relabel = ([name, value]: [string, string]): [string, string] => [findLabel(name, fields), value];
  return {
    differing: differing.filter(isNew).map(relabel),
    seeds: listFreeSeeds(run, fields).filter(isNew).map(relabel),
  };
}

/** Return the index of an output among others, by its run and key. */
export function findOutput(outputs: readonly RunOutput[], wanted: { run: string; key: string } | null): number {
  return outputs.findIndex(({ run, item }) => run.id === wanted?.run && item.key === wanted.key);
}

/** Find the run on the stage, if it has ended. */
export function findStagedRun(session: Session): Run | undefined {
  if (session.active) return undefined;
  const runs = session.get("runs");
  const id = session.get("progress").prompt_id;
  const newest = !id || runs[0]?.status === session.get("status") ? runs[0] : undefined;
  return runs.find((run) => run.id === id) ?? newest;
}
