/** Copies text, also where the page may not use the clipboard. */

/** Copy a text to the clipboard; return whether it worked. */
export async function copyText(text: string, near: Element): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages served over plain HTTP have no clipboard: copy from a text area instead. It is placed beside the button,
    // because nothing outside of an open dialog can be selected.
    const area = document.createElement("textarea");
    area.value = text;
    near.after(area);
    area.select();
    const copied = document.execCommand?.("copy") ?? false;
    area.remove();
    return copied;
  }
}
