/** Files that are dropped on a notebook. What carries no workflow is left to JupyterLab. */

import { type Bytes, carriesWorkflow, isJson, mayCarry } from "./carries";
import { getFolder, isPython, showForm } from "./cell";
import type { App, NotebookPanel, NotebookTracker, Plugin, Shared } from "./jupyterlab";
import { putBeside } from "./upload";

const CONTENTS_MIME = "application/x-jupyter-icontents";
/** Larger files are for the file browser, which uploads in pieces. */
const MAX_UPLOAD_BYTES = 64_000_000;
/** Most bytes of a media file in the file browser whose ends are read while it is dragged. */
const MAX_READ_BYTES = 64_000_000;

/** The event of Lumino's drag and drop. */
interface LuminoDragEvent extends MouseEvent {
  /** The same object during one drag. */
  readonly mimeData: { hasData(mime: string): boolean; getData(mime: string): unknown };
  readonly proposedAction: string;
  dropAction: string;
}

/** Return the plugin; undefined if the host lacks notebooks. */
export function makeDropPlugin(shared: Shared): Plugin | undefined {
  if (shared.notebook === undefined) return undefined;
  return {
    id: "comfykit-jupyter:drop",
    description: "Shows the form of a workflow that is dropped on a notebook.",
    autoStart: true,
    requires: [shared.notebook.INotebookTracker],
    activate(app: App, tracker: NotebookTracker) {
      tracker.widgetAdded.connect((_tracker, panel) => new DropTarget(shared, app, panel).listen());
    },
  };
}

class DropTarget {
  /** For each drag from the file browser whether its file carries a workflow, once that is known. */
  readonly #verdicts = new WeakMap<object, boolean | Promise<boolean>>();
  /** The events that go back to JupyterLab. */
  readonly #returned = new WeakSet<Event>();

  constructor(
    readonly shared: Shared,
    readonly app: App,
    readonly panel: NotebookPanel,
  ) {}

  listen(): void {
    const { node } = this.panel.content;
    // In the capture phase: the editors in the cells handle drops, too.
    for (const type of ["lm-dragenter", "lm-dragover", "lm-drop"]) {
      node.addEventListener(type, (event) => this.#onLumino(event as LuminoDragEvent), true);
    }
    node.addEventListener("dragover", (event) => this.#onDragOver(event), true);
    node.addEventListener("drop", (event) => void this.#onDrop(event), true);
  }

  #onLumino(event: LuminoDragEvent): void {
    const path = getDraggedPath(event);
    if (path === undefined || !isPython(this.panel) || isAttachment(path, event.target)) return;
    const drag = event.mimeData;
    if (event.type === "lm-dragenter" && !this.#verdicts.has(drag)) this.#judge(drag, path);
    const verdict = this.#verdicts.get(drag) ?? false;
    if (verdict === false) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.type !== "lm-dragenter") event.dropAction = event.proposedAction;
    if (event.type !== "lm-drop") return;
    void this.#show(event, async () => ((await verdict) ? path : undefined));
  }

  #judge(drag: object, path: string): void {
    const verdict = this.#openRemote(path)
      .then((file) => (file === undefined ? false : carriesWorkflow(file)))
      .catch(() => false);
    this.#verdicts.set(drag, verdict);
    void verdict.then((carries) => this.#verdicts.set(drag, carries));
  }

  async #openRemote(path: string): Promise<Bytes | undefined> {
    const { contents } = this.app.serviceManager;
    const about = await contents.get(path, { content: false });
    const size = about.size ?? 0;
    if (about.type === "directory" || about.type === "notebook" || size > MAX_READ_BYTES) return undefined;
    const { content } = await contents.get(path, { type: "file", format: "base64", content: true });
    const bytes = Uint8Array.from(atob(String(content).replaceAll("\n", "")), (sign) => sign.charCodeAt(0));
    return { name: about.name, size: bytes.length, read: async (start, end) => bytes.subarray(start, end) };
  }

  /** The names of files are hidden until they are dropped; their types are not. */
  #onDragOver(event: DragEvent): void {
    const items = [...(event.dataTransfer?.items ?? [])];
    const [item] = items;
    if (items.length !== 1 || item?.kind !== "file" || !isPython(this.panel)) return;
    if (!/^(image|video|audio)\/|^application\/(json|ogg)$/.test(item.type)) return;
    event.preventDefault(); // or the browser would not drop here
  }

  async #onDrop(event: DragEvent): Promise<void> {
    const files = event.dataTransfer?.files ?? [];
    const [file] = files;
    if (this.#returned.has(event) || files.length !== 1 || file === undefined || !isPython(this.panel)) return;
    if (!mayCarry(file.name) || file.size > MAX_UPLOAD_BYTES || isAttachment(file.name, event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    const { target } = event;
    const read = async (start: number, end: number) => new Uint8Array(await file.slice(start, end).arrayBuffer());
    // What can't be read, such as a folder called `x.json`, is for JupyterLab.
    if (!(await carriesWorkflow({ name: file.name, size: file.size, read }).catch(() => false))) {
      this.#giveBack(event, target, file);
      return;
    }
    const { contents } = this.app.serviceManager;
    await this.#show(event, () => putBeside(contents, getFolder(this.panel.context.path), file));
  }

  /** Drop a file again, this time for JupyterLab: whether it carries a workflow could not be known at once. */
  #giveBack(event: DragEvent, target: EventTarget | null, file: File): void {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(file);
    const { clientX, clientY, ctrlKey, shiftKey, altKey, metaKey } = event;
    const copy = new DragEvent("drop", {
      bubbles: true,
      cancelable: true,
      dataTransfer,
      ...{ clientX, clientY, ctrlKey, shiftKey, altKey, metaKey },
    });
    this.#returned.add(copy);
    target?.dispatchEvent(copy);
  }

  async #show(event: MouseEvent, findPath: () => Promise<string | undefined>): Promise<void> {
    const { shared, panel, app } = this;
    const index = panel.content.widgets.findIndex((cell) => cell.node.contains(event.target as Node));
    try {
      const path = await findPath();
      if (path === undefined) return;
      if (index >= 0) panel.content.activeCellIndex = index;
      app.shell.activateById(panel.id);
      await showForm(shared, app.serviceManager.contents, panel, path);
    } catch (error) {
      shared.apputils?.Notification.error(`The file can't be put beside the notebook: ${String(error)}`);
    }
  }
}

function getDraggedPath(event: LuminoDragEvent): string | undefined {
  if (!event.mimeData?.hasData(CONTENTS_MIME)) return undefined;
  const paths = event.mimeData.getData(CONTENTS_MIME);
  const path = Array.isArray(paths) && paths.length === 1 ? String(paths[0]) : undefined;
  return path !== undefined && mayCarry(path) ? path : undefined;
}

/** Return whether a drop is for a text: its cell takes images as attachments. */
function isAttachment(name: string, target: EventTarget | null): boolean {
  return !isJson(name) && target instanceof Element && target.closest(".jp-MarkdownCell, .jp-RawCell") !== null;
}
