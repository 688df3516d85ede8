/** Tests of progress, status and waiting runs. */

import { describe, expect, it, vi } from "vitest";
import { makeField, makeRun, settle } from "../model";
import { findButton, setUpPage } from "../page";
import { makeItem } from "./outputs";

const page = setUpPage();

describe("the progress", () => {
  it("is a text and a progress bar", async () => {
    const el = await page.start({
      status: "running",
      progress: {
        prompt_id: "p",
        node_title: "KSampler",
        step: 12,
        steps: 20,
        nodes_done: 2,
        nodes_total: 7,
        elapsed: 8,
        remaining: 5,
        fraction: 0.5,
      },
    });
    expect(el.querySelector('[role="status"]')?.textContent).toBe("KSampler 12/20");
    expect(el.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("50");
    expect(el.textContent).toContain("0:08 · ~0:05 left");
  });

  it("names what the run waits for", async () => {
    const el = await page.start({ status: "queued", progress: { prompt_id: "p", note: "Sending image" } });
    expect(el.querySelector('[role="status"]')?.textContent).toBe("Sending image");
    const progress = { prompt_id: "p", note: "Fetching 2 of 5", node_title: "KSampler", nodes_done: 7, nodes_total: 7 };
    const other = await page.start({ status: "running", progress });
    expect(other.querySelector('[role="status"]')?.textContent).toBe("Fetching 2 of 5 · 7 of 7 nodes");
  });

  it("changes its text at most once a second, for screen readers, and ends with the last", async () => {
    vi.useFakeTimers();
    try {
      const step = (number: number) => ({ prompt_id: "p", node_title: "KSampler", step: number, steps: 100 });
      const el = await page.start({ status: "running", progress: step(0) });
      const texts: (string | null | undefined)[] = [];
      const observer = new MutationObserver(() => texts.push(el.querySelector('[role="status"]')?.textContent));
      observer.observe(el.querySelector('[role="status"]') as Node, {
        childList: true,
        characterData: true,
        subtree: true,
      });
      for (let number = 1; number <= 60; number++) {
        page.model.setTraits({ progress: step(number) });
        await settle();
        await vi.advanceTimersByTimeAsync(50);
      }
      await vi.advanceTimersByTimeAsync(1500);
      await settle();
      observer.disconnect();
      expect(new Set(texts).size).toBeLessThanOrEqual(5);
      expect(texts.at(-1)).toBe("KSampler 60/100");
    } finally {
      vi.useRealTimers();
    }
  });

  it("says at once how a run ended", async () => {
    const el = await page.start({ status: "queued", progress: { prompt_id: "p" } });
    const status = el.querySelector('[role="status"]');
    page.model.setTraits({ status: "idle", progress: {} }); // it was not sent
    await settle();
    expect(status?.textContent).toBe("");
    page.model.setTraits({ status: "running", progress: { prompt_id: "q", node_title: "KSampler" } });
    await settle();
    page.model.setTraits({ status: "failed", progress: { prompt_id: "q" } });
    await settle();
    expect(status?.textContent).toBe("Failed");
  });

  it("cancels a waiting run", async () => {
    const el = await page.start({ status: "running", waiting: [{ id: "w1", label: "seed 1", paused: false }] });
    findButton(el, "Show the queue")?.click();
    await settle();
    findButton(el, "Cancel waiting run 1")?.click();
    expect(page.model.getSent("cancel")).toMatchObject([{ prompt_id: "w1" }]);
  });

  it("says that a server does not answer, for how long it is waited for, and lets the user stop", async () => {
    const progress = { prompt_id: "p", node_title: "KSampler", elapsed: 8, remaining: 5, gives_up_in: 57 };
    const el = await page.start({ status: "running", progress });
    expect(el.querySelector('[role="status"]')?.textContent).toBe("The server does not answer");
    expect(el.textContent).toContain("trying for 57 s more");
    expect(el.textContent).not.toContain("left");
    const bar = el.querySelector('[role="progressbar"]');
    expect(bar?.getAttribute("aria-valuenow")).toBeNull();
    expect(bar?.classList.contains("ck-striped")).toBe(true);
    expect(el.querySelector<HTMLElement>(".ck-status .ck-name")?.title).toBe("trying for 57 s more");
    findButton(el, "Stop waiting")?.click();
    expect(page.model.getSent("cancel")).toMatchObject([{ prompt_id: null }]);
  });

  it("shows a server that does not answer as unreachable, until it answers", async () => {
    const server = { address: "127.0.0.1:8188", state: "busy" as const, version: null };
    const el = await page.start({ status: "running", progress: { prompt_id: "p" }, server });
    page.model.sendToPage({ kind: "server", ...server });
    const labels = [];
    for (const gives_up_in of [57, null]) {
      page.model.setTraits({ progress: { prompt_id: "p", gives_up_in } });
      await settle();
      labels.push(el.querySelector(".ck-dot")?.getAttribute("aria-label"));
    }
    expect(labels).toEqual(["unreachable", "busy"]);
  });

  it("says at once that a run is being cancelled", async () => {
    const el = await page.start({ status: "running", progress: { prompt_id: "p" } });
    findButton(el, "Cancel")?.click();
    await settle();
    expect(findButton(el, "Cancelling…")?.disabled).toBe(true);
    page.model.setTraits({ status: "cancelled" });
    page.model.setTraits({ status: "running", progress: { prompt_id: "q" } });
    await settle();
    expect(findButton(el, "Cancel")?.disabled).toBe(false);
  });

  it("says that a run has changed nothing", async () => {
    const el = await page.start({
      status: "completed",
      progress: { prompt_id: "a", unchanged: true },
      runs: [makeRun("a", { items: [makeItem("x")] })],
    });
    expect(el.querySelector('[role="status"]')?.textContent).toBe("Nothing changed: the same image");
  });

  it("leaves out the seeds that the workflow fixes, and shortens long ones", async () => {
    const el = await page.start({
      status: "completed",
      fields: [makeField("seed", "seed", { default: 7 }), makeField("noise", "seed", { default: "random" })],
      progress: { prompt_id: "a" },
      runs: [makeRun("a", { items: [makeItem("x")], seeds: { seed: "7", noise: "1195864406370864" }, waited: 12 })],
    });
    const status = el.querySelector('[role="status"]');
    expect(status?.textContent).toBe("Done in 3.1 s · noise …0864");
    expect(status?.parentElement?.title).toBe("waited 12 s in the queue\nseed 7\nnoise 1195864406370864");
  });

  it("shows the error of a failed run with its node, and the traceback folded", async () => {
    const error = {
      kind: "node_error",
      message: "out of memory\nrequested 2 GiB",
      hint: "try a smaller batch or size",
      node_title: "KSampler",
      node_id: "3",
      class_type: "KSampler",
      traceback: "line 1",
    };
    const el = await page.start({
      status: "failed",
      progress: { prompt_id: "a" },
      runs: [makeRun("a", { status: "failed", error })],
    });
    expect(el.querySelector(".ck-failure p")?.textContent).toBe("KSampler: out of memory");
    expect(el.textContent).toContain("Try a smaller batch or size.");
    expect(el.querySelector(".ck-failure pre")?.textContent).toBe("requested 2 GiB\n\nline 1");
    expect(el.querySelector("details:not(.ck-advanced)")?.hasAttribute("open")).toBe(false);
    expect(el.querySelector('[role="status"]')?.textContent).toBe("Failed after 3.1 s");
  });
});
