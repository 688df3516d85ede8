/** Changes many values at once: loads a preset, resets all, or undoes either. */

import type { Session } from "../session/session";

/** The seeds that each change has found incrementing, by what it was. */
const modes = new WeakMap<Session, Map<string, string[]>>();

/** Ask the kernel for a change of many values; return whether it was made. Seeds get the workflow's modes. */
export async function changeMany(
  session: Session,
  kind: "preset_use" | "reset_all" | "undo",
  name = "",
): Promise<boolean> {
  const undone = session.get("undo");
  const seeds = session.get("fields").filter((field) => field.kind === "seed");
  const before = [...session.seeds.incrementing];
  session.values.flush();
  const answer = await session.requestOrNotify(kind, { name });
  if (!answer) return false;
  const known = modes.get(session) ?? new Map<string, string[]>();
  modes.set(session, known);
  const counting =
    kind === "undo"
      ? (known.get(undone) ?? before)
      : seeds.filter(({ seed_mode }) => seed_mode === "increment").map((seed) => seed.name);
  if (kind !== "undo") known.set(kind === "reset_all" ? "reset all" : `preset ${name}`, before);
  if (session.invalid.size > 0) session.generation++;
  session.invalid.clear();
  session.values.settle();
  session.drafts.restored = [];
  if (kind === "reset_all") session.values.edited.clear();
  // They are kept with what was typed, should the kernel restart.
  for (const each of (answer.names ?? []) as string[]) session.values.edited.add(each);
  for (const seed of seeds) session.seeds.setIncrementing(seed.name, counting.includes(seed.name));
  session.drafts.save();
  return true;
}
