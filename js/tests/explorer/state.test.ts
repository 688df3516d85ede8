import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Explorer } from "../../src/explorer/state/explorer";
import { applyMark, findAction } from "../../src/explorer/state/keys";
import { decodeMarks, encodeMarks } from "../../src/explorer/state/protocol";
import { settle, TestModel, trackUrls } from "../model";
import { makeAxis, makePoints, packAll, packSome } from "./points";

const NONE = decodeMarks(0);
const press = (key: string, more: Partial<KeyboardEvent> = {}) =>
  findAction({ key, code: "", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });

describe("points", () => {
  it("applies changes in order, and asks for all after a gap", () => {
    const points = makePoints("wwww");
    expect(points.apply(2, 1, packSome({ 1: "c", 3: "f" }, { 1: 1 }))).toEqual([1, 3]);
    expect([0, 1, 2, 3].map((point) => points.getState(point))).toEqual(["waiting", "completed", "waiting", "failed"]);
    expect(points.getMarks(1).star).toBe(true);
    expect(points.apply(4, 3, packSome({ 0: "c" }))).toBe("gap");
    expect(points.getState(0)).toBe("waiting");
    expect(points.countStates()).toMatchObject({ waiting: 2, completed: 1, failed: 1 });
  });

  it("packs marks in a byte", () => {
    for (let byte = 0; byte < 128; byte++)
      if (((byte >> 2) & 7) <= 5) expect(encodeMarks(decodeMarks(byte))).toBe(byte);
  });
});

describe("keys", () => {
  it("knows marks, also with Shift, whatever sign the keyboard types", () => {
    expect(press("4")).toEqual({ kind: "mark", mark: { rating: 4 }, advance: false });
    expect(press("$", { code: "Digit4", shiftKey: true })).toEqual({
      kind: "mark",
      mark: { rating: 4 },
      advance: true,
    });
    expect(press("S", { shiftKey: true })).toEqual({ kind: "mark", mark: { star: true }, advance: true });
    expect(press("x")).toEqual({ kind: "mark", mark: { rejected: true }, advance: false });
  });

  it("leaves the host's own shortcuts alone", () => {
    expect(press("s", { ctrlKey: true })).toBeUndefined();
    expect(press("ArrowLeft", { altKey: true })).toBeUndefined();
    expect(press("b")).toBeUndefined();
    expect(press("F5")).toBeUndefined();
  });

  it("takes a star away only if all have it", () => {
    const starred = { ...NONE, star: true };
    expect(applyMark({ star: true }, [NONE, starred]).map(({ star }) => star)).toEqual([true, true]);
    expect(applyMark({ star: true }, [starred, starred]).map(({ star }) => star)).toEqual([false, false]);
  });
});

