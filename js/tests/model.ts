/** A model as anywidget gives it to a widget, in memory, with the kernel's side in the test's hands. */

import { type Field, isRecord, type Model, type Run, type Traits, type Value } from "../src/session/protocol";

export interface Sent {
  content: Record<string, unknown>;
  buffers: ArrayBufferView[];
}

export class TestModel {
  readonly sent: Sent[] = [];
  readonly listeners = new Map<string, Set<(...args: unknown[]) => void>>();
  interrupts = 0;
  readonly widget_manager = { kernel: { interrupt: () => void this.interrupts++ } };
  /** Answers a message at once; undefined leaves it without an answer. */
  kernel: (content: Record<string, unknown>, buffers: ArrayBufferView[]) => Reply | undefined = () => undefined;
  #traits: Partial<Traits>;

  constructor(traits: Partial<Traits> = {}) {
    this.#traits = traits;
  }

  get asModel(): Model {
    return this as unknown as Model;
  }

  get(trait: keyof Traits): unknown {
    return this.#traits[trait];
  }

  on(event: string, callback: (...args: unknown[]) => void): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: (...args: unknown[]) => void): void {
    this.listeners.get(event)?.delete(callback);
  }

  send(content: Record<string, unknown>, _callbacks?: unknown, buffers: ArrayBufferView[] = []): void {
    this.sent.push({ content, buffers });
    const reply = this.kernel(content, buffers);
    if (reply) this.answer(content, reply);
  }

  save_changes(): void {
    throw new Error("The page never saves traits.");
  }

  set(): void {
    throw new Error("The page never sets traits.");
  }

  /** The kernel writes traits. */
  put(traits: Partial<Traits>): void {
    this.#traits = { ...this.#traits, ...traits };
    for (const trait of Object.keys(traits)) this.fire(`change:${trait}`);
  }

  answer(content: Record<string, unknown>, { buffers = [], ...reply }: Reply = {}): void {
    this.message({ kind: "answer", id: content.id, ...reply }, buffers);
  }

  message(content: Record<string, unknown>, buffers: ArrayBufferView[] = []): void {
    this.fire("msg:custom", content, buffers);
  }

  fire(event: string, ...args: unknown[]): void {
    for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...args);
  }

  of(kind: string): Record<string, unknown>[] {
    return this.sent.filter(({ content }) => content.kind === kind).map(({ content }) => content);
  }

  get listening(): number {
    return [...this.listeners.values()].reduce((sum, callbacks) => sum + callbacks.size, 0);
  }
}

export interface Reply extends Record<string, unknown> {
  buffers?: ArrayBufferView[];
}

/** A kernel that takes each value and answers everything. */
export function obliging(model: TestModel): void {
  model.kernel = (content) => {
    if (content.kind === "set" && typeof content.name === "string") {
      const values = model.get("values");
      const value = content.reset ? null : (content.value as Value);
      model.put({ values: { ...(isRecord(values) ? (values as Record<string, Value>) : {}), [content.name]: value } });
    }
    return {};
  };
}

export function field(name: string, kind: Field["kind"], more: Partial<Field> = {}): Field {
  return {
    name,
    kind,
    node: "Node",
    node_id: "1",
    class_type: "Node",
    tooltip: "",
    required: false,
    default: null,
    min: null,
    max: null,
    step: null,
    slider: false,
    choices: null,
    choice_count: 0,
    multiselect: false,
    label_on: "",
    label_off: "",
    advanced: false,
    ...more,
  };
}

export function run(id: string, more: Partial<Run> = {}): Run {
  return {
    id,
    status: "completed",
    seconds: 3.1,
    cost: "",
    seeds: {},
    changed: {},
    error: null,
    items: [],
    workflow: "w.json",
    server: "127.0.0.1:8188",
    ...more,
  };
}

/** Counts the object URLs that are alive. */
export function countUrls() {
  const alive = new Set<string>();
  const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
  let count = 0;
  let most = 0;
  URL.createObjectURL = () => {
    const url = `blob:test/${count++}`;
    alive.add(url);
    most = Math.max(most, alive.size);
    return url;
  };
  URL.revokeObjectURL = (url: string) => void alive.delete(url);
  return {
    alive,
    get most() {
      return most;
    },
    restore() {
      URL.createObjectURL = create;
      URL.revokeObjectURL = revoke;
    },
  };
}

/** Lets promises and Preact's renderings that are due come to their end. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  await new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
