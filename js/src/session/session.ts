/** The state that all views of a model share, and the actions of its user. */

import { Masks, splitMasked } from "../masks/masks";
import { Cancelling } from "./cancelling";
import { type Answer, Channel, getErrorMessage, toBytes } from "./channel";
import { Drafts } from "./drafts";
import { Host } from "./host";
import { MediaCache } from "./media";
import { Preview } from "./preview";
import { type Item, isRecord, type Model, type Pool, type Run, type Server, type Traits } from "./protocol";
import { Seeds } from "./seeds";
import { Sight } from "./sight";
import { Submitter } from "./submitter";
import { Uploads } from "./uploads";
import { Values } from "./values";

const DEFAULT_TRAITS: Traits = {
  view: "form",
  title: "",
  comm_id: "",
  server: {},
  fields: [],
  values: {},
  errors: {},
  notes: [],
  missing: [],
  status: "idle",
  progress: {},
  runs: [],
  waiting: [],
  batch: {},
  has_origin: false,
  storage: "",
  lists: {},
  plan: "",
  preset: {},
  undo: "",
  grids: [],
};

const TRAITS = Object.keys(DEFAULT_TRAITS) as (keyof Traits)[];

/**
 * What a component can subscribe to: the parts that change often, and everything else as "state".
 *
 * An explorer has one for each point, and "grid" for what is not about a single one.
 */
export type Topic = "state" | "progress" | "preview" | "uploads" | "grid" | `point ${number}`;

/** One model with everything that its views share. */
export class Session {
  readonly channel: Channel;
  readonly values: Values;
  readonly seeds: Seeds;
  readonly drafts: Drafts;
  readonly submitter: Submitter;
  readonly uploads: Uploads;
  readonly masks: Masks;
  readonly media: MediaCache;
  readonly preview: Preview;
  readonly cancelling: Cancelling;
  readonly sight: Sight;
  /** Typed texts that are not values of their fields, as error messages by name: they prevent a run. */
  readonly invalid = new Map<string, string>();
  /** Rises when what was typed into the form is dropped. */
  generation = 0;
  readonly #model: Model;
  readonly #host: Host;
  readonly #subscribers = new Map<Topic, Set<() => void>>();
  readonly #cleanups: (() => void)[] = [];
  /** The items of runs that have more of them than their trait holds. */
  readonly #items: Record<string, Item[]> = {};
  /** What the title line shows of the server beside the trait. */
  #address: Pick<Server, "address" | "message" | "servers"> = {};
  #promptId: string | undefined;
  #progressAt = performance.now();
  #notice = "";

