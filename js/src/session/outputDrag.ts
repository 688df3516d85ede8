/** Drags an output of the gallery onto a media field, which gets it as its input. */

import type { Field, Item, Run } from "./protocol";
import type { Session } from "./session";

/** The type of an output among the data of a drag. */
const DRAG_TYPE = "application/x-comfykit-output";

/** Attach an output to a drag that starts. */
export function attachOutput(event: DragEvent, run: Run, item: Item): void {
  event.dataTransfer?.setData(DRAG_TYPE, JSON.stringify([run.id, item.key, item.kind]));
}

/** Use a dropped output as input of the first field that accepts it; return whether an output was dropped. */
export function acceptOutput(session: Session, event: DragEvent, fields: readonly Field[]): boolean {
  const data = event.dataTransfer?.getData(DRAG_TYPE);
  if (!data) return false;
  const [run, key, kind] = JSON.parse(data);
  const [field] = findMediaFields(kind, fields);
  if (field) void session.requestOrNotify("use", { run, key, name: field.name });
  return true;
}

/** Find the fields that accept media of a kind: fields of the same kind, else fields for any file. */
export function findMediaFields(kind: string | undefined, fields: readonly Field[]): Field[] {
  const matching = fields.filter((field) => field.kind === kind);
  return matching.length > 0 ? matching : fields.filter((field) => field.kind === "file");
}
