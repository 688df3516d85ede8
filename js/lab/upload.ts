/** Files from the desktop: put beside the notebook by the contents API, never over an existing file. */

import type { Contents } from "./jupyterlab";

/** Names that are tried: `fox.json`, `fox-1.json`, … */
const MAX_NAMES = 100;

/** Write a file into a folder and return its path. A file that is already there with the same bytes is used. */
export async function putBeside(contents: Contents, folder: string, file: File): Promise<string> {
  const content = await encode(file);
  // The server gives out the name of a new file, and renaming fails if the new name exists: nothing is ever replaced.
  const draft = await contents.newUntitled({ path: folder, type: "file", ext: ".part" });
  try {
    await contents.save(draft.path, { type: "file", format: "base64", content });
    for (let count = 0; count < MAX_NAMES; count++) {
      const path = joinPath(folder, numberName(file.name, count));
      if (await hasBytes(contents, path, file.size, content)) {
        await contents.delete(draft.path);
        return path;
      }
      try {
        return (await contents.rename(draft.path, path)).path;
      } catch (error) {
        if (!isTaken(error)) throw error;
      }
    }
    throw new Error(`there are ${MAX_NAMES} files called ${file.name}`);
  } catch (error) {
    await contents.delete(draft.path).catch(() => undefined);
    throw error;
  }
}

/** Return `fox-2.json` for `fox.json` and 2. */
function numberName(name: string, count: number): string {
  if (count === 0) return name;
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)}-${count}${name.slice(dot)}` : `${name}-${count}`;
}

function joinPath(folder: string, name: string): string {
  return folder === "" || folder.endsWith(":") ? `${folder}${name}` : `${folder}/${name}`;
}

function isTaken(error: unknown): boolean {
  return (error as { response?: { status?: number } }).response?.status === 409;
}

async function hasBytes(contents: Contents, path: string, size: number, content: string): Promise<boolean> {
  try {
    const there = await contents.get(path, { content: false });
    if (there.type === "directory" || there.size !== size) return false;
    const { content: bytes } = await contents.get(path, { type: "file", format: "base64", content: true });
    return String(bytes).replaceAll("\n", "") === content;
  } catch {
    return false;
  }
}

function encode(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
