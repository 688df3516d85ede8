/**
 * What the form shows: the kernel's values and, over them, what was typed and is not settled yet.
 *
 * A value that comes from the kernel is ignored while the newest `set` of its name has no answer; a refused one stays in
 * the form, with the reason, until it is changed here or in the kernel.
 */

import { type Channel, messageOf, same, type Value } from "./protocol";

type DraftState = "typed" | "sent" | "accepted" | "refused";

interface Draft {
  value: Value;
  message: { name: string; value?: Value; reset?: true };
  state: DraftState;
  /** The kernel's value when the draft was sent. */
  before: Value | undefined;
  error?: string;
  timer?: ReturnType<typeof setTimeout>;
}

/** Milliseconds in which the trait follows an accepted value. */
const TRAIT_FOLLOWS = 500;

export class Values {
  /** The names of what was set here. */
  readonly touched = new Set<string>();
  readonly #channel: Channel;
  readonly #kernel: () => Record<string, Value>;
  readonly #changed: () => void;
  readonly #drafts = new Map<string, Draft>();

  constructor(channel: Channel, kernel: () => Record<string, Value>, changed: () => void) {
    this.#channel = channel;
    this.#kernel = kernel;
    this.#changed = changed;
  }

  /** The value to show; `undefined` when there is none. */
  get(name: string): Value | undefined {
    const draft = this.#drafts.get(name);
    return draft ? draft.value : this.#kernel()[name];
  }

  /** Why the kernel refused the value that is shown. */
  refusal(name: string): string | undefined {
    return this.#drafts.get(name)?.error;
  }

  /** Shows the value now and sends it after `delay` milliseconds, if no newer one comes. */
  set(name: string, value: Value, delay = 0): void {
    this.#replace(name, value, { name, value }, delay);
  }

  /** Goes back to the workflow's own value. */
  reset(name: string, value: Value): void {
    this.#replace(name, value, { name, reset: true }, 0);
  }

  /** Sends at once what still waits to be sent. */
  flush(): void {
    for (const [name, draft] of this.#drafts) if (draft.state === "typed") this.#send(name, draft);
  }

  /** To be called when the kernel's values have changed. */
  follow(): void {
    for (const [name, draft] of this.#drafts) {
      const settled = draft.state === "accepted" || draft.state === "refused";
      if (settled && !same(this.#kernel()[name], draft.before)) this.#drop(name, draft);
    }
  }

  destroy(): void {
    for (const draft of this.#drafts.values()) clearTimeout(draft.timer);
    this.#drafts.clear();
  }

  #replace(name: string, value: Value, message: Draft["message"], delay: number): void {
    clearTimeout(this.#drafts.get(name)?.timer);
    const draft: Draft = { value, message, state: "typed", before: undefined };
    this.#drafts.set(name, draft);
    this.touched.add(name);
    if (delay > 0) draft.timer = setTimeout(() => this.#send(name, draft), delay);
    else this.#send(name, draft);
    this.#changed();
  }

  #send(name: string, draft: Draft): void {
    clearTimeout(draft.timer);
    draft.state = "sent";
    draft.before = this.#kernel()[name];
    const newest = () => this.#drafts.get(name) === draft;
    this.#channel.request("set", { ...draft.message }).then(
      () => newest() && this.#accept(name, draft),
      (error: unknown) => newest() && this.#refuse(draft, messageOf(error)),
    );
  }

  #accept(name: string, draft: Draft): void {
    const now = this.#kernel()[name];
    if (!same(now, draft.before) || same(now, draft.value)) {
      this.#drop(name, draft);
    } else {
      draft.state = "accepted";
      draft.timer = setTimeout(() => {
        this.#drop(name, draft);
        this.#changed();
      }, TRAIT_FOLLOWS);
    }
    this.#changed();
  }

  #refuse(draft: Draft, message: string): void {
    draft.state = "refused";
    draft.error = message;
    this.#changed();
  }

  #drop(name: string, draft: Draft): void {
    clearTimeout(draft.timer);
    if (this.#drafts.get(name) === draft) this.#drafts.delete(name);
  }
}
