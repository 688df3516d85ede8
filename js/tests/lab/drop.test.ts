/** Tests of files that are dropped on a notebook. */

import { afterEach, expect, it, vi } from "vitest";
import { makeDropPlugin } from "../../lab/drop";
import type { App, NotebookPanel, NotebookTracker, Shared } from "../../lab/jupyterlab";

afterEach(() => vi.unstubAllGlobals());

/** Make a notebook whose drops the plugin gets first; `seen` has those that reach JupyterLab. */
function makeNotebook(app = {}) {
  const node = document.createElement("div");
  const seen: Event[] = [];
  node.addEventListener("drop", (event) => seen.push(event));
  const panel = { content: { node, widgets: [], model: null } } as unknown as NotebookPanel;
  const tracker = {
    widgetAdded: { connect: (callback: (sender: unknown, value: NotebookPanel) => void) => callback(null, panel) },
  } as unknown as NotebookTracker;
  makeDropPlugin({ notebook: { INotebookTracker: {} } } as unknown as Shared)?.activate(app as App, tracker);
  return { node, seen };
}

it("gives a file back to JupyterLab that can't be read, such as a folder with a suffix", async () => {
  class Transfer {
    files: File[] = [];
    items = { add: (file: File) => this.files.push(file) };
  }
  vi.stubGlobal("DataTransfer", Transfer);
  vi.stubGlobal(
    "DragEvent",
    class extends MouseEvent {
      readonly dataTransfer: Transfer | undefined;
      constructor(type: string, options: MouseEventInit & { dataTransfer?: Transfer }) {
        super(type, options);
        this.dataTransfer = options.dataTransfer;
      }
    },
  );
  const { node, seen } = makeNotebook();
  const file = new File([], "folder.json");
  vi.spyOn(file, "slice").mockImplementation(() => {
    throw new DOMException("it is a folder", "NotFoundError");
  });
  const dataTransfer = Object.assign(new Transfer(), { files: [file] });
  node.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: dataTransfer as unknown as DataTransfer }));
  await vi.waitFor(() => expect(seen).toHaveLength(1));
  expect((seen[0] as DragEvent).dataTransfer?.files[0]).toBe(file);
});

it("reads a file of the file browser again at each drag", async () => {
  let text = "{}";
  const contents = {
    get: async () => ({ name: "a.json", type: "file", size: text.length, content: btoa(text) }),
  };
  const { node } = makeNotebook({ serviceManager: { contents } });
  const drag = async () => {
    const mimeData = { hasData: () => true, getData: () => ["a.json"] };
    const send = (type: string) => {
      const event = Object.assign(new Event(type, { bubbles: true, cancelable: true }), { mimeData });
      node.dispatchEvent(event);
      return event.defaultPrevented;
    };
    send("lm-dragenter");
    await new Promise((resolve) => setTimeout(resolve));
    return send("lm-dragover");
  };
  expect(await drag()).toBe(false);
  text = '{"1": {"class_type": "KSampler", "inputs": {}}}';
  expect(await drag()).toBe(true);
});
