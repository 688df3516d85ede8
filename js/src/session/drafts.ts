/** What was typed in a form and not run yet, in the browser's storage: by notebook and workflow, bounded. */

import { isRecord, type Value } from "./protocol";

export interface Draft {
  values: Record<string, Value>;
  /** The seeds that go up by one after each run. */
  counting: string[];
}

export const NONE: Draft = { values: {}, counting: [] };

const KEY = "comfykit-jupyter";
/** Characters of all drafts together; the oldest go first. */
const MOST = 200_000;

/** The draft that is kept in a place: the notebook's path and the form's name. */
export function loadDraft(place: string): Draft {
  const draft = all()[place];
  const { values, counting } = isRecord(draft) ? draft : {};
  return {
    values: isRecord(values) ? (values as Draft["values"]) : {},
    counting: Array.isArray(counting) ? counting.map(String) : [],
  };
}

/** Keeps a draft in a place; an empty one takes away what was there. */
export function saveDraft(place: string, draft: Draft = NONE): void {
  const drafts = all();
  delete drafts[place];
  // The newest stands last.
  if (Object.keys(draft.values).length + draft.counting.length > 0) drafts[place] = draft;
  let text = JSON.stringify(drafts);
  for (const oldest of Object.keys(drafts)) {
    if (text.length <= MOST) break;
    delete drafts[oldest];
    text = JSON.stringify(drafts);
  }
  try {
    localStorage.setItem(KEY, text);
  } catch {
    // A browser that keeps nothing: what is typed lives as long as the page.
  }
}

function all(): Record<string, unknown> {
  try {
    const drafts: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return isRecord(drafts) ? drafts : {};
  } catch {
    return {};
  }
}
