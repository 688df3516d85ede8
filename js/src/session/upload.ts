/** A file on its way to the kernel, in pieces. */

import { type Channel, randomId, type Value } from "./protocol";

/** Bytes of a piece: a frame past 10 MiB is lost without a word. */
const PIECE = 1024 * 1024;
const AT_ONCE = 4;

export interface UploadOptions {
  signal: AbortSignal;
  /** Gets the bytes that have arrived. */
  progress(received: number): void;
}

/** Sends a file for a field and returns the value that the field gets. */
export async function upload(channel: Channel, name: string, file: File, options: UploadOptions): Promise<Value> {
  const id = randomId();
  const underWay = new Set<Promise<void>>();
  let received = 0;
  let value: Value | undefined;

  const send = async (offset: number, piece: Uint8Array) => {
    const body = { name, file: file.name, size: file.size, offset, upload: id };
    const { content } = await channel.request("upload", body, { buffers: [piece], signal: options.signal });
    received += piece.length;
    options.progress(received);
    if ("value" in content) value = content.value as Value;
  };
  // Pieces go out in order; an empty file is one empty piece.
  for (let offset = 0; offset === 0 || offset < file.size; offset += PIECE) {
    if (underWay.size >= AT_ONCE) await Promise.race(underWay);
    const piece = new Uint8Array(await file.slice(offset, offset + PIECE).arrayBuffer());
    const sent = send(offset, piece).finally(() => underWay.delete(sent));
    sent.catch(() => {}); // its error is thrown by whoever waits for it below or above
    underWay.add(sent);
  }
  await Promise.all(underWay);
  if (value === undefined) throw new Error(`${file.name}: the kernel did not take the file. Try again.`);
  return value;
}
