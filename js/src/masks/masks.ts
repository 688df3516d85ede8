/** The strokes of a form's masks: kept as long as the page, and sent to the kernel as PNGs. */

import { type Channel, getErrorMessage } from "../session/channel";
import { isRecord, type Value } from "../session/protocol";
import { sendFile } from "../session/sendFile";
import { renderMask } from "./png";
import { findSteps, type Strokes } from "./strokes";

/** Stands for the mask that the image itself has. */
const ALPHA = "alpha";
/** Characters of a mask's strokes in a draft. Longer ones are not kept in it, and are lost with the page. */
const DRAFT_LENGTH = 40_000;

/** Split a value into its image and the ID of its mask; each is empty without one. */
export function splitMasked(value: Value | undefined): { image: string; mask: string } {
  if (isRecord(value)) return { image: String(value.image ?? ""), mask: String(value.mask ?? "") };
  return { image: typeof value === "string" ? value : "", mask: "" };
}

/** The masks of one form, at most one for each field. */
export class Masks {
  /** Resolves to whether all masks that are being sent have arrived, for which a run waits; null if none is. */
  sending: Promise<boolean> | null = null;
  readonly #strokes = new Map<string, Strokes>();
  readonly #channel: Channel;
  readonly #onSent: (name: string, error: string) => void;

  constructor(channel: Channel, onSent: (name: string, error: string) => void) {
    this.#channel = channel;
    this.#onSent = onSent;
  }

  /** Return the strokes of a field's mask, or new ones if its value was not painted here. */
  get(name: string, value: Value | undefined, width: number, height: number): Strokes {
    const { image, mask } = splitMasked(value);
    const known = this.#strokes.get(name);
    const isSame = known?.image === image && known.width === width && known.height === height;
    if (known && isSame && (known.sent === mask || (this.sending && !mask))) return known;
    const fresh: Strokes = { image, width, height, base: mask || ALPHA, sent: mask, steps: [], undone: [] };
    this.#strokes.set(name, fresh);
    return fresh;
  }

  /** Send the mask that was painted; without strokes the value stays as it is. */
  send(name: string, strokes: Strokes): void {
    const before = this.sending ?? Promise.resolve(true);
    const sending: Promise<boolean> = before
      .then(async (haveArrived) => {
        const error = await this.#send(name, strokes).then(() => "", getErrorMessage);
        this.#onSent(name, error);
        return haveArrived && !error;
      })
      .finally(() => {
        if (this.sending === sending) this.sending = null;
      });
    this.sending = sending;
  }

  /** Return what a draft keeps: the strokes of the masks that are in the form. */
  toDraft(getValue: (name: string) => Value | undefined): { masks?: Record<string, Strokes> } {
    const kept = [...this.#strokes].filter(
      ([name, strokes]) =>
        strokes.steps[0] &&
        strokes.sent === splitMasked(getValue(name)).mask &&
        JSON.stringify(strokes).length <= DRAFT_LENGTH,
    );
    return kept.length > 0 ? { masks: Object.fromEntries(kept) } : {};
  }

  /** Replace all strokes by those of a draft. */
  restore(masks: Record<string, Strokes>): void {
    this.#strokes.clear();
    for (const [name, strokes] of Object.entries(masks)) this.#strokes.set(name, strokes);
  }

  /** Send the strokes of a field's mask to a kernel that does not know the mask; return whether there are any. */
  sendAgain(name: string, value: Value): boolean {
    const { image, mask } = splitMasked(value);
    const strokes = this.#strokes.get(name);
    if (!strokes?.sent || strokes.image !== image || strokes.base !== (mask || ALPHA)) return false;
    this.send(name, strokes);
    return true;
  }

  /** Report that the mask of a draft can't be made again. */
  reportLost(name: string): void {
    this.#onSent(name, "the mask is lost: paint it again");
  }

  async #send(name: string, strokes: Strokes): Promise<void> {
    const { data, invert } = await renderMask(strokes);
    const { image } = strokes;
    const { base } = findSteps(strokes);
    const value = await sendFile(this.#channel, "mask", { name, image, base, invert }, new Blob([data]));
    if (isRecord(value)) strokes.sent = String(value.mask);
  }
}
