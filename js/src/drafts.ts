/** What was typed in a form and not run yet, in the browser's storage: by notebook and workflow, bounded. */

import { isRecord, type Value } from "./protocol";

export interface Draft {
  values: Record<string, Value>;
  /** The seeds that go up by one after each run. */
  counting: string[];
}

const KEY = "comfykit-jupyter";
/** Characters of all drafts together; the oldest go first. */
const MOST = 200_000;

/** The draft of a form in the notebook that is open. */
export function loadDraft(form: string): Draft {
  const draft = all()[place(form)];
  const { values, counting } = isRecord(draft) ? draft : {};
  return {
    values: isRecord(values) ? (values as Draft["values"]) : {},
    counting: Array.isArray(counting) ? counting.map(String) : [],
  };
}

export function saveDraft(form: string, draft: Draft): void {
  const drafts = all();
  delete drafts[place(form)];
  // The newest stands last.
  if (Object.keys(draft.values).length + draft.counting.length > 0) drafts[place(form)] = draft;
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

function place(form: string): string {
  return `${location.pathname.replace(/^.*?\/(tree|notebooks)\//, "")}\n${form}`;
}

function all(): Record<string, unknown> {
  try {
    const drafts: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return isRecord(drafts) ? drafts : {};
  } catch {
    return {};
  }
}
