/** What the views of one model share: its traits, what was typed, what is under way, and what one can do. */

import { useLayoutEffect, useState } from "preact/hooks";
import { toInteger, wire } from "../number";
import { loadDraft, NONE, saveDraft } from "./drafts";
import { MediaCache } from "./media";
import { Preview } from "./preview";
import {
  type Answer,
  bytes,
  Channel,
  type Item,
  isAbort,
  isRecord,
  type Model,
  messageOf,
  type Run,
  same,
  type Traits,
  type Value,
} from "./protocol";
import { upload } from "./upload";
import { Values } from "./values";

const EMPTY: Traits = {
  view: "form",
  title: "",
  server: {},
  fields: [],
  values: {},
  errors: {},
  status: "idle",
  progress: {},
  runs: [],
  waiting: [],
  storage: "",
};

const TRAITS = Object.keys(EMPTY) as (keyof Traits)[];

/** What a part of a view can follow: what changes often, and all the rest. */
export type Topic = "state" | "progress" | "preview" | "uploads";

export interface UploadState {
  file: string;
  /** 0…1 */
  fraction: number;
  error?: string;
}

/** What JupyterLab and Notebook 7 give beside the model, and other hosts do not. */
interface Host {
  kernel?: { interrupt?: () => unknown };
  context?: { localPath: string; pathChanged?: Record<"connect" | "disconnect", (moved: () => void) => unknown> };
}

/** Milliseconds that the kernel has to answer a cancel before a cell that runs is interrupted. */
const CANCEL_ANSWER = 300;

export class Session {
  readonly channel: Channel;
  readonly values: Values;
  readonly media: MediaCache;
  readonly preview: Preview;
  /** The seeds that go up by one after each run. */
  readonly counting = new Set<string>();
  /** Runs that one press of the button starts. */
  times = 1;
  /** What was typed before, and is back. */
  restored: string[] = [];
  /** What is no value of its field, by name: nothing runs with it. */
  readonly wrong = new Map<string, string>();
  readonly #model: Model;
  readonly #followers = new Map<Topic, Set<() => void>>();
  readonly #uploads = new Map<string, UploadState & { controller: AbortController }>();
  readonly #unhook: (() => void)[] = [];
  /** Of runs with more items than there is room for in the trait. */
  readonly #items: Record<string, Item[]> = {};
  #promptId: string | undefined;
  #progressAt = performance.now();
  #notice = "";
  #draft = NONE;
  /** Where the draft is that was looked for. */
  #place = "";
  #interrupt: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    this.#model = model;
    this.channel = new Channel(model, () => this.#tell("state"));
    this.values = new Values(
      this.channel,
      () => this.get("values"),
      () => this.#touch(),
    );
    this.media = new MediaCache(this.channel);
    this.preview = new Preview(
      () => this.#tell("preview"),
      (frame) => this.channel.tell("painted", frame),
    );
    this.#promptId = this.get("progress").prompt_id;
    this.#on("msg:custom", (content, buffers) => this.#receive(content, buffers));
    for (const trait of TRAITS) this.#on(`change:${trait}`, () => this.#follow(trait));
    for (const event of ["comm_live_update", "comm:close", "destroy"]) this.#on(event, () => this.#doubt());
    const { pathChanged } = this.#host.context ?? {};
    const moved = () => this.#move();
    pathChanged?.connect(moved);
    this.#unhook.push(() => pathChanged?.disconnect(moved));
  }

  get #host(): Host {
    return (this.#model as unknown as { widget_manager?: Host }).widget_manager ?? {};
  }

  /** A trait as it is now. */
  get<K extends keyof Traits>(trait: K): Traits[K] {
    const value = this.#model.get(trait) ?? EMPTY[trait];
    if (trait !== "runs") return value;
    return (value as Run[]).map((run) => {
      const items = this.#items[run.id];
      return items ? { ...run, items } : run;
    }) as Traits[K];
  }

  /** Calls back when what the topic stands for has changed; returns how to stop. */
  follow(topic: Topic, callback: () => void): () => void {
    const followers = this.#followers.get(topic) ?? new Set();
    this.#followers.set(topic, followers.add(callback));
    return () => followers.delete(callback);
  }

