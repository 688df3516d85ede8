/** Finds runs and their outputs. */

import { findLabel, formatValue, listChanges, shortenPath } from "../format";
import type { Field, Item, Run } from "../session/protocol";
import type { Session } from "../session/session";

/** Characters of a value that differs. */
const MAX_VALUE = 60;

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
  return Object.entries(seeds).filter(([name, seed]) => seed !== formatDefault(name, fields));
}

/** Return the value that the workflow has for a parameter, as text. */
function formatDefault(name: string, fields: readonly Field[]): string {
  const initial = fields.find((field) => field.name === name)?.default ?? null;
  return initial === null ? "as in the workflow" : shortenPath(formatValue(initial));
}

export interface Caption {
  /** The values that differ from the run before it, or from the workflow. */
  differing: [string, string][];
  seeds: [string, string][];
}

/** Find what distinguishes a run from the one before it. */
export function buildCaption(run: Run, previous: Run | undefined, fields: readonly Field[]): Caption {
  const fixed = Object.keys(run.seeds).filter((name) => run.seeds[name] === formatDefault(name, fields));
  const differences = listDifferences(run, previous, fields);
  const relabel = ([name, value]: [string, string]): [string, string] => [findLabel(name, fields), value];
  return {
    differing: differences.filter(([name]) => !(name in run.seeds)).map(relabel),
    seeds: differences.filter(([name]) => name in run.seeds && (previous || !fixed.includes(name))).map(relabel),
  };
}

/** Describe on one line how a run differs from another. */
export function formatDifferences(run: Run, other: Run, fields: readonly Field[]): string {
  return listDifferences(run, other, fields)
    .map(([name, value]) => `${findLabel(name, fields)} ${formatValue(value, MAX_VALUE)}`)
    .join(" · ");
}

/** List the seeds and values that another run does not have: also those that are the workflow's again. */
function listDifferences(run: Run, other: Run | undefined, fields: readonly Field[]): [string, string][] {
  const [changes, others] = [listChanges(run), other ? listChanges(other) : []];
  const known = others.map(String);
  const names = changes.map(([name]) => name);
  // A run that has not got that far has no values.
  const again = run.status === "completed" ? others.filter(([name]) => !names.includes(name)) : [];
  return [
    ...changes.filter((change) => !known.includes(String(change))),
    ...again.map(([name]): [string, string] => [name, formatDefault(name, fields)]),
  ];
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
