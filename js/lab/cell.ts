/** Cells with a form: their source, and how they get into a notebook. */

import type { Cell, Contents, NotebookPanel, Shared } from "./jupyterlab";

const LOAD = "%load_ext comfykit_jupyter";
const LOADED = /load_ext\s+comfykit_jupyter/;

/** Return a workflow as the magic reads it: quoted where the name has spaces or signs, and never read as an option. */
function quoteSource(path: string): string {
  const text = /^[\p{L}\p{N}_.]/u.test(path) && !path.includes(":") ? path : `./${path}`;
  if (!/[\s'"\\={}]/.test(text)) return text;
  return `"${text.replace(/["\\]/g, (sign) => `\\${sign}`)}"`;
}

/** Return the path of a file as the kernel of a notebook sees it: relative to the notebook's folder. */
function makeRelative(path: string, notebook: string): string {
  const to = path.split("/");
  const from = notebook.split("/").slice(0, -1);
  let shared = 0;
  while (shared < from.length && shared < to.length - 1 && from[shared] === to[shared]) shared++;
  return [...from.slice(shared).map(() => ".."), ...to.slice(shared)].join("/");
}

/** Return the folder of a path, "" for the root. */
export function getFolder(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Return whether the kernel of a notebook can run the magic, as far as the notebook says. */
export function isPython(panel: NotebookPanel): boolean {
  const read = (name: string, key: string) =>
    (panel.content.model?.getMetadata?.(name) as Record<string, unknown> | undefined)?.[key];
  const language = read("language_info", "name") ?? read("kernelspec", "language");
  return language === undefined || String(language).toLowerCase().includes("python");
}

/** Insert a cell with these lines below the active one, or in its place if it is empty, and run it. */
export async function runLines(shared: Shared, panel: NotebookPanel, lines: string[]): Promise<void> {
  const actions = shared.notebook?.NotebookActions;
  if (actions === undefined) return;
  const { content } = panel;
  const needsLoad = !content.widgets.some(hasLoaded);
  const active = content.activeCell;
  const isEmpty = active?.model.type === "code" && active.model.sharedModel.source.trim() === "";
  if (!isEmpty) actions.insertBelow(content);
  if (content.activeCell === null) return;
  content.activeCell.model.sharedModel.source = [...(needsLoad ? [LOAD] : []), ...lines].join("\n");
  await panel.sessionContext.ready;
  await actions.run(content, panel.sessionContext);
}

function hasLoaded(cell: Cell): boolean {
  const { type, sharedModel } = cell.model;
  return type === "code" && typeof sharedModel.execution_count === "number" && LOADED.test(sharedModel.source);
}

/** Show the form of a file in a notebook. Both are paths of the contents API. */
export async function showForm(shared: Shared, contents: Contents, panel: NotebookPanel, path: string): Promise<void> {
  if (contents.driveName(path) !== contents.driveName(panel.context.path)) {
    shared.apputils?.Notification.warning(`${path} is on another drive than the notebook: copy it beside the notebook`);
    return;
  }
  const relative = makeRelative(contents.localPath(path), contents.localPath(panel.context.path));
  await runLines(shared, panel, [`%comfykit form ${quoteSource(relative)}`]);
}
