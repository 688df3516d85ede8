/** What JupyterLab and Notebook 7 provide beside the model. Other hosts provide none of it. */

import { joinStops } from "../listen";
import type { Model } from "./protocol";

/** A signal of Lumino; its callbacks get the sender and what has changed. */
type Signal = Record<"connect" | "disconnect", (callback: (sender: unknown, value: unknown) => void) => unknown>;

interface WidgetManager {
  kernel?: { status?: string; interrupt?: () => unknown; statusChanged?: Signal; connectionStatusChanged?: Signal };
  get_model?(id: string): Promise<Model>;
  context?: { localPath: string; pathChanged?: Signal };
}

/** The host's own model; anywidget passes a part of it to the widget. */
interface OwnModel {
  comm?: { on_msg?(handler: MessageHandler): void; send?(data: unknown, callbacks: unknown): void };
}

type MessageHandler = (message: { content: { data: unknown } }) => unknown;

/** The states of a kernel that has ended, or is about to. */
const ENDED = ["dead", "terminating", "restarting", "autorestarting"];

/** The notebook application around the widget. */
export class Host {
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  /** The path of the notebook, whichever tab is in front; of the page, where the host does not say. */
  get notebookPath(): string {
    return this.#manager.context?.localPath ?? location.pathname;
  }

  /** Return another model by its ID; rejects if it is gone. */
  async findModel(id: string): Promise<Model> {
    return this.#manager.get_model?.(id) ?? Promise.reject();
  }

  /**
   * Receive messages although the bundle took long to load.
   *
   * anywidget gives a model two seconds for that. After those, it drops every message to it, for ever. On a busy machine
   * it takes longer. Such a model gets back the handler that ipywidgets has made for it, and the traits of now.
   * The rest comes by the "hello" of its views, which is answered later.
   *
   * @see https://github.com/manzt/anywidget/blob/main/packages/anywidget/src/runtime.ts
   */
  async keepReceiving(id: string): Promise<void> {
    const model = (await this.findModel(id)) as unknown as OwnModel;
    const [handle, handleAtOnce] = findMessageHandlers(model);
    if (!handle || !handleAtOnce) return;
    try {
      await handle.call(model, { content: { data: {} } });
    } catch {
      model.comm?.on_msg?.(handleAtOnce.bind(model));
      model.comm?.send?.({ method: "request_state" }, {});
    }
  }

  /** Whether the host knows that the kernel runs no cell. */
  get isKernelIdle(): boolean {
    return this.#manager.kernel?.status === "idle";
  }

  /** Interrupt the kernel, where the host allows it. */
  interruptKernel(): void {
    this.#manager.kernel?.interrupt?.();
  }

  /** Call back when the notebook is renamed; return a function that stops this. */
  onRename(callback: () => void): () => void {
    return listen(this.#manager.context?.pathChanged, callback);
  }

  /** Call back when the kernel ends, and when it is connected again; return a function that stops this. */
  onKernelChange(callback: (isThere: boolean) => void): () => void {
    const { statusChanged, connectionStatusChanged } = this.#manager.kernel ?? {};
    return joinStops(
      listen(statusChanged, (status) => ENDED.includes(String(status)) && callback(false)),
      // While it is "connecting" nothing is lost: messages wait.
      listen(connectionStatusChanged, (status) => status !== "connecting" && callback(status === "connected")),
    );
  }

  get #manager(): WidgetManager {
    return (this.#model as unknown as { widget_manager?: WidgetManager }).widget_manager ?? {};
  }
}

/** Return what handles a message to a model: of its own class, of the class above, and so on. */
function findMessageHandlers(model: object): MessageHandler[] {
  const handlers: MessageHandler[] = [];
  for (let owner = model; owner; owner = Object.getPrototypeOf(owner)) {
    const handler = Object.getOwnPropertyDescriptor(owner, "_handle_comm_msg")?.value;
    if (handler) handlers.push(handler);
  }
  return handlers;
}

function listen(signal: Signal | undefined, callback: (value: unknown) => void): () => void {
  const slot = (_sender: unknown, value: unknown) => callback(value);
  signal?.connect(slot);
  return () => signal?.disconnect(slot);
}