describe("explorer", () => {
  let model: TestModel;
  let explorer: Explorer;
  let urls: ReturnType<typeof trackUrls>;

  beforeEach(() => {
    urls = trackUrls();
    model = new TestModel();
    model.kernel = ({ kind, points }) => {
      const wanted = (points ?? []) as number[];
      if (kind === "thumbs") return { points: wanted, buffers: wanted.map(() => new Uint8Array(1000)) };
      if (kind === "details") return { details: wanted.map((point) => ({ id: `run ${point}`, items: [] })) };
      return {};
    };
    explorer = new Explorer(model.asModel);
    const about = { name: "fox", axes: [makeAxis("seed", 40)], base: {}, ratio: 1 };
    model.sendToPage({ kind: "points", revision: 1, base: null, header: {}, about }, packAll("c".repeat(40)));
  });
  afterEach(() => {
    explorer.destroy();
    urls.restore();
  });

  it("fetches thumbnails 16 at a time, those in sight first, and forgets them at the end", async () => {
    explorer.thumbs.want([7, ...Array.from({ length: 39 }, (_, index) => index)], false);
    await settle();
    const batches = model.getSent("thumbs").map(({ points }) => points as number[]);
    expect(batches.map(({ length }) => length)).toEqual([16, 16, 7]);
    expect(batches[0]?.[0]).toBe(7);
    expect(explorer.thumbs.get(7)).toMatch(/^data:image\/webp;base64,/);
    expect(explorer.thumbs.bytes).toBeGreaterThan(39_000);
    explorer.destroy();
    expect(urls.alive.size).toBe(0);
  });

  it("forgets the picture of a point that runs again, and keeps that of one that was marked", async () => {
    explorer.thumbs.want([0, 1], false);
    await settle();
    const [first, second] = [explorer.thumbs.get(0), explorer.thumbs.get(1)];
    model.sendToPage({ kind: "points", revision: 2, base: 1, header: {} }, packSome({ 0: "c", 1: "r" }, { 0: 1 }));
    expect(explorer.thumbs.get(0)).toBe(first);
    expect(explorer.thumbs.get(1)).toBeUndefined();
    expect(urls.alive.has(second as string)).toBe(false);
  });

  it("keeps picture and details of a point whose own mark the kernel confirms", async () => {
    explorer.thumbs.want([0], false);
    explorer.details.want([0]);
    await settle();
    const picture = explorer.thumbs.get(0);
    explorer.mark({ rating: 5 }, [0]);
    model.sendToPage({ kind: "points", revision: 2, base: 1, header: {} }, packSome({ 0: "c" }, { 0: 5 << 2 }));
    expect(explorer.thumbs.get(0)).toBe(picture);
    expect(explorer.details.get(0)?.id).toBe("run 0");
  });

  it("forgets picture and details of a point that another run has completed", async () => {
    explorer.thumbs.want([0], false);
    explorer.details.want([0]);
    await settle();
    const buffers = packSome({ 0: "c" });
    if (buffers[1]) buffers[1][0] = (buffers[1][0] ?? 0) | 32;
    model.sendToPage({ kind: "points", revision: 2, base: 1, header: {} }, buffers);
    expect(explorer.thumbs.get(0)).toBeUndefined();
    expect(explorer.details.get(0)).toBeUndefined();
  });

  it("asks for all points after it has missed a message", () => {
    model.sendToPage({ kind: "points", revision: 9, base: 8, header: {} }, packSome({ 0: "f" }));
    expect(model.getSent("hello")).toHaveLength(1);
    expect(explorer.points.getState(0)).toBe("completed");
  });

  it("marks at once, several points in one message, and takes it back", () => {
    explorer.select([2, 3]);
    explorer.mark({ rating: 4 });
    expect(explorer.points.getMarks(3).rating).toBe(4);
    expect(model.getSent("mark")).toMatchObject([{ points: [2, 3], set: { rating: 4 } }]);
    explorer.mark({ rating: 5 }, [3]);
    explorer.undo();
    expect(explorer.points.getMarks(3).rating).toBe(4);
    expect(explorer.undo()).toBe(2);
    expect(explorer.points.getMarks(2).rating).toBe(0);
    expect(model.getSent("mark").at(-1)).toMatchObject({ points: [2, 3], set: { rating: 0 } });
  });

  it("does not mark points that were not sent", () => {
    model.sendToPage({ kind: "points", revision: 2, base: 1, header: {} }, packSome({ 5: "w" }));
    explorer.mark({ star: true }, [5]);
    expect(model.getSent("mark")).toEqual([]);
  });

  it("marks nothing and undoes nothing while the kernel is gone, and says so", () => {
    explorer.mark({ rating: 4 }, [3]);
    model.kernel = () => undefined;
    model.emit("comm_live_update");
    explorer.mark({ star: true }, [3]);
    expect(explorer.notice).toContain("marks and notes can't be kept");
    expect(explorer.undo()).toBeUndefined();
    expect(explorer.points.getMarks(3)).toMatchObject({ star: false, rating: 4 });
    model.setTraits({ title: "back" });
    expect(explorer.notice).toBe("");
    expect(explorer.undo()).toBe(3);
    expect(explorer.points.getMarks(3)).toMatchObject({ star: false, rating: 0 });
  });

  it("shows details until newer ones are there", async () => {
    explorer.details.want([1]);
    await settle();
    expect(explorer.details.get(1)?.id).toBe("run 1");
    model.sendToPage({ kind: "points", revision: 2, base: 1, header: {} }, packSome({ 1: "c" }, { 1: 32 }));
    expect(explorer.details.get(1)?.id).toBe("run 1");
    explorer.details.want([1]);
    expect(model.getSent("details")).toHaveLength(2);
  });
});
