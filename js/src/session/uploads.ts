/** Uploads files to the kernel, one file for a field at a time. */

import { addArticle } from "../format";
import { type Channel, getErrorMessage, isAbortError } from "./channel";
import { canBe } from "./mimeTypes";
import { type Field, isMediaKind } from "./protocol";
import { sendFile } from "./sendFile";

interface UploadState {
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
      await sendFile(this.#channel, "upload", { name, file: file.name }, file, {
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
