/**
 * The MIME types that the page shows.
 *
 * A blob with scripts, opened in a tab, would run them in the notebook's origin. All other types, such as SVG and HTML,
 * become plain data.
 */

const IMAGES = /^image\/(png|jpeg|webp|gif|avif|bmp)$/;
const PLAYABLE = /^(video|audio)\/[a-z0-9.+-]+$/;

/** Return whether a MIME type is an image without scripts. */
export function isSafeImage(mime: string): boolean {
  return IMAGES.test(mime);
}

/** Return whether a MIME type is an image, video or audio without scripts. */
export function isSafeMedia(mime: string): boolean {
  return isSafeImage(mime) || PLAYABLE.test(mime);
}
