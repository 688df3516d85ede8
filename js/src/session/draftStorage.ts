/** Keeps drafts in the browser's storage, by notebook and workflow, within a bound. */

import type { Strokes } from "../masks/strokes";
import { isEqual, isRecord, type Value } from "./protocol";
import { readStored, writeStored } from "./storage";

/** What a form keeps beside its kernel. */
export interface Draft {
  /** Values that were typed and not run yet. */
  values: Record<string, Value>;
  /** Values that were typed and run. */
  ran: Record<string, Value>;
  /** The seeds that are incremented after each run; null if the workflow increments the same. */
  counting: string[] | null;
  /** The strokes of masks by field, if there are any. */
  masks?: Record<string, Strokes>;
}

export const EMPTY_DRAFT: Draft = { values: {}, ran: {}, counting: null };

const STORAGE_KEY = "comfykit-jupyter";
/** Characters of all drafts together; the oldest are dropped first. */
const MAX_LENGTH = 200_000;

/** Read the draft stored under a key. */
export function readDraft(key: string): Draft {
  const draft = readAll()[key];
  const { values, ran, counting, masks } = isRecord(draft) ? draft : {};
  return {
    values: isRecord(values) ? (values as Draft["values"]) : {},
    ran: isRecord(ran) ? (ran as Draft["ran"]) : {},
    counting: Array.isArray(counting) ? counting.map(String) : null,
    ...(isRecord(masks) && { masks: readMasks(masks) }),
  };
}

/** Store a draft under a key; an empty draft removes the key. */
export function writeDraft(key: string, draft: Draft = EMPTY_DRAFT): void {
  const drafts = readAll();
  // Removed first, so that the newest draft is the last property.
  delete drafts[key];
  if (!isEqual(draft, EMPTY_DRAFT)) drafts[key] = draft;
  let text = JSON.stringify(drafts);
  for (const oldest of Object.keys(drafts)) {
    if (text.length <= MAX_LENGTH) break;
    delete drafts[oldest];
    text = JSON.stringify(drafts);
  }
  writeStored(STORAGE_KEY, text);
}

function readAll(): Record<string, unknown> {
  try {
    const drafts: unknown = JSON.parse(readStored(STORAGE_KEY));
    return isRecord(drafts) ? drafts : {};
  } catch {
    return {};
  }
}

/** Return the valid strokes. */
function readMasks(masks: Record<string, unknown>): Record<string, Strokes> {
  const found: Record<string, Strokes> = {};
  for (const [name, strokes] of Object.entries(masks)) if (isStrokes(strokes)) found[name] = strokes;
  return found;
}

/** Return whether a value is the strokes of a mask: a browser's storage may hold anything. */
function isStrokes(value: unknown): value is Strokes {
  if (!isRecord(value) || !Array.isArray(value.steps) || !Array.isArray(value.undone)) return false;
  const { width, height, steps, undone } = value;
  const isStep = (step: unknown) =>
    step === "invert" ||
    step === "clear" ||
    (isRecord(step) && Number.isFinite(step.size) && Array.isArray(step.points) && step.points.every(Number.isFinite));
  return Number(width) > 0 && Number(height) > 0 && [...steps, ...undone].every(isStep);
}
