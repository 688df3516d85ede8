/**
 * The MIME types that the page shows.
 *
 * A blob with scripts, opened in a tab, would run them in the notebook's origin. All other types, such as SVG and HTML,
 * become plain data.
 */

import type { MediaKind } from "./protocol";

const IMAGES = /^image\/(png|jpeg|webp|gif|avif|bmp)$/;
const PLAYABLE = /^(video|audio)\/[a-z0-9.+-]+$/;

/** Return whether a MIME type is an image without scripts. */
export function isSafeImage(mime: string): boolean {
  return IMAGES.test(mime);
}

/** The kinds of files that nodes for another kind accept as well: sound in a video, an animated image. */
const ALSO_ACCEPTED: Partial<Record<MediaKind, MediaKind>> = { audio: "video", video: "image" };

/** Return whether a file can be of a kind. Of a file whose type the browser does not know, the kernel decides. */
export function canBe(kind: MediaKind, { type }: { type: string }): boolean {
  const [found] = type.split("/");
  return kind === "file" || !found || found === kind || found === ALSO_ACCEPTED[kind];
}

/** Return whether a MIME type is an image, video or audio without scripts. */
export function isSafeMedia(mime: string): boolean {
  return isSafeImage(mime) || PLAYABLE.test(mime);
}
