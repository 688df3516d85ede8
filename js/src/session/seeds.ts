/** The seeds of a form that are incremented after each run. */

import { toInteger, toWire } from "../number";
import type { Traits } from "./protocol";
import type { Values } from "./values";

/** The form that has the seeds. */
interface SeedForm {
  readonly values: Values;
  get(trait: "fields"): Traits["fields"];
}

export class Seeds {
  /** The names of the seeds that are incremented. */
  readonly incrementing = new Set<string>();
  readonly #form: SeedForm;
  readonly #onChange: () => void;
  /** The seeds whose modes were taken from the workflow. */
  readonly #seen = new Set<string>();

  constructor(form: SeedForm, onChange: () => void) {
    this.#form = form;
    this.#onChange = onChange;
  }

  /** Set whether a seed is incremented after each run. */
  setIncrementing(name: string, on: boolean): void {
    if (on) this.incrementing.add(name);
    else this.incrementing.delete(name);
    this.#onChange();
  }

  /** Increment the seeds that the workflow increments, from the first time that their fields are known. */
  takeModes(): void {
    for (const { name, seed_mode } of this.#form.get("fields")) {
      if (seed_mode !== "increment" || this.#seen.has(name)) continue;
      this.#seen.add(name);
      this.incrementing.add(name);
    }
  }

  /** Add the number of runs to each incrementing seed; past its largest value it starts again at its smallest. */
  increment(runCount: number): void {
    const { values } = this.#form;
    for (const { name, kind, min, max } of this.#form.get("fields")) {
      const seed = kind === "seed" && this.incrementing.has(name) ? toInteger(values.get(name)) : null;
      if (seed === null) continue;
      const next = seed + BigInt(runCount);
      values.set(name, toWire(next > (toInteger(max) ?? next) ? (toInteger(min) ?? 0n) : next));
    }
  }
}
