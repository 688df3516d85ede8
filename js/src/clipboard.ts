/** Copies texts and images, and saves files. Texts are copied also where the page may not use the clipboard. */

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

/** Copy the image at a URL of this page to the clipboard, as PNG. Rejects with the reason if that is not possible. */
export async function copyImage(url: string): Promise<void> {
  if (typeof ClipboardItem === "undefined" || !navigator.clipboard?.write)
    throw new Error("this page may not copy images: it is not served over HTTPS");
  const toPng = async () => {
    const blob = await (await fetch(url)).blob();
    if (blob.type === "image/png") return blob;
    const image = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d")?.drawImage(image, 0, 0);
    image.close();
    return canvas.convertToBlob({ type: "image/png" });
  };
  // A promise, not the blob: some browsers forget the user's click while it is being made.
  await navigator.clipboard.write([new ClipboardItem({ "image/png": toPng() })]);
}

/** Save the file at a URL of this page. */
export function saveFile(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}