  /** What the last action had to say, in a line. */
  get notice(): string {
    return this.#notice;
  }

  /** Seconds since the kernel told how the run stands. */
  get sinceProgress(): number {
    return (performance.now() - this.#progressAt) / 1000;
  }

  get active(): boolean {
    return this.get("status") === "running" || this.get("status") === "queued";
  }

  /** Tells the kernel that a view is there: it sends the newest preview again. */
  hello(): void {
    this.channel.request("hello").catch(() => {});
  }

  /** Asks the kernel to do something. What goes wrong is said by the notice, and there is no answer then. */
  async ask(kind: string, body: Record<string, unknown> = {}): Promise<Answer["content"] | undefined> {
    this.#say("");
    try {
      return (await this.channel.request(kind, body)).content;
    } catch (error) {
      if (!this.channel.closed) this.#say(messageOf(error));
      return undefined;
    }
  }

  /** Runs what the form holds: once, or as often as was asked for, each time with a new seed. */
  run(): void {
    const [wrong] = this.wrong;
    if (wrong) {
      this.#say(wrong.join(": "));
      return;
    }
    this.values.flush();
    const { times } = this;
    const seeds = this.get("fields").filter(({ kind }) => kind === "seed");
    const fixed = seeds.some(({ name }) => this.values.get(name) !== "random");
    const taken = [...this.values.touched].filter((name) => !this.counting.has(name));
    const asked = this.ask("run", times > 1 ? { times, seed: fixed ? "increment" : "random" } : {});
    for (const { name, min, max } of seeds) {
      const seed = this.counting.has(name) ? toInteger(this.values.get(name)) : null;
      if (seed === null) continue;
      const next = seed + BigInt(times);
      this.values.set(name, wire(next > (toInteger(max) ?? next) ? (toInteger(min) ?? 0n) : next));
    }
    void asked.then((answer) => {
      if (!answer) return;
      for (const name of taken) this.values.touched.delete(name);
      this.restored = [];
      this.#touch();
    });
  }

  /** Whether a seed goes up by one after each run. */
  count(name: string, on: boolean): void {
    if (on) this.counting.add(name);
    else this.counting.delete(name);
    this.#touch();
  }

  /** Brings back what was typed and not run, where the kernel has nothing else. */
  restore(): void {
    const place = this.#where();
    if (!this.get("storage") || place === this.#place) return;
    this.#place = place;
    const { values, counting } = loadDraft(place);
    for (const name of counting) this.counting.add(name);
    const empty = (value: Value | undefined) => value ?? null;
    for (const { name, default: own } of this.get("fields")) {
      const value = values[name];
      if (value === undefined || !same(empty(this.values.get(name) ?? own), empty(own))) continue;
      this.values.set(name, value);
      if (!this.counting.has(name)) this.restored.push(name);
    }
  }

  /** Cancels a run: that on the stage, or one that waits. */
  cancel(promptId: string | null = null): void {
    const cellRuns = promptId === null && this.get("view") === "run";
    clearTimeout(this.#interrupt);
    if (cellRuns) {
      // A kernel that is busy with the cell may read its messages only after it: the cell itself is stopped then.
      this.#interrupt = setTimeout(() => {
        if (this.active) this.#host.kernel?.interrupt?.();
      }, CANCEL_ANSWER);
    }
    void this.ask("cancel", { prompt_id: promptId }).then(() => cellRuns && clearTimeout(this.#interrupt));
  }

  uploadOf(name: string): UploadState | undefined {
    return this.#uploads.get(name);
  }

  /** Sends a file for a field; a newer one for the same field takes its place. */
  async upload(name: string, file: File): Promise<void> {
    this.#uploads.get(name)?.controller.abort();
    const state: UploadState & { controller: AbortController } = {
      file: file.name,
      fraction: 0,
      controller: new AbortController(),
    };
    this.#uploads.set(name, state);
    this.#tell("uploads");
    try {
      await upload(this.channel, name, file, {
        signal: state.controller.signal,
        progress: (received) => {
          state.fraction = file.size ? received / file.size : 1;
          this.#tell("uploads");
        },
      });
      if (this.#uploads.get(name) === state) this.#uploads.delete(name);
    } catch (error) {
      if (isAbort(error)) return;
      state.error = messageOf(error);
    }
    this.#tell("uploads");
  }

  /** Gives up the upload of a field, or takes its error away. */
  stopUpload(name: string): void {
    this.#uploads.get(name)?.controller.abort();
    if (this.#uploads.delete(name)) this.#tell("uploads");
  }

  destroy(): void {
    for (const unhook of this.#unhook.splice(0)) unhook();
    clearTimeout(this.#interrupt);
    for (const { controller } of this.#uploads.values()) controller.abort();
    this.channel.closed = true;
    this.values.destroy();
    this.media.destroy();
    this.preview.clear();
    this.#followers.clear();
  }

  #on(event: string, callback: (...args: never[]) => void): void {
    const { on, off } = this.#model as unknown as Record<"on" | "off", (event: string, callback: unknown) => void>;
    on.call(this.#model, event, callback);
    this.#unhook.push(() => off.call(this.#model, event, callback));
  }

  #tell(topic: Topic): void {
    for (const follower of [...(this.#followers.get(topic) ?? [])]) follower();
  }

  #follow(trait: keyof Traits): void {
    this.#open(true);
    if (trait === "values") this.values.follow();
    if (trait === "storage" && this.#place) this.restore();
    if (trait === "progress") {
      this.#progressAt = performance.now();
      this.#stage(this.get("progress").prompt_id);
    }
    if (trait === "values") this.#touch();
    else this.#tell(trait === "progress" ? trait : "state");
  }

  /** Values have changed: those that were set here and differ from the workflow's own are kept until they are run. */
  #touch(): void {
    this.#tell("state");
    if (!this.#place) return;
    const values: Record<string, Value> = {};
    for (const { name, default: own } of this.get("fields")) {
      const value = this.values.touched.has(name) ? this.values.get(name) : undefined;
      if (value !== undefined && !same(value, own)) values[name] = value;
    }
    const draft = { values, counting: [...this.counting] };
    if (same(draft, this.#draft)) return;
    this.#draft = draft;
    saveDraft(this.#place, draft);
  }

  /** What names this form among all others: its notebook, whatever tab is in front, and its workflow. */
  #where(): string {
    const path = this.#host.context?.localPath ?? location.pathname;
    return `${path}\n${this.get("storage")}`;
  }

  /** The notebook has another name: the draft goes along. */
  #move(): void {
    if (!this.#place) return;
    saveDraft(this.#place);
    this.#place = this.#where();
    saveDraft(this.#place, this.#draft);
  }

  /** A preview belongs to one run. */
  #stage(promptId: string | undefined): void {
    if (promptId === undefined || promptId === this.#promptId) return;
    this.#promptId = promptId;
    this.preview.clear();
  }

  #receive(content: unknown, buffers: (ArrayBufferView | ArrayBuffer)[] | undefined): void {
    this.#open(true);
    if (this.channel.receive(content, buffers) || !isRecord(content)) return;
    if (content.kind === "items") {
      this.#items[String(content.run)] = content.items as Item[];
      this.#tell("state");
    }
    const [frame] = buffers ?? [];
    if (content.kind !== "preview" || !frame) return;
    this.#stage(String(content.prompt_id));
    const { prompt_id, seq } = content;
    this.preview.push(String(content.mime), bytes(frame), { prompt_id, seq });
  }

  /** The connection has changed: until the kernel is heard of, it is gone. */
  #doubt(): void {
    this.#open(false);
    this.channel.tell("hello");
  }

  #open(open: boolean): void {
    if (this.channel.closed !== open) return;
    this.channel.closed = !open;
    this.#tell("state");
  }

  #say(notice: string): void {
    if (notice === this.#notice) return;
    this.#notice = notice;
    this.#tell("state");
  }
}

/** Renders a component again when one of the topics changes. */
export function useTopics(session: Session, ...topics: Topic[]): void {
  const [, again] = useState({});
  // Before the browser does anything else: an effect that comes later would miss what changes in between.
  useLayoutEffect(() => {
    const stop = topics.map((topic) => session.follow(topic, () => again({})));
    return () => {
      for (const each of stop) each();
    };
  }, [session, ...topics]);
}
