/** Which files may carry a workflow, and which do. */

/** Suffixes of media in which ComfyUI saves workflows; a Python test compares them with the package's own. */
const MEDIA = ["flac", "jpeg", "jpg", "m4a", "mkv", "mov", "mp3", "mp4", "ogg", "opus", "png", "webm", "webp"];

/** Bytes at each end of a media file that are searched: where formats have their metadata. */
const END_BYTES = 524_288;
/** Most bytes of a JSON file that is read. */
const MAX_JSON_BYTES = 16_000_000;

/** Return whether a file may carry a workflow, by its name. */
export function mayCarry(name: string): boolean {
  return isJson(name) || MEDIA.includes(getSuffix(name));
}

/** Return whether a file is JSON, by its name. */
export function isJson(name: string): boolean {
  return getSuffix(name) === "json";
}

function getSuffix(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1).toLowerCase();
}

/** Reads a part of a file; an `end` past the end of the file means its end. */
export interface Bytes {
  readonly name: string;
  readonly size: number;
  read(start: number, end: number): Promise<Uint8Array>;
}

/** Return whether a file carries a workflow. The kernel reads it properly; this only decides who handles a drop. */
export async function carriesWorkflow(file: Bytes): Promise<boolean> {
  if (!mayCarry(file.name)) return false;
  if (isJson(file.name)) {
    return file.size <= MAX_JSON_BYTES && isWorkflow(decode(await file.read(0, file.size)));
  }
  const head = decode(await file.read(0, END_BYTES));
  if (hasGraph(head)) return true;
  return (
    file.size > END_BYTES && hasGraph(decode(await file.read(Math.max(END_BYTES, file.size - END_BYTES), file.size)))
  );
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Metadata may be in UTF-16, where each character has a zero byte, and has its quotes escaped in some formats. */
function hasGraph(text: string): boolean {
  const plain = text.replaceAll("\0", "").replaceAll("\\", "");
  return plain.includes('"class_type"') || (plain.includes('"nodes"') && plain.includes('"links"'));
}

function isWorkflow(text: string): boolean {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return false;
  }
  return (
    isGraph(data) || (isObject(data) && [data.prompt, data.workflow, data.extra_data].some(isGraph)) || isHosted(data)
  );
}

function isGraph(data: unknown): boolean {
  if (!isObject(data)) return false;
  if (Array.isArray(data.nodes)) return Array.isArray(data.links) || "last_node_id" in data;
  return Object.values(data).some((node) => isObject(node) && typeof node.class_type === "string");
}

/** The file that names a workflow of RunningHub. */
function isHosted(data: unknown): boolean {
  return isObject(data) && typeof data.workflow_id === "string" && typeof (data._source ?? data.source) === "string";
}

function isObject(data: unknown): data is Record<string, unknown> {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}
