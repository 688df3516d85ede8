/** What JupyterLab and Notebook 7 provide beside the model. Other hosts provide none of it. */

import type { Model } from "./protocol";

interface WidgetManager {
  kernel?: { interrupt?: () => unknown };
  context?: { localPath: string; pathChanged?: Record<"connect" | "disconnect", (callback: () => void) => unknown> };
}

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

  /** Interrupt the kernel, where the host allows it. */
  interruptKernel(): void {
    this.#manager.kernel?.interrupt?.();
  }

  /** Call back when the notebook is renamed; return a function that stops this. */
  onRename(callback: () => void): () => void {
    const { pathChanged } = this.#manager.context ?? {};
    pathChanged?.connect(callback);
    return () => pathChanged?.disconnect(callback);
  }

  get #manager(): WidgetManager {
    return (this.#model as unknown as { widget_manager?: WidgetManager }).widget_manager ?? {};
  }
}
