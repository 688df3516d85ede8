/** Tests of the sign that a long run has ended while the user was elsewhere. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { settle } from "../model";
import { setUpPage } from "../page";

const page = setUpPage();

describe("the end of a run", () => {
  let hidden = false;
  let now = 0;
  beforeEach(() => {
    hidden = false;
    now = 1000;
    vi.spyOn(document, "hidden", "get").mockImplementation(() => hidden);
    vi.spyOn(performance, "now").mockImplementation(() => now);
    document.title = "Notebook";
  });
  afterEach(() => vi.restoreAllMocks());

  const run = async (seconds: number, status: "completed" | "failed" | "cancelled" = "completed") => {
    // Effects run after the next frame.
    const wait = () => new Promise((resolve) => setTimeout(resolve, 50));
    await page.start({ title: "portrait", status: "running", progress: { prompt_id: "p" } });
    await wait();
    now += seconds * 1000;
    page.model.setTraits({ status });
    await settle();
    await wait();
  };

  it("is in the title of a hidden page until the page is seen", async () => {
    hidden = true;
    await run(31);
    expect(document.title).toBe("✓ portrait");
    hidden = false;
    document.dispatchEvent(new Event("visibilitychange"));
    expect(document.title).toBe("Notebook");
  });

  it("is marked if the run failed", async () => {
    hidden = true;
    await run(31, "failed");
    expect(document.title).toBe("✗ portrait");
  });

  it("is not announced in a page that is seen, for short runs, and for cancelled ones", async () => {
    await run(31);
    hidden = true;
    await run(29);
    await run(31, "cancelled");
    expect(document.title).toBe("Notebook");
  });
});
