/** Which views of a model show its stage: previews of other forms go first while none does. */

export class Sight {
  readonly #views = new Map<object, boolean>();
  readonly #onChange: (visible: boolean) => void;

  /** `onChange` gets whether any view shows its stage, each time that this changes, and once at the first view. */
  constructor(onChange: (visible: boolean) => void) {
    this.#onChange = onChange;
  }

  /** Note whether a view shows its stage. */
  set(view: object, visible: boolean): void {
    const before = this.visible;
    this.#views.set(view, visible);
    if (before !== this.visible || this.#views.size === 1) this.#onChange(this.visible);
  }

  /** Forget a view that is gone. */
  remove(view: object): void {
    const before = this.visible;
    this.#views.delete(view);
    if (before && !this.visible) this.#onChange(false);
  }

  /** Whether any view shows its stage. */
  get visible(): boolean {
    return [...this.#views.values()].some(Boolean);
  }

  /** Whether no view does, as far as is known. */
  get hidden(): boolean {
    return this.#views.size > 0 && !this.visible;
  }
}
