import { beforeEach, describe, expect, it, vi } from "vitest";
import { layOutDays } from "../../src/explorer/state/library";
import type { Traits } from "../../src/session/protocol";
import { settle } from "../model";
import { findButton, pressKey, setUpPage, typeOver, typeText } from "../page";
import { packAll, packSome } from "./points";

const FILTERS = [{ name: "tag", label: "Tag", options: [["<b>", "#<b> (2)"]] }];
const page = setUpPage();
/** What is found: the stacks of each day. */
let found: [string, number[][]][];

async function start(count: number) {
  found = [
    ["Today", [[2], [1]]],
    ["<i>Friday", [[0]]],
  ];
  const el = await page.start({ view: "runs", title: "runs" } as Partial<Traits>);
  page.model.kernel = answer;
  const about = { name: "runs", axes: [], base: {}, ratio: 1 };
  page.model.sendToPage(
    { kind: "points", revision: 1, base: null, header: { filters: FILTERS }, about },
    packAll("c".repeat(count)),
  );
  await vi.waitFor(() => expect(names(el)[0]).toContain("12:30"));
  return el;
}

function answer({ kind, points }: Record<string, unknown>) {
  const wanted = (points ?? []) as number[];
  if (kind === "find") return { days: found };
  if (kind === "thumbs") return { points: wanted, buffers: wanted.map(() => new Uint8Array(10)) };
  if (kind === "details") return { details: wanted.map(makeDetails) };
  if (kind === "differ") return { rows: [["cfg", [[["0", true]], [["1", true]]]]], pixels: ["", ""] };
  if (kind === "sweep") return { sweep: "s1" };
  if (kind === "form") return { form: "<b>fox" };
  if (kind === "export") return { folder: "exports/runs" };
  return {};
}

const makeDetails = (point: number) => ({
  id: `run${point}`,
  status: "completed",
  workflow: "fox",
  seeds: { seed: "7" },
  changed: { cfg: point, prompt: "a red fox" },
  items: [{ key: "0", kind: "image", name: "a.png", node: "1", var: "", temp: false, mime: "image/png" }],
  time: "12:30",
  note: point === 2 ? "hands" : "",
  tags: point === 2 ? ["cover"] : [],
  sweep: "s1",
});
const cells = (el: HTMLElement) => [...el.querySelectorAll<HTMLElement>("[role=gridcell]")];
const names = (el: HTMLElement) => cells(el).map((cell) => cell.getAttribute("aria-label"));
const grid = (el: HTMLElement) => el.querySelector(".ck-x-grid") as HTMLElement;
const lastFind = () => page.model.getSent("find").at(-1);

function disconnect() {
  page.model.kernel = () => undefined;
  page.model.emit("comm_live_update");
}

function reconnect() {
  page.model.kernel = answer;
  page.model.setTraits({ title: "back" });
}

