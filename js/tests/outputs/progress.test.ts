/** Tests of progress, status and waiting runs. */

import { describe, expect, it, vi } from "vitest";
import { makeRun, settle } from "../model";
import { findButton, setUpPage } from "../page";

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
    expect(el.querySelector('[role="status"]')?.textContent).toBe("KSampler 12/20 · 2 of 7 nodes");
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

  it("cancels a waiting run", async () => {
    const el = await page.start({ status: "running", waiting: [{ id: "w1", label: "seed 1", paused: false }] });
    findButton(el, "Show the queue")?.click();
    await settle();
    findButton(el, "Cancel waiting run 1")?.click();
    expect(page.model.getSent("cancel")).toMatchObject([{ prompt_id: "w1" }]);
  });

  it("shows the error of a failed run with its node, and the traceback folded", async () => {
    const error = {
      kind: "node_error",
      message: "out of memory",
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
    expect(el.textContent).toContain("KSampler: out of memory");
    expect(el.querySelector("details:not(.ck-advanced)")?.hasAttribute("open")).toBe(false);
    expect(el.querySelector('[role="status"]')?.textContent).toBe("Failed after 3.1 s");
  });
});
