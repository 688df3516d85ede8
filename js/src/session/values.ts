/**
 * The values in the form: the kernel's, overlaid with edits that the kernel has not confirmed yet.
 *
 * While the newest edit of a parameter has no answer, values from the kernel do not replace it. A rejected edit stays in
 * the form with its error until the user or the kernel changes the value.
 */

import { type Channel, getErrorMessage } from "./channel";
import { isEqual, type Value } from "./protocol";

type EditState = "typed" | "sent" | "accepted" | "rejected";

interface Edit {
  value: Value;
  message: { name: string; value?: Value; reset?: true };
  state: EditState;
  /** The kernel's value when the edit was sent. */
  before: Value | undefined;
  error?: string;
  timer?: ReturnType<typeof setTimeout>;
}

/** Milliseconds in which the trait follows an accepted value. */
const TRAIT_DELAY = 500;

/** The values of one form. */
export class Values {
  /** The names of the parameters that were set in this page and not run yet. */
  readonly edited = new Set<string>();
  readonly #channel: Channel;
  readonly #getKernelValues: () => Record<string, Value>;
  readonly #onChange: () => void;
  readonly #edits = new Map<string, Edit>();

  constructor(channel: Channel, getKernelValues: () => Record<string, Value>, onChange: () => void) {
    this.#channel = channel;
    this.#getKernelValues = getKernelValues;
    this.#onChange = onChange;
  }

  /** Return the value to show, or `undefined` if there is none. */
  get(name: string): Value | undefined {
    const edit = this.#edits.get(name);
    return edit ? edit.value : this.#getKernelValues()[name];
  }

  /** Return why the kernel rejected the value in the form. */
  getError(name: string): string | undefined {
    return this.#edits.get(name)?.error;
  }

  /** Show a value now and send it after `delay` milliseconds, unless a newer one replaces it. */
  set(name: string, value: Value, delay = 0): void {
    this.#replace(name, value, { name, value }, delay);
  }

  /** Return to the workflow's own value. */
  reset(name: string, value: Value): void {
    this.#replace(name, value, { name, reset: true }, 0);
  }

  /** Send everything that still waits for its delay. */
  flush(): void {
    for (const [name, edit] of this.#edits) if (edit.state === "typed") this.#send(name, edit);
  }

  /** Drop the edits that a change of the kernel's values has replaced. */
  handleKernelChange(): void {
    for (const [name, edit] of this.#edits) {
      const settled = edit.state === "accepted" || edit.state === "rejected";
      if (settled && !isEqual(this.#getKernelValues()[name], edit.before)) this.#drop(name, edit);
    }
  }

  /** Drop all edits that were sent: the kernel has other values by now. */
  settle(): void {
    for (const [name, edit] of this.#edits) if (edit.state !== "typed") this.#drop(name, edit);
  }

  destroy(): void {
    for (const edit of this.#edits.values()) clearTimeout(edit.timer);
    this.#edits.clear();
  }

  #replace(name: string, value: Value, message: Edit["message"], delay: number): void {
    clearTimeout(this.#edits.get(name)?.timer);
    const edit: Edit = { value, message, state: "typed", before: undefined };
    this.#edits.set(name, edit);
    this.edited.add(name);
    if (delay > 0) edit.timer = setTimeout(() => this.#send(name, edit), delay);
    else this.#send(name, edit);
    this.#onChange();
  }

  #send(name: string, edit: Edit): void {
    clearTimeout(edit.timer);
    edit.state = "sent";
    edit.before = this.#getKernelValues()[name];
    const isNewest = () => this.#edits.get(name) === edit;
    this.#channel.request("set", { ...edit.message }).then(
      () => isNewest() && this.#accept(name, edit),
      (error: unknown) => isNewest() && this.#reject(edit, getErrorMessage(error)),
    );
  }

  #accept(name: string, edit: Edit): void {
    const current = this.#getKernelValues()[name];
    if (!isEqual(current, edit.before) || isEqual(current, edit.value)) {
      this.#drop(name, edit);
    } else {
      // The answer may arrive before the trait does: dropping the edit now would show the old value for a moment.
      edit.state = "accepted";
      edit.timer = setTimeout(() => {
        this.#drop(name, edit);
        this.#onChange();
      }, TRAIT_DELAY);
    }
    this.#onChange();
  }

  #reject(edit: Edit, message: string): void {
    edit.state = "rejected";
    edit.error = message;
    this.#onChange();
  }

  #drop(name: string, edit: Edit): void {
    clearTimeout(edit.timer);
    if (this.#edits.get(name) === edit) this.#edits.delete(name);
  }
}
