/** Keeps drafts in the browser's storage, by notebook and workflow, within a bound. */

import { isRecord, type Value } from "./protocol";

/** Values typed in a form and not run yet. */
export interface Draft {
  values: Record<string, Value>;
  /** The seeds that are incremented after each run. */
  counting: string[];
}

export const EMPTY_DRAFT: Draft = { values: {}, counting: [] };

const STORAGE_KEY = "comfykit-jupyter";
/** Characters of all drafts together; the oldest are dropped first. */
const MAX_LENGTH = 200_000;

/** Read the draft stored under a key. */
export function readDraft(key: string): Draft {
  const draft = readAll()[key];
  const { values, counting } = isRecord(draft) ? draft : {};
  return {
    values: isRecord(values) ? (values as Draft["values"]) : {},
    counting: Array.isArray(counting) ? counting.map(String) : [],
  };
}

/** Store a draft under a key; an empty draft removes the key. */
export function writeDraft(key: string, draft: Draft = EMPTY_DRAFT): void {
  const drafts = readAll();
  // Removed first, so that the newest draft is the last property.
  delete drafts[key];
  if (Object.keys(draft.values).length + draft.counting.length > 0) drafts[key] = draft;
  let text = JSON.stringify(drafts);
  for (const oldest of Object.keys(drafts)) {
    if (text.length <= MAX_LENGTH) break;
    delete drafts[oldest];
    text = JSON.stringify(drafts);
  }
  try {
    localStorage.setItem(STORAGE_KEY, text);
  } catch {
    // A browser may forbid storage: then a draft lasts as long as the page.
  }
}

function readAll(): Record<string, unknown> {
  try {
    const drafts: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "{}");
    return isRecord(drafts) ? drafts : {};
  } catch {
    return {};
  }
}
