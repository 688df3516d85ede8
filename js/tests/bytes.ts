/** Bytes for the tests of media and uploads. */

/** Make bytes that differ from their neighbours, so that a chunk in the wrong place is noticed. */
export function makeBytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 31) % 251);
}
