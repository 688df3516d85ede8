/** The state of one explorer, which its views share: points, arrangement, selection, marks. */

import { saveFile } from "../../clipboard";
import { toBytes } from "../../session/channel";
import { isSafeImage } from "../../session/mimeTypes";
import { isRecord, type Model, type Run, type Traits } from "../../session/protocol";
import { Session } from "../../session/session";
import { type Arrangement, readArrangement } from "./arrangement";
import { applyMark, listChangedMarks, type Mark } from "./keys";
import { describePoint } from "./layout";
import { Points } from "./points";
import { type About, type Details, encodeMarks, type Header, type Marks, type PointProgress } from "./protocol";
import { DetailsCache, Thumbs } from "./thumbs";

const NO_ABOUT: About = { name: "", axes: [], base: {}, ratio: 1 };
const NO_HEADER: Header = {
  running: false,
  paused: "",
  away: "",
  seconds: null,
  large: false,
  notes: [],
  sparse: false,
};
/** Marks that can be undone. */
const MAX_UNDO = 200;
/** Milliseconds after which a changed arrangement is kept. */
const ARRANGE_DELAY = 400;
/** Milliseconds that a browser has to save a file. */
const SAVE_TIME = 60_000;
/** Most points that are compared. */
const MAX_COMPARED = 4;

interface Undo {
  points: number[];
  before: Marks[];
  after: Marks[];
}

