/** Outputs for the tests of the gallery and the lightbox. */

import type { Item } from "../../src/session/protocol";
import { makeField, makeRun, settle } from "../model";
import type { Page } from "../page";

/** Make an image, or an output of another kind. */
export const makeItem = (key: string, kind: Item["kind"] = "image"): Item => ({
  key,
  kind,
  name: `${key}.png`,
  node: "Save",
  var: "cover",
  temp: false,
  mime: "image/png",
});

/** Answer requests for media with one byte. */
export const serveMedia = (content: Record<string, unknown>) =>
  content.kind === "media" ? { total: 1, mime: "image/webp", buffers: [new Uint8Array([1])] } : {};

/** Find a tile of the gallery. */
export const findTile = (el: HTMLElement, index = 0) => el.querySelectorAll<HTMLElement>(".ck-gallery .ck-open")[index];

/** Start a form with two runs of one image each, and open the lightbox on a tile. */
export async function openLightbox(page: Page, index = 0) {
  const el = await page.start({
    fields: [makeField("image", "image"), makeField("prompt", "text", { default: "" })],
    runs: [
      makeRun("b", { items: [makeItem("x")], seeds: { seed: "2" } }),
      makeRun("a", { items: [makeItem("y")], seeds: { seed: "1" } }),
    ],
  });
  page.model.kernel = serveMedia;
  for (const asked of page.model.getSent("media")) page.model.answer(asked, serveMedia(asked));
  findTile(el, index)?.click();
  await settle();
  return { el, dialog: () => el.querySelector("dialog") as HTMLElement };
}
