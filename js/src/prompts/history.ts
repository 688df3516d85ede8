/** Recalls the earlier texts of a field. Texts that were typed here are among them, so that none is lost. */

/** Texts typed here that are kept. */
const MAX_TYPED = 20;

/** Where the user is among the texts of one field. */
export class PromptHistory {
  #typed: string[] = [];
  #texts: string[] = [];
  #at = 0;

  /** Start at the text that was typed. The earlier ones follow, the newest first. */
  start(typed: string, earlier: readonly string[]): void {
    this.#typed = [...new Set([typed, ...this.#typed])].slice(0, MAX_TYPED);
    this.#texts = [...new Set([...this.#typed, ...earlier])].filter((text, index) => index === 0 || text.trim());
    this.#at = 0;
  }

  /** Go to an older text, or with -1 to a newer one; return undefined if there is none. */
  move(by: number): string | undefined {
    const text = this.#texts[this.#at + by];
    if (text !== undefined) this.#at += by;
    return text;
  }

  /** Return whether a text is the recalled one, unchanged. */
  isAt(text: string): boolean {
    return this.#at > 0 && this.#texts[this.#at] === text;
  }

  /** Where the user is, in words; empty at the typed text. */
  get place(): string {
    return this.#at > 0 ? `Earlier text ${this.#at} of ${this.#texts.length - 1}. ↓ goes back.` : "";
  }
}
