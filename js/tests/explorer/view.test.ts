import { describe, expect, it } from "vitest";
import type { Traits } from "../../src/session/protocol";
import { settle } from "../model";
import { findButton, pressKey, setUpPage } from "../page";
import { makeAxis, packAll, packSome } from "./points";

const HEADER = { running: false, paused: "", away: "", seconds: null, large: false, notes: [], sparse: false };
const page = setUpPage();

async function start(states: string, axes = [makeAxis("cfg", 3), makeAxis("seed", 4)], header: object = HEADER) {
  const el = await page.start({ view: "sweep" } as Partial<Traits>);
  page.model.kernel = ({ kind, points }) => {
    const wanted = (points ?? []) as number[];
    if (kind === "thumbs") return { points: wanted, buffers: wanted.map(() => new Uint8Array(10)) };
    if (kind === "details") return { details: wanted.map((point) => ({ id: `${point}`, items: [], reason: "<b>no" })) };
    return {};
  };
  const about = { name: "<i>fox</i>", axes, base: {}, ratio: 1 };
  page.model.sendToPage(
    { kind: "points", revision: 1, base: null, header: { ...HEADER, ...header }, about },
    packAll(states),
  );
  await settle();
  await settle();
  return el;
}

const cells = (el: HTMLElement) => [...el.querySelectorAll<HTMLElement>("[role=gridcell]")];
const nameOf = (el: HTMLElement, point: number) =>
  el.querySelector(`[data-point="${point}"]`)?.getAttribute("aria-label") ?? "";
const grid = (el: HTMLElement) => el.querySelector(".ck-x-grid") as HTMLElement;

describe("the view of a sweep", () => {
  it("names its cells, and shows texts from elsewhere as texts", async () => {
    const el = await start(`cf${"w".repeat(10)}`);
    expect(cells(el).map((cell) => cell.getAttribute("aria-label"))).toContain(
      "cfg cfg 0, seed seed 0: completed, <b>no",
    );
    expect(el.querySelector("i, b > i")).toBeNull();
    expect(el.textContent).toContain("<i>fox</i>");
    expect(el.textContent).toContain("1 of 12 done · 1 failed · 10 left");
  });

  it("renders only the cell of a point that ends", async () => {
    const el = await start("w".repeat(12));
    const before = cells(el);
    page.model.sendToPage({ kind: "points", revision: 2, base: 1, header: HEADER }, packSome({ 5: "c" }));
    await settle();
    await settle();
    expect(cells(el)).toEqual(before);
    expect(cells(el).filter((cell) => cell.querySelector("img"))).toHaveLength(1);
  });

  it("moves and marks by keys, which never reach the notebook", async () => {
    const el = await start("c".repeat(12));
    let reached = 0;
    const count = () => reached++;
    document.addEventListener("keydown", count);
    for (const key of ["ArrowRight", "ArrowDown", "s", "4"]) await pressKey(grid(el), key);
    document.removeEventListener("keydown", count);
    expect(reached).toBe(0);
    expect(grid(el).getAttribute("aria-activedescendant")).toMatch(/-p5$/);
    expect(page.model.getSent("mark")).toMatchObject([
      { points: [5], set: { star: true } },
      { points: [5], set: { rating: 4 } },
    ]);
    expect(nameOf(el, 5)).toContain("star, 4 of 5");
    await pressKey(grid(el), "u");
    expect(nameOf(el, 5)).not.toContain("4 of 5");
  });

  it("swaps rows and columns", async () => {
    const el = await start("c".repeat(12));
    await pressKey(grid(el), "t");
    expect(grid(el).getAttribute("aria-rowcount")).toBe("4");
  });

  it("leaves out a row by the button of its label, or a column by a key", async () => {
    const el = await start("c".repeat(12));
    findButton(el, "Leave this row out")?.click();
    await pressKey(grid(el), "Delete", { shiftKey: true });
    expect(page.model.getSent("edit")).toMatchObject([
      { axis: 0, remove: [0] },
      { axis: 1, remove: [0] },
    ]);
  });

  it("focuses the field of more values when it appears, and leaves the focus alone later", async () => {
    const el = await start("c".repeat(12));
    const menu = el.querySelector('[aria-label="Add values to an axis"]') as HTMLSelectElement;
    for (const axis of ["1", "0"]) {
      menu.focus();
      menu.value = axis;
      menu.dispatchEvent(new Event("change", { bubbles: true }));
      await settle();
      expect(document.activeElement).toBe(el.querySelector(".ck-x-values"));
    }
    grid(el).focus();
    page.model.sendToPage({ kind: "points", revision: 2, base: 1, header: HEADER }, packSome({ 5: "f" }));
    await settle();
    expect(el.textContent).toContain("1 failed");
    expect(document.activeElement).toBe(grid(el));
  });

  it("starts a large sweep after a second press only", async () => {
    const el = await start("w".repeat(12), undefined, { large: true, seconds: 9000 });
    findButton(el, "Start 12 points · ~2:30:00")?.click();
    await settle();
    expect(page.model.getSent("start")).toEqual([]);
    findButton(el, "Really start 12 points · ~2:30:00?")?.click();
    expect(page.model.getSent("start")).toMatchObject([{ sure: true, sparse: false }]);
  });

  it("says when nothing passes the filter, and lists what does", async () => {
    const el = await start("c".repeat(12));
    const filter = el.querySelector('[aria-label="Filter"]') as HTMLSelectElement;
    filter.value = "picked";
    filter.dispatchEvent(new Event("change", { bubbles: true }));
    await settle();
    expect(el.textContent).toContain("No point is like this.");
  });
});
