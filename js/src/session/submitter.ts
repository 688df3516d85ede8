/** Submits the values of a form: as one run, as several with different seeds, or as a sweep. */

import { addArticle } from "../format";
import type { Masks } from "../masks/masks";
import type { Drafts } from "./drafts";
import { type Field, isEqual, isMediaKind, type Traits, type Value } from "./protocol";
import type { Seeds } from "./seeds";
import type { Values } from "./values";

/** The form whose values are submitted. */
interface SubmittedForm {
  /** Typed texts that are not values of their fields, as error messages by name: they prevent a run. */
  readonly invalid: ReadonlyMap<string, string>;
  readonly values: Values;
  readonly masks: Masks;
  readonly drafts: Drafts;
  readonly seeds: Seeds;
  get<K extends keyof Traits>(trait: K): Traits[K];
  /** Ask the kernel; undefined means that it failed. */
  requestOrNotify(kind: string, body: Record<string, unknown>): Promise<unknown>;
  showNotice(notice: string): void;
}

export class Submitter {
  /** The number of runs that the Run button starts. */
  runCount = 1;
  readonly #form: SubmittedForm;
  readonly #onChange: () => void;
  /** The fields without a required value that prevented a run, with what to do. */
  readonly #unset = new Map<string, string>();
  /** The lists of values that were sent and are not answered yet. */
  readonly #sentLists = new Set<Traits["lists"]>();

  constructor(form: SubmittedForm, onChange: () => void) {
    this.#form = form;
    this.#onChange = onChange;
  }

  /** Give a field several values, or one again; without a name the number of runs has changed. */
  setList(name?: string, list?: string | Value[]): void {
    const sent = { [name ?? ""]: list ?? "" };
    this.#sentLists.add(sent);
    const answered = this.#form.requestOrNotify("list", { name, list, times: this.runCount });
    void answered.then(() => this.#sentLists.delete(sent));
  }

  /** Return what to do about a field that has prevented a run, because it has no value. */
  getError(name: string): string | undefined {
    return this.#unset.get(name);
  }

  /** Forget the fields that have a value by now. */
  handleValuesChange(): void {
    for (const name of this.#unset.keys()) if (!isUnset(this.#form.values.get(name))) this.#unset.delete(name);
  }

  /**
   * Submit the values of the form, `runCount` times. Several runs have different seeds.
   *
   * Without a value that is required nothing is sent: the name of the field that prevents the run is returned. With
   * several values in some fields, it is a sweep.
   */
  submit(): string | undefined {
    const { masks, values } = this.#form;
    if (masks.sending) {
      void masks.sending.then((haveArrived) => haveArrived && this.submit());
      return undefined;
    }
    const preventing = this.#reportInvalid() ?? this.#reportUnset();
    if (preventing !== undefined) return preventing;
    values.flush();
    if (this.#hasLists) void this.#form.requestOrNotify("sweep", { times: this.runCount });
    else void this.#submitRuns();
    return undefined;
  }

  /** Return the name of the first field with an invalid text, and say why. */
  #reportInvalid(): string | undefined {
    const [invalid] = this.#form.invalid;
    if (!invalid) return undefined;
    const [name, message] = invalid;
    const label = this.#form.get("fields").find((field) => field.name === name)?.label;
    this.#form.showNotice(`${label || name.replace(/^\+loras./, "")}: ${message}`);
    return name;
  }

  /** Return the name of the first field without a required value, and show the error at the field. */
  #reportUnset(): string | undefined {
    const { values } = this.#form;
    const unset = this.#form.get("fields").find((field) => isNeeded(field) && isUnset(values.get(field.name)));
    if (!unset) return undefined;
    this.#unset.set(unset.name, formatUnset(unset));
    this.#form.showNotice("");
    this.#onChange();
    return unset.name;
  }

  /** Whether fields have several values, those included that the kernel has not confirmed yet. */
  get #hasLists(): boolean {
    const lists: Traits["lists"] = Object.assign({ ...this.#form.get("lists") }, ...this.#sentLists);
    return Object.values(lists).some((list) => list.length > 0);
  }

  async #submitRuns(): Promise<void> {
    const { values, drafts, seeds } = this.#form;
    const names = [...values.edited].filter((name) => !seeds.incrementing.has(name));
    const submitted = names.map((name) => [name, values.get(name)] as const);
    const ran = drafts.findRan(new Set(names));
    const answered = this.#form.requestOrNotify("run", this.#buildOptions());
    seeds.increment(this.runCount);
    if (!(await answered)) return;
    // What was typed since then has not been run.
    for (const [name, value] of submitted) if (isEqual(values.get(name), value)) values.edited.delete(name);
    drafts.handleRun(ran);
    this.#onChange();
  }

  /** Build what several runs need: a fixed seed is the seed of the first one, and a random seed is drawn for each. */
  #buildOptions(): Record<string, unknown> {
    if (this.runCount === 1) return {};
    const seeds = this.#form.get("fields").filter(({ kind }) => kind === "seed");
    const hasFixedSeed = seeds.some(({ name }) => this.#form.values.get(name) !== "random");
    return { times: this.runCount, seed: hasFixedSeed ? "increment" : "random" };
  }
}

/** Return whether a field must get a value before a run, because the workflow has no valid one. */
function isNeeded({ required, note }: Field): boolean {
  return required || Boolean(note);
}

function isUnset(value: Value | undefined): boolean {
  return value === undefined || value === null || value === "";
}

function formatUnset({ kind, note }: Field): string {
  if (note) return note;
  return isMediaKind(kind) ? `choose ${addArticle(kind)}` : "required";
}
