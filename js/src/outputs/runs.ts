/** Finds runs and their outputs. */

import type { Item, Run } from "../session/protocol";
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

/** Find the run on the stage, if it has ended. */
export function findStagedRun(session: Session): Run | undefined {
  if (session.active) return undefined;
  const runs = session.get("runs");
  const id = session.get("progress").prompt_id;
  const newest = !id || runs[0]?.status === session.get("status") ? runs[0] : undefined;
  return runs.find((run) => run.id === id) ?? newest;
}
