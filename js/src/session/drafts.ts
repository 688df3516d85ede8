/** Saves what is typed in a form until it is run, and restores it when the form is created again. */

import { type Draft, EMPTY_DRAFT, readDraft, writeDraft } from "./draftStorage";
import { type Field, isEqual, type Value } from "./protocol";
import type { Values } from "./values";

/** The form whose draft is kept. */
export interface DraftForm {
  readonly values: Values;
  /** The seeds that are incremented after each run. */
  readonly incrementing: Set<string>;
  getFields(): readonly Field[];
  /** Return what distinguishes this form: its notebook and its workflow. Empty if drafts are not kept. */
  getDraftKey(): string;
}

/** The draft of one form. */
export class Drafts {
  /** The names of the restored values, until they are run. */
  restored: string[] = [];
  readonly #form: DraftForm;
  /** The key of the current draft; empty until a view asks for it. */
  #key = "";
  #saved: Draft = EMPTY_DRAFT;

  constructor(form: DraftForm) {
    this.#form = form;
  }

  /** Restore the values that were typed and not run, unless the kernel has other values for them. */
  restore(): void {
    const key = this.#form.getDraftKey();
    if (!key || key === this.#key) return;
    this.#key = key;
    const { values, incrementing } = this.#form;
    const draft = readDraft(key);
    for (const name of draft.counting) incrementing.add(name);
    for (const { name, default: initial } of this.#form.getFields()) {
      const value = draft.values[name];
      if (value === undefined || !isEqual(values.get(name) ?? initial ?? null, initial ?? null)) continue;
      values.set(name, value);
      if (!incrementing.has(name)) this.restored.push(name);
    }
  }

  /** Restore the draft of another workflow, if a view has restored one before. */
  handleKeyChange(): void {
    if (this.#key) this.restore();
  }

  /** Save the values that were set here and differ from the workflow's own. */
  save(): void {
    if (!this.#key) return;
    const { values, incrementing } = this.#form;
    const draft: Draft = { values: {}, counting: [...incrementing] };
    for (const { name, default: initial } of this.#form.getFields()) {
      const value: Value | undefined = values.edited.has(name) ? values.get(name) : undefined;
      if (value !== undefined && !isEqual(value, initial)) draft.values[name] = value;
    }
    if (isEqual(draft, this.#saved)) return;
    this.#saved = draft;
    writeDraft(this.#key, draft);
  }

  /** Move the draft along when the notebook is renamed. */
  move(): void {
    if (!this.#key) return;
    writeDraft(this.#key);
    this.#key = this.#form.getDraftKey();
    writeDraft(this.#key, this.#saved);
  }
}