/** One explorer with everything that its views share. It is a session, so that it has a lightbox. */
export class Explorer extends Session {
  readonly points = new Points();
  readonly thumbs: Thumbs;
  readonly details: DetailsCache;
  about = NO_ABOUT;
  header = NO_HEADER;
  /** Whether the points have come. */
  loaded = false;
  /** The point with the focus. */
  focused = 0;
  /** How often a key has brought the focus into sight. */
  reveals = 0;
  readonly selected = new Set<number>();
  readonly compared = new Set<number>();
  /** The points of the lightbox, in their order. */
  shown: number[] = [];
  /** All points in their order, where the cells have another one. */
  readonly sequence: readonly number[] | undefined;
  /** Shows only the points with this value, where that is possible. */
  filterBy: ((name: string, value: string) => void) | undefined;
  /** How often the kernel has asked to show the point with the focus. */
  summons = 0;
  /** Frames of running points, as object URLs. */
  readonly #frames = new Map<number, string>();
  readonly #model: Model;
  readonly #undo: Undo[] = [];
  #arrangement: Arrangement | undefined;
  #looked = "";
  #arrangeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    super(model);
    this.#model = model;
    const refresh = (point: number) => this.notify(`point ${point}`);
    this.thumbs = new Thumbs(this.channel, refresh);
    this.details = new DetailsCache(this.channel, refresh);
    this.listen("msg:custom", (content: unknown, buffers: (ArrayBufferView | ArrayBuffer)[] = []) =>
      this.#handleExplorerMessage(content, buffers),
    );
    this.listen("change:title", () => this.notify("grid"));
  }

  override get<K extends keyof Traits>(trait: K): Traits[K] {
    if (trait !== "runs") return super.get(trait);
    return this.shown.flatMap((point) => this.getRun(point) ?? []) as Traits[K];
  }

  /** Return the run of a point, as the lightbox shows it. */
  getRun(point: number): (Run & Details) | undefined {
    const run = this.details.get(point);
    return run?.id ? ({ ...run, items: run.items ?? [] } as Run & Details) : undefined;
  }

  override destroy(): void {
    super.destroy();
    clearTimeout(this.#arrangeTimer);
    this.thumbs.clear();
    for (const point of [...this.#frames.keys()]) this.#dropFrame(point);
  }

  /** Return the values that say which point this is, as pairs of name and value; `all` of them, or the differing ones. */
  describe(point: number, _all = false): [string, string][] {
    return describePoint(point, this.about.axes);
  }

  /** The message where no point is shown. */
  get nothing(): string {
    return "No point is like this.";
  }

  /** Whether a value can be left out of an axis. */
  get canRemove(): boolean {
    return this.about.axes.length > 0 && !this.header.running && !this.channel.closed;
  }

  /** Return how many points the stack of this one has; 0 without a stack. */
  countStack(_point: number): number {
    return 0;
  }

  /** Open or close the stack of a point. */
  toggleStack(_point: number): void {}

  /** Called when points have come or changed. */
  protected handleChange(): void {}

  get arrangement(): Arrangement {
    this.#arrangement ??= readArrangement(
      (this.#model as unknown as { get(name: string): unknown }).get("arrangement"),
      this.about.axes,
    );
    return this.#arrangement;
  }

  /** Change the arrangement, and let the kernel keep it. */
  arrange(change: Partial<Arrangement>): void {
    this.#arrangement = readArrangement({ ...this.arrangement, ...change }, this.about.axes);
    this.notify("grid");
    clearTimeout(this.#arrangeTimer);
    this.#arrangeTimer = setTimeout(() => {
      this.channel.request("arrange", { arrangement: this.arrangement }).catch(() => {});
    }, ARRANGE_DELAY);
  }

  /** Report the points in sight to the kernel, which sends previews of the running ones. */
  look(visible: readonly number[]): void {
    const running = visible.filter((point) => this.points.getState(point) === "running");
    const key = running.join();
    if (key === this.#looked) return;
    this.#looked = key;
    this.channel.send("look", { points: running });
  }

  /** Return the URL of the newest preview of a running point. */
  getFrame(point: number): string | undefined {
    return this.#frames.get(point);
  }

  /** Move the focus to a point. */
  focus(point: number): void {
    if (point === this.focused) return;
    const before = this.focused;
    this.focused = point;
    this.#refresh([before, point]);
  }

  /** Bring the point with the focus into sight: a key is about it. */
  reveal(): void {
    this.reveals++;
    this.notify("grid");
  }

  /** Select points, in place of those that were selected. */
  select(points: Iterable<number>): void {
    const next = [...points];
    const changed = [...this.selected, ...next];
    this.selected.clear();
    for (const point of next) this.selected.add(point);
    this.#refresh(changed);
  }

  /** Select a point, or deselect it. */
  toggleSelected(point: number): void {
    const next = new Set(this.selected);
    if (!next.delete(point)) next.add(point);
    this.select(next);
  }

  /** Add a point to the comparison, or remove it. Of too many, the oldest is removed. */
  toggleCompared(point: number): void {
    if (!this.compared.delete(point) && this.points.isDone(point)) this.compared.add(point);
    const [oldest = point] = this.compared;
    if (this.compared.size > MAX_COMPARED) this.compared.delete(oldest);
    this.#refresh([oldest, point]);
  }

  /** Compare these points in this order; only the first four are kept. */
  compareOnly(points: readonly number[]): void {
    const changed = [...this.compared, ...points];
    const done = points.filter((point) => this.points.isDone(point));
    this.compared.clear();
    for (const point of done.slice(0, MAX_COMPARED)) this.compared.add(point);
    this.#refresh(changed);
  }

  /** The points that a mark is for: those that are selected, else the one with the focus. */
  get targets(): number[] {
    return this.selected.size > 0 ? [...this.selected] : [this.focused];
  }

  /** The points that are picked among those that are shown. */
  listPicked(): number[] {
    const shown = this.sequence ?? this.points.list();
    return shown.filter((point) => this.points.isPicked(point));
  }

  /** Return whether marks and notes can be kept. If not, say so. */
  checkKeeping(): boolean {
    const { closed } = this.channel;
    if (closed) this.showNotice("The kernel is disconnected: marks and notes can't be kept");
    return !closed;
  }

  /** Mark points at once, and let the kernel keep it. */
  mark(mark: Mark, points = this.targets): void {
    const marked = points.filter((point) => this.hasRun(point));
    if (marked.length === 0 || !this.checkKeeping()) return;
    const before = marked.map((point) => this.points.getMarks(point));
    const after = applyMark(mark, before);
    this.#undo.push({ points: marked, before, after });
    if (this.#undo.length > MAX_UNDO) this.#undo.shift();
    this.#sendMarks(marked, before, after);
  }

  /** Undo the last mark; return the first of its points. */
  undo(): number | undefined {
    const last = this.checkKeeping() && this.#undo.pop();
    if (!last) return undefined;
    this.#sendMarks(last.points, last.after, last.before);
    return last.points[0];
  }

  /** Return whether a point has been sent, so that it can be marked. */
  hasRun(point: number): boolean {
    return !["waiting", "invalid", "lost"].includes(this.points.getState(point));
  }

  /** Fetch an exported file from the kernel, and save it. */
  async save({ key, name }: Record<string, unknown>): Promise<void> {
    await new Promise<void>((resolve) => {
      const held = this.media.hold({ run: "export", key: String(key), size: "full" }, () => {
        const { url, error } = held.getState();
        if (url) saveFile(url, String(name));
        else if (error !== undefined) this.showNotice(error);
        else return;
        setTimeout(held.release, SAVE_TIME);
        resolve();
      });
    });
  }

  #sendMarks(points: number[], before: Marks[], after: Marks[]): void {
    const bySet = new Map<string, number[]>();
    points.forEach((point, at) => {
      const [from, to] = [before[at], after[at]];
      if (!from || !to) return;
      this.points.setMarkByte(point, encodeMarks(to));
      const key = JSON.stringify(listChangedMarks(from, to));
      if (key !== "{}") bySet.set(key, [...(bySet.get(key) ?? []), point]);
    });
    for (const [set, marked] of bySet) void this.requestOrNotify("mark", { points: marked, set: JSON.parse(set) });
    this.#refresh(points);
  }

  #handleExplorerMessage(content: unknown, buffers: (ArrayBufferView | ArrayBuffer)[]): void {
    if (!isRecord(content)) return;
    if (content.kind === "points") this.#handlePoints(content, buffers);
    if (content.kind === "progress" && isRecord(content.points)) this.#handleProgress(content.points);
    if (content.kind === "reveal") {
      this.focus(Number(content.point));
      this.summons++;
      this.reveal();
    }
    const [frame] = buffers;
    if (content.kind === "frame" && frame) this.#handleFrame(content, toBytes(frame));
  }

  #handleProgress(points: Record<string, unknown>): void {
    for (const [point, progress] of Object.entries(points)) {
      this.details.update(Number(point), { progress: progress as PointProgress });
      this.notify(`point ${Number(point)}`);
    }
  }

  #handlePoints(content: Record<string, unknown>, buffers: (ArrayBufferView | ArrayBuffer)[]): void {
    const base = typeof content.base === "number" ? content.base : null;
    const moved: number[] = [];
    const change = this.points.apply(Number(content.revision), base, buffers, (point) => moved.push(point));
    if (change === "gap") {
      // The kernel answers with all points.
      if (this.loaded) this.announceView();
      return;
    }
    if (isRecord(content.header)) this.header = content.header as unknown as Header;
    if (isRecord(content.about)) this.#setAbout(content.about as unknown as About);
    for (const point of moved) this.#handleState(point);
    this.loaded ||= change === "all";
    for (const point of change === "all" ? this.points.list() : change) this.details.expire(point);
    this.handleChange();
    if (change === "all") this.notifyAll();
    else this.#refresh(change);
  }

  /** Forget what is known of a point whose state has changed. */
  #handleState(point: number): void {
    if (this.points.getState(point) !== "running") this.#dropFrame(point);
    this.thumbs.drop(point);
    this.details.drop(point);
  }

  #setAbout(about: About): void {
    const isNew = JSON.stringify(about.axes) !== JSON.stringify(this.about.axes);
    this.about = about;
    if (!isNew) return;
    this.#arrangement = this.#arrangement && readArrangement(this.#arrangement, about.axes);
    this.thumbs.clear();
    this.details.clear();
    this.selected.clear();
    this.compared.clear();
    this.#undo.length = 0;
    this.focused = 0;
  }

  #handleFrame(content: Record<string, unknown>, bytes: Uint8Array<ArrayBuffer>): void {
    const { mime, point, prompt_id, seq } = content;
    if (!isSafeImage(String(mime)) || this.points.getState(Number(point)) !== "running") return;
    this.#dropFrame(Number(point));
    this.#frames.set(Number(point), URL.createObjectURL(new Blob([bytes], { type: String(mime) })));
    this.channel.send("painted", { prompt_id, seq });
    this.notify(`point ${Number(point)}`);
  }

  #dropFrame(point: number): void {
    const url = this.#frames.get(point);
    if (!url) return;
    this.#frames.delete(point);
    URL.revokeObjectURL(url);
  }

  /** Render the cells of points again, and what is not about a single one. */
  #refresh(points: Iterable<number>): void {
    for (const point of points) this.notify(`point ${point}`);
    this.notify("grid");
  }
}
