/** The commands: a file of the file browser as a form, and an example. */

import { mayCarry } from "./carries";
import { getFolder, isPython, runLines, showForm } from "./cell";
import ICON from "./icon.svg";
import type { App, Command, FileModel, NotebookPanel, NotebookTracker, Plugin, Shared } from "./jupyterlab";

const OPEN = "comfykit:open-form";
const EXAMPLE = "comfykit:example";
const EXAMPLE_LINES = ["%comfykit connect sandbox", "%comfykit form example:portrait"];

interface FileBrowserFactory {
  tracker: { currentWidget: { selectedItems(): Iterable<FileModel> } | null };
}

/** Return the plugin of "Open as ComfyKit form"; undefined if the host has no file browser beside notebooks. */
export function makeOpenPlugin(shared: Shared): Plugin | undefined {
  const { notebook, application, filebrowser } = shared;
  if (notebook === undefined || application === undefined || filebrowser === undefined) return undefined;
  return {
    id: "comfykit-jupyter:open",
    description: "Adds Open as ComfyKit form to the file browser.",
    autoStart: true,
    // Notebook 7 has no lab shell: its file browser is on another page than the notebook.
    requires: [notebook.INotebookTracker, filebrowser.IFileBrowserFactory, application.ILabShell],
    activate(app: App, tracker: NotebookTracker, factory: FileBrowserFactory) {
      const getFile = () => {
        const items = [...(factory.tracker.currentWidget?.selectedItems() ?? [])];
        const [file] = items;
        return items.length === 1 && file?.type !== "directory" && mayCarry(file?.name ?? "") ? file : undefined;
      };
      app.commands.addCommand(OPEN, {
        label: "Open as ComfyKit form",
        caption: "Add a cell with the form of this workflow to the current notebook, or to a new one",
        icon: makeIcon(shared),
        isVisible: () => getFile() !== undefined,
        async execute(args) {
          const path = args.path ?? getFile()?.path;
          if (path === undefined) return;
          const current = tracker.currentWidget;
          const panel = current !== null && isPython(current) ? current : await openNotebook(app, getFolder(path));
          if (panel === undefined) return;
          app.shell.activateById(panel.id);
          await showForm(shared, app.serviceManager.contents, panel, path);
        },
      });
      app.contextMenu.addItem({ command: OPEN, selector: ".jp-DirListing-item[data-isdir='false']", rank: 2.5 });
    },
  };
}

/** Return the plugin of the example; undefined if the host lacks a launcher. */
export function makeExamplePlugin(shared: Shared): Plugin | undefined {
  const { launcher, apputils, application } = shared;
  if (application === undefined || launcher === undefined || apputils === undefined) return undefined;
  return {
    id: "comfykit-jupyter:example",
    description: "Adds an example to the launcher and the command palette.",
    autoStart: true,
    requires: [application.ILabShell],
    optional: [launcher.ILauncher, apputils.ICommandPalette],
    activate(
      app: App,
      _shell: unknown,
      tiles: { add(item: object): unknown } | null,
      palette: { addItem(item: object): unknown } | null,
    ) {
      const command: Command = {
        label: "ComfyKit example",
        caption: "A new notebook with a form that runs on the embedded server",
        icon: makeIcon(shared),
        async execute(args) {
          const panel = await openNotebook(app, args.cwd ?? "");
          if (panel !== undefined) await runLines(shared, panel, EXAMPLE_LINES);
        },
      };
      app.commands.addCommand(EXAMPLE, command);
      // Tiles of this category show no icon of a command, only the picture of a kernel, or a letter.
      const kernelIconUrl = `data:image/svg+xml,${encodeURIComponent(ICON.replace("#616161", "#1976d2"))}`;
      tiles?.add({ command: EXAMPLE, category: "Notebook", rank: 50, kernelIconUrl });
      palette?.addItem({ command: EXAMPLE, category: "ComfyKit" });
    },
  };
}

/** Open a new notebook with a Python kernel; return undefined if there is none. */
async function openNotebook(app: App, folder: string): Promise<NotebookPanel | undefined> {
  const { kernelspecs } = app.serviceManager;
  await kernelspecs.ready;
  const specs = kernelspecs.specs?.kernelspecs ?? {};
  const names = [kernelspecs.specs?.default ?? "", ...Object.keys(specs)];
  const kernelName = names.find((name) => specs[name]?.language.toLowerCase() === "python");
  if (kernelName === undefined) return undefined;
  const panel = (await app.commands.execute("notebook:create-new", { cwd: folder, kernelName })) as NotebookPanel;
  await panel.context.ready;
  await panel.revealed;
  return panel;
}

function makeIcon(shared: Shared): unknown {
  const Icon = shared.uiComponents?.LabIcon;
  return Icon === undefined ? undefined : new Icon({ name: "comfykit-jupyter:icon", svgstr: ICON });
}
