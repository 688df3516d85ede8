/** Uploads files to the kernel in chunks, one file for a field at a time. */

import { addArticle } from "../format";
import { type Channel, getErrorMessage, isAbortError, randomId } from "./channel";
import { canBe } from "./mimeTypes";
import { type Field, isMediaKind, type Value } from "./protocol";

/** Bytes of a chunk: a message larger than 10 MiB is lost on the way, without an error. */
const CHUNK_SIZE = 1024 * 1024;
const MAX_CONCURRENT_CHUNKS = 4;

export interface UploadState {
  file: string;
  /** The uploaded part, from 0 to 1. */
  fraction: number;
  error?: string;
}

interface Upload extends UploadState {
  controller: AbortController;
}

/** The uploads of one form, at most one for each field. */
export class Uploads {
  readonly #channel: Channel;
  readonly #onChange: () => void;
  readonly #uploads = new Map<string, Upload>();

  constructor(channel: Channel, onChange: () => void) {
    this.#channel = channel;
    this.#onChange = onChange;
  }

  /** Return the upload of a field, if it is running or has failed. */
  get(name: string): UploadState | undefined {
    return this.#uploads.get(name);
  }

  /** Upload a file for a field, in place of an earlier one. Errors are part of the state. */
  async start({ name, kind }: Pick<Field, "name" | "kind">, file: File): Promise<void> {
    this.#uploads.get(name)?.controller.abort();
    const upload: Upload = { file: file.name, fraction: 0, controller: new AbortController() };
    this.#uploads.set(name, upload);
    if (isMediaKind(kind) && !canBe(kind, file)) upload.error = `${file.name} is not ${addArticle(kind)} file`;
    this.#onChange();
    if (upload.error) return;
    try {
      await uploadFile(this.#channel, name, file, {
        signal: upload.controller.signal,
        onProgress: (received) => {
          upload.fraction = file.size ? received / file.size : 1;
          this.#onChange();
        },
      });
      if (this.#uploads.get(name) === upload) this.#uploads.delete(name);
    } catch (error) {
      if (isAbortError(error)) return;
      upload.error = getErrorMessage(error);
    }
    this.#onChange();
  }

  /** Cancel the upload of a field, or dismiss its error. */
  cancel(name: string): void {
    this.#uploads.get(name)?.controller.abort();
    if (this.#uploads.delete(name)) this.#onChange();
  }

  destroy(): void {
    for (const { controller } of this.#uploads.values()) controller.abort();
  }
}

export interface UploadOptions {
  signal: AbortSignal;
  /** Called with the number of bytes that have arrived. */
  onProgress(received: number): void;
}

/** Send a file for a field and return the value that the kernel gives the field. */
export async function uploadFile(channel: Channel, name: string, file: File, options: UploadOptions): Promise<Value> {
  const id = randomId();
  const sending = new Set<Promise<void>>();
  let received = 0;
  let value: Value | undefined;

  const sendChunk = async (offset: number, chunk: Uint8Array) => {
    const body = { name, file: file.name, size: file.size, offset, upload: id };
    const { content } = await channel.request("upload", body, { buffers: [chunk], signal: options.signal });
    received += chunk.length;
    options.onProgress(received);
    if ("value" in content) value = content.value as Value;
  };
  // Chunks are sent in order; an empty file is one empty chunk.
  for (let offset = 0; offset === 0 || offset < file.size; offset += CHUNK_SIZE) {
    if (sending.size >= MAX_CONCURRENT_CHUNKS) await Promise.race(sending);
    const chunk = new Uint8Array(await file.slice(offset, offset + CHUNK_SIZE).arrayBuffer());
    const sent = sendChunk(offset, chunk).finally(() => sending.delete(sent));
    sent.catch(() => {}); // The race above or the wait below throws its error.
    sending.add(sent);
  }
  await Promise.all(sending);
  if (value === undefined) throw new Error(`${file.name}: the kernel did not accept the file, try again`);
  return value;
}
