/** Tests of outputs whose files could not be fetched at first. */

import { describe, expect, it } from "vitest";
import { makeRun, settle } from "../model";
import { findButton, setUpPage } from "../page";
import { findTile, makeItem, serveMedia } from "./outputs";

const page = setUpPage();

const listSizes = () => page.model.getSent("media").map(({ size }) => size);

async function reconnect() {
  page.model.sent.length = 0;
  page.model.kernel = serveMedia;
  page.model.setTraits({ title: "back.json" });
  await settle();
}

describe("after the kernel was disconnected", () => {
  it("what was missing is fetched, and nothing else", async () => {
    const el = await page.start({ runs: [makeRun("a", { items: [makeItem("x")] })] });
    expect(listSizes()).toEqual(["full", "thumb"]);
    for (const asked of page.model.getSent("media"))
      if (asked.size === "thumb") page.model.answer(asked, serveMedia(asked));
    await settle();
    const thumb = el.querySelector("img")?.src;
    page.model.emit("comm_live_update");
    await settle();
    await reconnect();
    expect(listSizes()).toEqual(["full"]);
    expect(el.querySelector("img")?.src).not.toBe(thumb);
    await reconnect();
    expect(listSizes()).toEqual([]);
  });

  it("what was opened meanwhile is fetched", async () => {
    const el = await page.start({
      runs: [makeRun("b", { items: [makeItem("x")] }), makeRun("a", { items: [makeItem("y")] })],
    });
    page.model.emit("comm_live_update");
    await settle();
    findTile(el, 1)?.click();
    await settle();
    expect(el.querySelector("dialog")?.textContent).toContain("kernel disconnected");
    await reconnect();
    expect(page.model.getSent("media").filter(({ key }) => key === "y")).toHaveLength(2);
    expect(el.querySelector("dialog")?.textContent).not.toContain("kernel disconnected");
  });

  it("a download no longer says so, and saves nothing until it is pressed again", async () => {
    const el = await page.start({ runs: [makeRun("a", { items: [makeItem("x", "file")] })] });
    page.model.emit("comm_live_update");
    await settle();
    findButton(el, "Download x.png")?.click();
    await settle();
    expect(el.textContent).toContain("kernel disconnected");
    await reconnect();
    expect(el.textContent).not.toContain("kernel disconnected");
    expect(listSizes()).toEqual([]);
  });
});

describe("a player", () => {
  it("fetches its file again when Play is pressed after an error", async () => {
    const el = await page.start({ runs: [makeRun("a", { items: [makeItem("x", "audio")] })] });
    page.model.kernel = () => ({ error: "the server does not answer" });
    const play = () => el.querySelector<HTMLButtonElement>(".ck-play");
    play()?.click();
    await settle();
    expect(play()?.textContent).toContain("the server does not answer");
    expect(play()?.disabled).toBe(false);
    page.model.kernel = (content) => ({ ...serveMedia(content), mime: "audio/mpeg" });
    play()?.click();
    await settle();
    expect(el.querySelector("audio")?.src).toContain("blob:");
    expect(page.model.getSent("media")).toHaveLength(2);
  });
});
