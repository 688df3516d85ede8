/** The state of the library of all kept runs: the query and the runs that it found. */

import { listChanges } from "../../format";
import { buildCaption } from "../../outputs/runs";
import { getErrorMessage } from "../../session/channel";
import type { Model } from "../../session/protocol";
import { Explorer } from "./explorer";
import { type Layout, layOutLines, type Section } from "./layout";

/** A filter with its choices, as pairs of value and label. */
export interface Filter {
  name: string;
  label: string;
  options: [string, string][];
}

/** What is looked for. */
interface Query {
  text: string;
  filters: Record<string, string>;
  /** Whether runs that differ only in the seed are in one stack. */
  stacked: boolean;
}

/** Milliseconds after which what was typed is looked for. */
const FIND_DELAY = 60;
/** Pixels of the names of the days beside the cells, of a cell that was not resized, and of a caption. */
const DAY_WIDTH = 84;
const CELL_SIZE = 168;
const CAPTION = 34;

/** The library. A point is a run. The kernel decides which runs are shown, and in which order. */
export class Library extends Explorer {
  query: Query = { text: "", filters: {}, stacked: false };
  /** How many runs were found; -1 before the first answer. */
  count = -1;
  /** Why nothing could be looked for. */
  problem = "";
  days: Section[] = [];
  /** The runs that were found, including closed stacks. */
  override sequence: readonly number[] = [];
  /** The stacks with several runs, by the first of them. */
  readonly #stacks = new Map<number, number[]>();
  /** The first run of the stack that a run is in. */
  readonly #heads = new Map<number, number>();
  readonly #opened = new Set<number>();
  #places = new Map<number, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #turn = 0;

  constructor(model: Model) {
    super(model);
    this.filterBy = (name, value) => {
      const part = `${name}=${/[\s,"]/.test(value) ? `"${value.replace(/["…].*/, "")}"` : value}`;
      if (!this.query.text.includes(part)) this.find({ text: `${this.query.text} ${part}`.trim() });
    };
  }

  override destroy(): void {
    super.destroy();
    clearTimeout(this.#timer);
  }

  override get nothing(): string {
    return this.count < 0 ? "" : "No run is like this.";
  }

  get filters(): Filter[] {
    return (this.header as unknown as { filters?: Filter[] }).filters ?? [];
  }

  /** Change the query, and search. */
  find(change: Partial<Query>): void {
    this.query = { ...this.query, ...change };
    this.notifyAll();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#find(), FIND_DELAY);
  }

  /** Search again, because runs or marks have changed. */
  override handleChange(): void {
    this.find({});
  }

  override hasRun(point: number): boolean {
    return point < this.points.count;
  }

  /** Move the focus to a run. A closed stack that it is in is opened. */
  override focus(point: number): void {
    const head = this.#heads.get(point) ?? point;
    if (head !== point && !this.#opened.has(head)) this.toggleStack(head);
    super.focus(point);
  }

  override describe(point: number, all = false): [string, string][] {
    const run = this.getRun(point);
    if (!run) return [];
    if (all) return [["workflow", run.workflow], ...listChanges(run)];
    const next = this.getRun(this.sequence[(this.#places.get(point) ?? 0) + 1] ?? -1);
    const { differing, seeds } = buildCaption(run, next?.workflow === run.workflow ? next : undefined, []);
    const short = [...differing].sort(([, one], [, other]) => one.length - other.length);
    return [["", run.time ?? ""], ...short, ...seeds];
  }

  /** Return how many runs a stack has, if this is its first one and there are others. */
  override countStack(point: number): number {
    return this.#stacks.get(point)?.length ?? 0;
  }

  /** Show the runs of a stack, or only its first one. */
  override toggleStack(point: number): void {
    const head = this.#heads.get(point) ?? point;
    if (!this.#stacks.has(head)) return;
    if (!this.#opened.delete(head)) this.#opened.add(head);
    else super.focus(head);
    this.days = [...this.days];
    this.notifyAll();
  }

  /** List the runs that are shown by day: of a closed stack the first one. */
  listShown(): Section[] {
    return this.days.map(({ label, points }) => ({
      label,
      points: points.flatMap((head) => (this.#opened.has(head) && this.#stacks.get(head)) || [head]),
    }));
  }

  async #find(): Promise<void> {
    const turn = ++this.#turn;
    try {
      const { content } = await this.channel.request("find", { ...this.query });
      if (turn !== this.#turn) return;
      this.problem = "";
      this.#show(content.days as [string, number[][]][]);
    } catch (error) {
      if (turn === this.#turn) this.problem = getErrorMessage(error);
    }
    this.notifyAll();
  }

  #show(days: [string, number[][]][]): void {
    this.#stacks.clear();
    this.#heads.clear();
    for (const stack of days.flatMap(([, stacks]) => stacks)) {
      const head = stack[0] ?? 0;
      if (stack.length > 1) this.#stacks.set(head, stack);
      for (const point of stack) this.#heads.set(point, head);
    }
    const isFirst = this.count < 0;
    this.days = days.map(([label, stacks]) => ({ label, points: stacks.map(([head = 0]) => head) }));
    this.sequence = [...this.#heads.keys()];
    this.#places = new Map(this.sequence.map((point, place) => [point, place]));
    this.count = this.sequence.length;
    if (isFirst) this.focused = this.sequence[0] ?? 0;
  }
}

/** Lay out runs by day: each day begins a line, and has its name beside it. */
export function layOutDays(days: readonly Section[], size: number, available: number): Layout {
  const wanted = Math.min(size || CELL_SIZE, available - DAY_WIDTH);
  const shape = { size: wanted, fits: !size, available, gutter: DAY_WIDTH };
  return layOutLines(days, { ...shape, toHeight: (width) => width, measure: () => CAPTION });
}
