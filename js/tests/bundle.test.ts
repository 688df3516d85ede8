/** The built bundle works as its sources do. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { packAll } from "./explorer/points";
import { TestModel } from "./model";

const BUNDLE = resolve(import.meta.dirname, "../../comfykit_jupyter/notebook/static/widget.js");

describe.skipIf(!existsSync(BUNDLE))("the bundle", () => {
  it("understands the kernel, and is understood", async () => {
    const { default: createWidget } = await import(/* @vite-ignore */ BUNDLE);
    const model = new TestModel({ view: "runs", title: "runs" });
    model.kernel = ({ kind, points }) => {
      if (kind === "find") return { days: [["Today", [[0], [1]]]] };
      if (kind === "thumbs") return { points: [], buffers: [] };
      if (kind === "details")
        return {
          details: (points as number[]).map((cfg) => ({ id: `${cfg}`, seeds: {}, changed: { cfg }, items: [] })),
        };
      return {};
    };
    const el = document.createElement("div");
    document.body.append(el);
    const { initialize, render } = createWidget();
    const cleanups = [initialize({ model: model.asModel }), render({ model: model.asModel, el })];
    const about = { name: "runs", axes: [], base: {}, ratio: 1 };
    model.sendToPage({ kind: "points", revision: 1, base: null, header: { filters: [] }, about }, packAll("cc"));
    await vi.waitFor(() => expect(el.querySelector("[data-point='1']")?.getAttribute("aria-label")).toContain("cfg 1"));
    const size = el.querySelector(".ck-x-size") as HTMLInputElement;
    size.value = "99";
    size.dispatchEvent(new Event("input", { bubbles: true }));
    await vi.waitFor(() => expect(model.getSent("arrange")).toMatchObject([{ arrangement: { size: 99 } }]));
    for (const cleanup of cleanups.reverse()) cleanup();
    el.remove();
  });
});