describe("the library", () => {
  let el: HTMLElement;
  beforeEach(async () => {
    el = await start(3);
  });

  it("shows the newest first by day, with what differs from the run before", () => {
    expect(names(el)).toEqual([
      "12:30, cfg 2: completed",
      "12:30, cfg 1: completed",
      "12:30, cfg 0, prompt a red fox, seed 7: completed",
    ]);
    expect(el.textContent).toContain("<i>Friday");
    expect(el.textContent).toContain("3 runs");
    expect(grid(el).getAttribute("aria-activedescendant")).toMatch(/-p2$/);
  });

  it("looks for what is typed and chosen, and says how many there are", async () => {
    found = [["Today", [[1]]]];
    await typeText(el.querySelector(".ck-x-search") as HTMLInputElement, "fox");
    const tag = el.querySelector("[aria-label=Tag]") as HTMLSelectElement;
    tag.value = "<b>";
    tag.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(lastFind()).toMatchObject({ text: "fox", filters: { tag: "<b>" } }));
    await vi.waitFor(() => expect(cells(el)).toHaveLength(1));
    expect(el.textContent).toContain("1 of 3 runs");
    findButton(el, "Show all")?.click();
    await vi.waitFor(() => expect(lastFind()).toMatchObject({ text: "", filters: {} }));
  });

  it("looks for a value, or a sweep, of the run with the focus", async () => {
    findButton(el, "a red fox")?.click();
    await vi.waitFor(() => expect(lastFind()).toMatchObject({ text: 'prompt="a red fox"' }));
    findButton(el, "Show in its sweep")?.click();
    await vi.waitFor(() => expect(lastFind()).toMatchObject({ text: "", filters: { sweep: "s1" } }));
  });

  it("opens and closes a stack", async () => {
    found = [["Today", [[2, 0], [1]]]];
    findButton(el, "Stack seeds")?.click();
    await vi.waitFor(() => expect(cells(el)).toHaveLength(2));
    expect(lastFind()).toMatchObject({ stacked: true });
    await pressKey(grid(el), "g");
    await vi.waitFor(() => expect(cells(el)).toHaveLength(3));
    findButton(el, "Stack of 2")?.click();
    await vi.waitFor(() => expect(cells(el)).toHaveLength(2));
  });

  it("stays closed when what it was going to comes late", async () => {
    await pressKey(grid(el), "Enter");
    const dialog = await vi.waitFor(() => el.querySelector("dialog") ?? Promise.reject());
    const { kernel } = page.model;
    let late: (() => void) | undefined;
    page.model.kernel = (content, buffers) => {
      if (content.kind !== "details") return kernel(content, buffers);
      late = () => page.model.answer(content, kernel(content, buffers) ?? {});
      return undefined;
    };
    page.model.sendToPage({ kind: "points", revision: 2, base: null, header: { filters: FILTERS } }, packAll("ccc"));
    await pressKey(dialog, "ArrowRight");
    await vi.waitFor(() => expect(late).toBeDefined());
    await pressKey(dialog, "Escape");
    late?.();
    await vi.waitFor(() => expect(el.querySelector("dialog")).toBeNull());
    await settle();
    expect(el.querySelector("dialog")).toBeNull();
  });

  it("takes away no note that it does not know yet", async () => {
    let answer: (() => void) | undefined;
    const kernel = page.model.kernel;
    page.model.kernel = (content, buffers) => {
      if (content.kind !== "details") return kernel(content, buffers);
      answer = () => page.model.answer(content, { details: (content.points as number[]).map(makeDetails) });
      return undefined;
    };
    const changed = packSome({ 2: "f" });
    page.model.sendToPage({ kind: "points", revision: 2, base: 1, header: { filters: FILTERS } }, changed);
    await pressKey(grid(el), "n");
    const field = el.querySelector<HTMLInputElement>(".ck-x-annotation input");
    if (!field) throw new Error("there is no field");
    await typeOver(field, "and feet");
    await pressKey(field, "Enter");
    expect(page.model.getSent("mark")).toEqual([]);
    answer?.();
    await vi.waitFor(() =>
      expect(page.model.getSent("mark")).toMatchObject([
        { points: [2], set: { note: "hands and feet" }, tags: ["cover", "cover"] },
      ]),
    );
  });

  it("edits note and tags in place", async () => {
    await pressKey(grid(el), "n");
    const [note, tags] = [...el.querySelectorAll<HTMLInputElement>(".ck-x-annotation input")];
    if (!note || !tags) throw new Error("there are no fields");
    expect([note.value, tags.value]).toEqual(["hands", "cover"]);
    await typeOver(note, "feet");
    await typeOver(tags, "final, #final, two words");
    await pressKey(tags, "Enter");
    expect(page.model.getSent("mark")).toMatchObject([
      { points: [2], set: { note: "feet" }, tags: ["cover", "final, #final, two words"] },
    ]);
    await pressKey(grid(el), "n");
    await pressKey(el.querySelector(".ck-x-annotation input") as HTMLElement, "Escape");
    expect(page.model.getSent("mark")).toHaveLength(1);
  });

  it("annotates the run that had the focus when it began", async () => {
    await pressKey(grid(el), "n");
    page.model.sendToPage({ kind: "reveal", point: 1 });
    await settle();
    const note = el.querySelector(".ck-x-annotation input") as HTMLInputElement;
    await typeOver(note, "feet");
    await pressKey(note, "Enter");
    expect(page.model.getSent("mark")).toMatchObject([{ points: [2], set: { note: "feet" } }]);
  });

  it("keeps what is typed into a note until the kernel is back", async () => {
    await pressKey(grid(el), "n");
    const fields = () => [...el.querySelectorAll<HTMLInputElement>(".ck-x-annotation input")];
    disconnect();
    await pressKey(fields()[0] as HTMLElement, "Enter");
    expect(fields()).toEqual([]);
    expect(el.textContent).not.toContain("can't be kept");
    await pressKey(grid(el), "n");
    expect(fields()).toEqual([]);
    expect(el.textContent).toContain("marks and notes can't be kept");
    reconnect();
    await pressKey(grid(el), "n");
    const [note] = fields() as [HTMLInputElement];
    await typeOver(note, "feet");
    disconnect();
    await pressKey(note, "Enter");
    expect(el.textContent).toContain("marks and notes can't be kept");
    expect(note.value).toBe("feet");
    reconnect();
    await pressKey(note, "Enter");
    expect(page.model.getSent("mark")).toMatchObject([{ points: [2], set: { note: "feet" } }]);
  });

  it("keeps what is typed into a note when the lightbox is closed without a kernel", async () => {
    await pressKey(grid(el), "Enter");
    const dialog = await vi.waitFor(() => el.querySelector("dialog") ?? Promise.reject());
    await pressKey(dialog, "n");
    const fields = () => [...el.querySelectorAll<HTMLInputElement>(".ck-x-annotation input")];
    await typeOver(fields()[0] as HTMLInputElement, "feet");
    disconnect();
    findButton(dialog, "Close")?.click();
    await settle();
    expect(el.querySelector("dialog")).toBeNull();
    expect(fields().map(({ value }) => value)).toEqual(["feet", "cover"]);
    reconnect();
    await pressKey(fields()[0] as HTMLElement, "Enter");
    expect(page.model.getSent("mark")).toMatchObject([
      { points: [2], set: { note: "feet" }, tags: ["cover", "cover"] },
    ]);
  });

  it("exports what is picked, else what is selected or has the focus", async () => {
    const choose = async (format: string) => {
      const menu = el.querySelector("[aria-label=Export]") as HTMLSelectElement;
      menu.value = format;
      menu.dispatchEvent(new Event("change", { bubbles: true }));
      await vi.waitFor(() => expect(el.textContent).toContain("Saved in exports/runs"));
    };
    await choose("folder");
    await pressKey(grid(el), "ArrowRight");
    await pressKey(grid(el), "s");
    await vi.waitFor(() => expect(page.model.getSent("mark")).toHaveLength(1));
    await choose("zip");
    await pressKey(grid(el), "a", { ctrlKey: true });
    await choose("html");
    expect(page.model.getSent("export")).toMatchObject([
      { points: [2], format: "folder" },
      { points: [1], format: "zip" },
      { points: [2, 1, 0], format: "html" },
    ]);
  });

  it("says what became of the values of a run", async () => {
    findButton(el, "Same settings")?.click();
    await vi.waitFor(() => expect(el.textContent).toContain("the form “<b>fox” has these values"));
    await pressKey(grid(el), "ArrowRight");
    expect(el.textContent).not.toContain("has these values");
  });

  it("compares what is chosen, with the values that differ", async () => {
    await pressKey(grid(el), "c");
    await pressKey(grid(el), "ArrowRight");
    await pressKey(grid(el), "c");
    await pressKey(grid(el), "C", { shiftKey: true });
    const dialog = el.querySelector("dialog") as HTMLElement;
    await vi.waitFor(() => expect(dialog.querySelectorAll(".ck-pane")).toHaveLength(2));
    await vi.waitFor(() => expect(dialog.querySelector(".ck-x-compared")?.textContent).toContain("cfg 0"));
    await pressKey(dialog, "ArrowRight");
    await pressKey(dialog, "4");
    expect(page.model.getSent("mark")).toMatchObject([{ points: [1], set: { rating: 4 } }]);
    await pressKey(dialog, "b");
    expect([...dialog.querySelectorAll<HTMLElement>(".ck-pane")].map((pane) => pane.hidden)).toContain(true);
    await pressKey(dialog, "e");
    expect(dialog.querySelector(".ck-as-difference")).not.toBeNull();
    await pressKey(dialog, "c");
    await vi.waitFor(() => expect(el.querySelector("dialog")).toBeNull());
  });
});

describe("days", () => {
  it("begin a line each, and every run is found", () => {
    const days = [
      { label: "Today", points: [9, 8, 7, 6, 5] },
      { label: "Yesterday", points: [4] },
      { label: "Sat 28 Nov", points: [3, 2] },
    ];
    const layout = layOutDays(days, 100, 500);
    expect(layout.columns.count).toBe(4);
    expect(layout.rows.groups.map(({ from, count }) => [from, count])).toEqual([
      [0, 2],
      [2, 1],
      [3, 1],
    ]);
    for (const { points } of days)
      for (const point of points) {
        const [row, column] = layout.find(point) ?? [-1, -1];
        expect(layout.pointAt(row, column)).toBe(point);
      }
    expect(layout.pointAt(1, 1)).toBe(-1);
    expect(layOutDays(days, 0, 150).columns.count).toBe(1);
  });
});
