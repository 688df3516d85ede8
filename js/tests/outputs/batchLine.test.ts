/** Tests of the line of a batch. */

import { describe, expect, it } from "vitest";
import { formatBatch } from "../../src/outputs/batchLine";
import { settle } from "../model";
import { findButton, setUpPage } from "../page";

const page = setUpPage();

const BATCH = { done: 11, total: 64, paused: 0, pausing: false, seconds: 1.25 };
const waitFor = (count: number, paused = false) =>
  Array.from({ length: count }, (_, index) => ({ id: `w${index}`, label: `seed ${index}`, paused }));

const start = (more: object = {}) =>
  page.start({
    status: "running",
    progress: { prompt_id: "p", elapsed: 1, remaining: 0.5, fraction: 0.5 },
    batch: BATCH,
    waiting: waitFor(52),
    ...more,
  });

const getLine = (el: HTMLElement) => el.querySelector(".ck-batch .ck-name")?.textContent;

describe("the line of a batch", () => {
  it("counts the runs, and estimates the time to the end", async () => {
    expect(getLine(await start())).toBe("Running 12 of 64 · 52 waiting · ~1:06");
  });

  it("estimates by the first run while none has ended", () => {
    const progress = { elapsed: 2, remaining: 2 };
    expect(formatBatch({ ...BATCH, done: 0, seconds: null }, 9, "running", progress)).toContain("~0:38");
    expect(formatBatch({ ...BATCH, done: 0, seconds: null }, 9, "running", {})).toBe("Running 1 of 64 · 9 waiting");
  });

  it("gives no estimate for a server that does not answer", () => {
    expect(formatBatch(BATCH, 52, "running", { gives_up_in: 57 })).toBe("Running 12 of 64 · 52 waiting");
  });

  it("counts a run that is still queued among those that wait", () => {
    expect(formatBatch({ ...BATCH, done: 0 }, 3, "queued", {})).toBe("0 of 64 done · 4 waiting");
  });

  it("cancels all runs in one message", async () => {
    const el = await start();
    findButton(el, "Cancel all")?.click();
    expect(page.model.getSent("cancel")).toMatchObject([{ all: true }]);
    await settle();
    expect(findButton(el, "Cancelling…")?.disabled).toBe(true);
  });

  it("pauses and resumes", async () => {
    const el = await start();
    page.model.kernel = () => ({});
    findButton(el, "Pause after this one")?.click();
    page.model.setTraits({ batch: { ...BATCH, paused: 52 }, waiting: waitFor(52, true) });
    await settle();
    expect(getLine(el)).toBe("Running 12 of 64 · 52 paused");
    findButton(el, "Resume")?.click();
    expect(page.model.getSent("pause")).toMatchObject([{ resume: false }, { resume: true }]);
  });

  it("has a list on request, whose entries keep the focus in it when one is removed", async () => {
    const el = await start({ waiting: waitFor(3) });
    expect(el.querySelector(".ck-queue")).toBeNull();
    findButton(el, "Show the queue")?.click();
    await settle();
    expect(el.querySelectorAll(".ck-queue li")).toHaveLength(3);
    page.model.kernel = () => ({});
    const remove = async (index: number) => {
      const button = findButton(el, `Cancel waiting run ${index}`);
      button?.focus();
      button?.click();
      const waiting = page.model.get("waiting") as { id: string }[];
      page.model.setTraits({ waiting: waiting.filter((_, at) => at !== index - 1) as never });
      await settle();
    };
    await remove(2);
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Cancel waiting run 2");
    await remove(2);
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Cancel waiting run 1");
    await remove(1);
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Hide the queue");
  });

  it("is there, but empty, while a form has one run or none", async () => {
    const el = await page.start({ status: "running", batch: { ...BATCH, done: 0, total: 1 } });
    expect(el.querySelector(".ck-batch")?.textContent).toBe("");
    const cell = await page.start({ view: "run", status: "running" });
    expect(cell.querySelector(".ck-batch")).toBeNull();
  });
});
