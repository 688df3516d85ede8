/** Sends a file to the kernel in chunks. */

import { type Channel, randomId } from "./channel";
import type { Value } from "./protocol";

/** Bytes of a chunk: a message larger than 10 MiB is lost on the way, without an error. */
const CHUNK_SIZE = 1024 * 1024;
const MAX_CONCURRENT_CHUNKS = 4;

interface SendOptions {
  signal?: AbortSignal;
  /** Called with the number of bytes that have arrived. */
  onProgress?(received: number): void;
}

/**
 * Send a file by requests of this kind, and return the value that the kernel gives its field.
 *
 * `body` is part of each request, and has the name of the field.
 */
export async function sendFile(
  channel: Channel,
  kind: "upload" | "mask",
  body: { name: string } & Record<string, unknown>,
  file: Blob,
  { signal, onProgress }: SendOptions = {},
): Promise<Value> {
  const upload = randomId();
  const sending = new Set<Promise<void>>();
  let received = 0;
  let value: Value | undefined;

  const sendChunk = async (offset: number, chunk: Uint8Array) => {
    const chunkBody = { ...body, size: file.size, offset, upload };
    const { content } = await channel.request(kind, chunkBody, { buffers: [chunk], signal });
    received += chunk.length;
    onProgress?.(received);
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
  if (value === undefined) throw new Error(`${body.name}: the kernel did not accept the file, try again`);
  return value;
}
