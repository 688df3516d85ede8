/** A mask as it is painted: strokes in the pixels of the upright image, in their order. */

/** A line of a round brush; `points` are x and y by turns. */
export interface Stroke {
  erase: boolean;
  /** The diameter of the brush. */
  size: number;
  points: number[];
}

export type Step = Stroke | "invert" | "clear";

/** The mask of one image. */
export interface Strokes {
  image: string;
  width: number;
  height: number;
  /** The mask that the strokes are painted on: the ID of one, `alpha` for the image's own, or empty for none. */
  base: string;
  /** The ID of the mask that the kernel has made of the strokes; empty before. */
  sent: string;
  steps: Step[];
  undone: Step[];
}

/** Return the steps that count: those after the last *Clear*, and whether they are painted on the base. */
export function findSteps({ steps, base }: Strokes): { steps: Step[]; base: string } {
  const cleared = steps.lastIndexOf("clear");
  return cleared < 0 ? { steps, base } : { steps: steps.slice(cleared + 1), base: "" };
}

/** Do a step, after which nothing can be redone. */
export function addStep(strokes: Strokes, step: Step): void {
  strokes.steps.push(step);
  strokes.undone = [];
}

/** Undo the last step, or redo the last that was undone; return whether there was one. */
export function undo(strokes: Strokes, again = false): boolean {
  const [from, to] = again ? [strokes.undone, strokes.steps] : [strokes.steps, strokes.undone];
  const step = from.pop();
  if (step) to.push(step);
  return step !== undefined;
}