  constructor(model: Model) {
    this.#model = model;
    this.#host = new Host(model);
    this.channel = new Channel(
      model,
      () => this.notify("state"),
      () => this.#markUncertain(),
      () => this.#host.isKernelIdle,
    );
    const onValuesChange = () => this.#handleValuesChange();
    this.values = new Values(this.channel, () => this.get("values"), onValuesChange);
    this.masks = new Masks(this.channel, (name, error) => this.#handleMaskSent(name, error));
    this.seeds = new Seeds(this, onValuesChange);
    this.drafts = new Drafts(this);
    this.submitter = new Submitter(this, onValuesChange);
    this.uploads = new Uploads(this.channel, () => this.notify("uploads"));
    this.cancelling = new Cancelling(
      this,
      () => this.#host.interruptKernel(),
      () => this.notify("state"),
    );
    this.sight = new Sight((visible) => this.channel.send("sight", { page: this.channel.pageId, visible }));
    this.media = new MediaCache(this.channel);
    this.preview = new Preview(
      () => this.notify("preview"),
      // What is out of sight has no pace to keep.
      (frame) => (this.sight.hidden ? undefined : this.channel.send("painted", frame)),
    );
    this.#promptId = this.get("progress").prompt_id;
    this.listen("msg:custom", (content, buffers) => this.#handleMessage(content, buffers));
    for (const trait of TRAITS) this.listen(`change:${trait}`, () => this.#handleTraitChange(trait));
    for (const event of ["comm_live_update", "comm:close", "destroy"]) this.listen(event, () => this.#markUncertain());
    this.#cleanups.push(
      this.#host.onRename(() => this.drafts.move()),
      this.#host.onKernelChange((isThere) => {
        if (!isThere) this.#markUncertain();
        else if (this.channel.closed) this.channel.send("hello");
      }),
    );
    this.seeds.takeModes();
    // It fails where the host does not give its models away.
    this.#host.keepReceiving(this.get("comm_id")).catch(() => {});
  }

  /** Return another model of the page by its ID; rejects if it is gone, or the host has none. */
  async findModel(id: string): Promise<Model> {
    return this.#host.findModel(id);
  }

  /** Return the current value of a trait. */
  get<K extends keyof Traits>(trait: K): Traits[K] {
    const value = this.#model.get(trait) ?? DEFAULT_TRAITS[trait];
    if (trait === "server") return { ...(value as Server), ...this.#address } as Traits[K];
    if (trait !== "runs") return value;
    return (value as Run[]).map((run) => {
      const items = this.#items[run.id];
      return items ? { ...run, items } : run;
    }) as Traits[K];
  }

  /** Call back when a topic changes; return a function that stops this. */
  subscribe(topic: Topic, callback: () => void): () => void {
    const subscribers = this.#subscribers.get(topic) ?? new Set();
    this.#subscribers.set(topic, subscribers.add(callback));
    return () => {
      subscribers.delete(callback);
      if (subscribers.size === 0 && this.#subscribers.get(topic) === subscribers) this.#subscribers.delete(topic);
    };
  }

  /** Why the last action failed, on one line; empty if it did not. */
  get notice(): string {
    return this.#notice;
  }

  /** Seconds since the kernel last reported progress. */
  get secondsSinceProgress(): number {
    return (performance.now() - this.#progressAt) / 1000;
  }

  /** Whether a run is queued or running. */
  get active(): boolean {
    return this.get("status") === "running" || this.get("status") === "queued";
  }

  /** Announce a new view to the kernel, which sends it the newest preview. */
  announceView(): void {
    this.channel.request("hello").catch(() => {});
  }

  /** Send a request to the kernel and return its answer. Show a failure as the notice and return undefined. */
  async requestOrNotify(kind: string, body: Record<string, unknown> = {}): Promise<Answer["content"] | undefined> {
    this.showNotice("");
    try {
      return (await this.channel.request(kind, body)).content;
    } catch (error) {
      if (!this.channel.closed) this.showNotice(getErrorMessage(error));
      return undefined;
    }
  }

  /** Return what is wrong with the value of a field. */
  getError(name: string): string | undefined {
    return this.values.getError(name) ?? this.submitter.getError(name) ?? this.get("errors")[name];
  }

  /** The notebook and the workflow of this form, which its draft is stored under; empty if drafts are not kept. */
  get draftKey(): string {
    const storage = this.get("storage");
    return storage && `${this.#host.notebookPath}\n${storage}`;
  }

  /** The id of the run on the stage, while it is active. */
  get stagedId(): string {
    return this.active ? (this.get("progress").prompt_id ?? "") : "";
  }

  /** Whether the server of the run on the stage does not answer. */
  get silent(): boolean {
    return this.active && typeof this.get("progress").gives_up_in === "number";
  }

  /** Cancel a waiting run, or without an ID the run on the stage. */
  cancel(promptId: string | null = null): void {
    const isCellRun = promptId === null && this.get("view") === "run";
    this.cancelling.send({ prompt_id: promptId }, [promptId ?? this.stagedId], isCellRun);
  }

  /** Cancel all runs, also the paused ones. */
  cancelAll(): void {
    const ids = [this.stagedId, ...this.get("waiting").map(({ id }) => id)];
    this.cancelling.send({ prompt_id: null, all: true }, ids, false);
  }

  /** Say on one line why an action did nothing. */
  showNotice(notice: string): void {
    if (notice === this.#notice) return;
    this.#notice = notice;
    this.notify("state");
  }

  /** Remove all listeners and free all resources. */
  destroy(): void {
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    this.cancelling.destroy();
    this.uploads.destroy();
    this.channel.close();
    this.values.destroy();
    this.media.destroy();
    this.preview.clear();
    this.#subscribers.clear();
  }

  /** Listen to the model until the session is destroyed. */
  protected listen(event: string, callback: (...args: never[]) => void): void {
    const { on, off } = this.#model as unknown as Record<"on" | "off", (event: string, callback: unknown) => void>;
    on.call(this.#model, event, callback);
    this.#cleanups.push(() => off.call(this.#model, event, callback));
  }

  /** Render what shows a topic again. */
  protected notify(topic: Topic): void {
    for (const subscriber of [...(this.#subscribers.get(topic) ?? [])]) subscriber();
  }

  /** Render everything again. */
  protected notifyAll(): void {
    for (const topic of [...this.#subscribers.keys()]) this.notify(topic);
  }

  #handleTraitChange(trait: keyof Traits): void {
    this.#markConnected();
    if (trait === "values") {
      this.values.handleKernelChange();
      this.#handleValuesChange();
    } else if (trait === "progress") {
      this.#progressAt = performance.now();
      this.#resetPreview(this.get("progress").prompt_id);
      this.notify("progress");
    } else {
      if (trait === "fields") this.seeds.takeModes();
      if (trait === "status" && !this.active) this.cancelling.clear();
      if (trait === "storage") this.drafts.handleKeyChange();
      this.notify("state");
    }
  }

  #handleValuesChange(): void {
    this.submitter.handleValuesChange();
    this.notify("state");
    this.drafts.save();
  }

  #handleMessage(content: unknown, buffers: (ArrayBufferView | ArrayBuffer)[] = []): void {
    this.#markConnected();
    if (this.channel.handleAnswer(content, buffers) || !isRecord(content)) return;
    if (content.kind === "server") {
      const servers = Array.isArray(content.servers) ? (content.servers as Pool) : [];
      this.#address = { address: String(content.address ?? ""), message: String(content.message ?? ""), servers };
      this.notify("state");
    }
    if (content.kind === "items") {
      this.#items[String(content.run)] = content.items as Item[];
      this.notify("state");
    }
    const [frame] = buffers;
    if (content.kind === "preview" && frame) {
      const { prompt_id, seq } = content;
      this.#resetPreview(String(prompt_id));
      this.preview.push(String(content.mime), toBytes(frame), { prompt_id, seq });
    }
  }

  /** Clear the preview when another run is on the stage. */
  #resetPreview(promptId: string | undefined): void {
    if (promptId === undefined || promptId === this.#promptId) return;
    this.#promptId = promptId;
    this.preview.clear();
  }

  /** Keep a mask in the draft, if the image will be there again: an uploaded file is gone with its kernel. */
  #handleMaskSent(name: string, error: string): void {
    if (error) this.showNotice(`${name}: ${error}`);
    const { image } = splitMasked(this.values.get(name));
    if (this.get("fields").some((field) => field.name === name && field.default === image))
      this.values.edited.add(name);
    this.#handleValuesChange();
  }

  /** Treat the kernel as disconnected until it answers: the connection has changed. */
  #markUncertain(): void {
    if (!this.channel.closed) {
      this.channel.close();
      this.notify("state");
    }
    this.channel.send("hello");
  }

  #markConnected(): void {
    if (!this.channel.closed) return;
    this.channel.open();
    this.#notice = ""; // It may say that the kernel is disconnected.
    this.notify("state");
  }
}
