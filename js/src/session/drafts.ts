/** Saves what is typed in a form, and restores it when the form is created again. */

import { type Masks, splitMasked } from "../masks/masks";
import { type Draft, EMPTY_DRAFT, readDraft, writeDraft } from "./draftStorage";
import { type Field, isEqual, type Traits, type Value } from "./protocol";
import type { Seeds } from "./seeds";
import type { Values } from "./values";

/** The form whose draft is kept. */
interface DraftForm {
  readonly values: Values;
  readonly masks: Masks;
  readonly seeds: Seeds;
  /** What distinguishes this form: its notebook and its workflow. Empty if drafts are not kept. */
  readonly draftKey: string;
  get(trait: "fields"): Traits["fields"];
}

/** The draft of one form. */
export class Drafts {
  /** The names of the restored values, until they are run. */
  restored: string[] = [];
  readonly #form: DraftForm;
  /** The key of the current draft; empty until a view asks for it. */
  #key = "";
  #saved: Draft = EMPTY_DRAFT;
  /** The values of the last run that differ from the workflow's own. */
  #ran: Draft["ran"] = {};

  constructor(form: DraftForm) {
    this.#form = form;
  }

  /**
   * Restore the values that were typed, unless the kernel has other values for them.
   *
   * A kernel that has found the last run has its values, which are no reason to drop what was typed after it.
   */
  restore(): void {
    const key = this.#form.draftKey;
    if (!key || key === this.#key) return;
    this.#key = key;
    const { incrementing } = this.#form.seeds;
    const draft = readDraft(key);
    this.#ran = draft.ran;
    this.#form.masks.restore(draft.masks ?? {});
    if (draft.counting) {
      incrementing.clear();
      for (const name of draft.counting) incrementing.add(name);
    }
    for (const field of this.#form.get("fields")) this.#restoreValue(field, draft);
  }

  #restoreValue({ name, default: initial }: Field, draft: Draft): void {
    const { values, masks, seeds } = this.#form;
    const value = draft.values[name] ?? draft.ran[name];
    const current = values.get(name) ?? initial ?? null;
    // The image may be there already, for example if the cell gives it.
    if (!masks.sendAgain(name, current)) {
      const isOwn = isEqual(current, initial ?? null) || isEqual(current, draft.ran[name]);
      if (value === undefined || !isOwn || isEqual(value, current)) return;
      const { image, mask } = splitMasked(value);
      values.set(name, mask ? image : value);
      if (mask && !masks.sendAgain(name, image)) masks.reportLost(name);
    }
    if (!(name in draft.values)) values.edited.delete(name);
    else if (!seeds.incrementing.has(name)) this.restored.push(name);
  }

  /** Restore the draft of another workflow, if a view has restored one before. */
  handleKeyChange(): void {
    if (this.#key) this.restore();
  }

  /** Return what the draft keeps of a run: the values that were set here, for it or for an earlier run. */
  findRan(edited: ReadonlySet<string>): Draft["ran"] {
    return this.#findChanged((name) => edited.has(name) || name in this.#ran);
  }

  /** Keep the values of a run; none is waiting to be run any more. */
  handleRun(ran: Draft["ran"]): void {
    this.restored = [];
    this.#ran = ran;
  }

  /** Save the values that were set here and differ from the workflow's own. */
  save(): void {
    if (!this.#key) return;
    const { values, seeds } = this.#form;
    const { incrementing } = seeds;
    const isOfWorkflow = this.#form
      .get("fields")
      .every(({ name, seed_mode }) => incrementing.has(name) === (seed_mode === "increment"));
    const draft: Draft = {
      values: this.#findChanged((name) => values.edited.has(name)),
      ran: this.#ran,
      counting: isOfWorkflow ? null : [...incrementing],
      ...this.#form.masks.toDraft((name) => values.get(name)),
    };
    if (isEqual(draft, this.#saved)) return;
    this.#saved = draft;
    writeDraft(this.#key, draft);
  }

  /** Find the values that differ from the workflow's own. */
  #findChanged(isWanted: (name: string) => boolean): Draft["values"] {
    const changed: Draft["values"] = {};
    for (const { name, default: initial } of this.#form.get("fields")) {
      const value: Value | undefined = isWanted(name) ? this.#form.values.get(name) : undefined;
      if (value !== undefined && !isEqual(value, initial)) changed[name] = value;
    }
    return changed;
  }

  /** Move the draft along when the notebook is renamed. */
  move(): void {
    if (!this.#key) return;
    writeDraft(this.#key);
    this.#key = this.#form.draftKey;
    writeDraft(this.#key, this.#saved);
  }
}
