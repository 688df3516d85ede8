/** A stand-in for the model that anywidget passes to a widget: the test plays the kernel. */

import { type Field, isRecord, type Model, type Run, type Traits, type Value } from "../src/session/protocol";

export interface Sent {
  content: Record<string, unknown>;
  buffers: ArrayBufferView[];
}

export class TestModel {
  readonly sent: Sent[] = [];
  readonly listeners = new Map<string, Set<(...args: unknown[]) => void>>();
  /** How often the page has interrupted the kernel. */
  interrupts = 0;
  readonly widget_manager = { kernel: { interrupt: () => void this.interrupts++ } };
  /** Return the answer to a message, or undefined to leave it unanswered. */
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

  /** Write traits as the kernel does. */
  setTraits(traits: Partial<Traits>): void {
    this.#traits = { ...this.#traits, ...traits };
    for (const trait of Object.keys(traits)) this.emit(`change:${trait}`);
  }

  /** Answer a request of the page. */
  answer(content: Record<string, unknown>, { buffers = [], ...reply }: Reply = {}): void {
    this.sendToPage({ kind: "answer", id: content.id, ...reply }, buffers);
  }

  /** Send a message from the kernel to the page. */
  sendToPage(content: Record<string, unknown>, buffers: ArrayBufferView[] = []): void {
    this.emit("msg:custom", content, buffers);
  }

  emit(event: string, ...args: unknown[]): void {
    for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...args);
  }

  /** Return the messages of a kind that the page has sent. */
  getSent(kind: string): Record<string, unknown>[] {
    return this.sent.filter(({ content }) => content.kind === kind).map(({ content }) => content);
  }

  get listenerCount(): number {
    return [...this.listeners.values()].reduce((sum, callbacks) => sum + callbacks.size, 0);
  }
}

export interface Reply extends Record<string, unknown> {
  buffers?: ArrayBufferView[];
}

/** Make the kernel accept every value and answer every request. */
export function acceptAll(model: TestModel): void {
  model.kernel = (content) => {
    if (content.kind === "set" && typeof content.name === "string") {
      const values = model.get("values");
      const value = content.reset ? null : (content.value as Value);
      model.setTraits({
        values: { ...(isRecord(values) ? (values as Record<string, Value>) : {}), [content.name]: value },
      });
    }
    return {};
  };
}

/** Make a field with defaults for everything that is not given. */
export function makeField(name: string, kind: Field["kind"], more: Partial<Field> = {}): Field {
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

/** Make a completed run with defaults for everything that is not given. */
export function makeRun(id: string, more: Partial<Run> = {}): Run {
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
    ...more,
  };
}

/** Replace object URLs by counted ones, until `restore` is called. */
export function trackUrls() {
  const alive = new Set<string>();
  const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
  let count = 0;
  URL.createObjectURL = () => {
    const url = `blob:test/${count++}`;
    alive.add(url);
    return url;
  };
  URL.revokeObjectURL = (url: string) => void alive.delete(url);
  return {
    alive,
    restore() {
      URL.createObjectURL = create;
      URL.revokeObjectURL = revoke;
    },
  };
}

/** Wait until pending promises and renderings are done. */
export async function settle(): Promise<void> {
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
