/** The browser's storage, which it may forbid. */

/** Return the text stored under a key; empty if there is none. */
export function readStored(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** Store a text under a key. */
export function writeStored(key: string, text: string): void {
  try {
    localStorage.setItem(key, text);
  } catch {
    // Forbidden, or full.
  }
}
