/** Tests of the strokes of a form's masks: what a draft keeps of them, and what a new kernel gets. */

import { beforeEach, describe, expect, it } from "vitest";
import { readDraft, writeDraft } from "../../src/session/draftStorage";
import type { Field, Value } from "../../src/session/protocol";
import { isRecord } from "../../src/session/protocol";
import { Session } from "../../src/session/session";
import { makeField, settle, TestModel } from "../model";
import { findButton, setUpPage } from "../page";

const page = setUpPage();
const KEY = `${location.pathname}\nw-1`;

beforeEach(() => localStorage.clear());

const strokes = (more: object = {}) => ({
  image: "photo.jpg",
  width: 8,
  height: 8,
  base: "alpha",
  sent: "old",
  steps: [{ erase: false, size: 4, points: [2, 2, 6, 6] }],
  undone: [],
  ...more,
});

/** Start a form in a new kernel, with a draft; the kernel calls each mask `new`. */
async function startForm(image: Value, draft: object, more: Partial<Field> = {}) {
  writeDraft(KEY, { values: {}, ran: {}, counting: null, ...draft });
  const el = await page.start({ fields: [makeField("image", "image", more)], values: { image }, storage: "w-1" });
  page.model.kernel = (content) => {
    const set = (value: Value) => page.model.setTraits({ values: { image: value } });
    if (content.kind === "set") set(content.value as Value);
    if (content.kind !== "mask") return {};
    const value = { image: String(content.image), mask: "new" };
    set(value);
    return { value };
  };
  for (const sent of page.model.getSent("set")) page.model.answer(sent, page.model.kernel(sent, []));
  await new Promise((resolve) => setTimeout(resolve, 30));
  await settle();
  return el;
}

const getImage = () => (page.model.get("values") as Record<string, Value>).image;

describe("the strokes of a draft", () => {
  it("are painted again on the image that the cell gives", async () => {
    await startForm("photo.jpg", { masks: { image: strokes() } });
    expect(page.model.getSent("mask")).toMatchObject([{ name: "image", image: "photo.jpg", base: "alpha" }]);
    expect(getImage()).toEqual({ image: "photo.jpg", mask: "new" });
    expect(readDraft(KEY).masks?.image).toMatchObject({ sent: "new" });
  });

  it("are painted again on the mask that the cell gives", async () => {
    await startForm({ image: "photo.jpg", mask: "b1" }, { masks: { image: strokes({ base: "b1" }) } });
    expect(page.model.getSent("mask")).toMatchObject([{ base: "b1" }]);
  });

  it("are left alone where the image is another one, or has their mask", async () => {
    for (const image of ["fox.png", { image: "photo.jpg", mask: "old" }, { image: "photo.jpg", mask: "b1" }, null]) {
      await startForm(image, { masks: { image: strokes() } });
      expect(page.model.getSent("mask")).toEqual([]);
      expect(page.model.getSent("set")).toEqual([]);
    }
  });

  it("come back with an image that was typed", async () => {
    const value = { image: "photo.jpg", mask: "old" };
    await startForm(null, { values: { image: value }, masks: { image: strokes() } });
    expect(page.model.getSent("set")).toMatchObject([{ value: "photo.jpg" }]);
    expect(page.model.getSent("mask")).toHaveLength(1);
  });

  it("are missing with a word, and the image comes back", async () => {
    const el = await startForm(null, { values: { image: { image: "photo.jpg", mask: "old" } } });
    expect(getImage()).toBe("photo.jpg");
    expect(el.textContent).toContain("image: the mask is lost: paint it again");
  });

  it("are forgotten with the mask", async () => {
    const el = await startForm("photo.jpg", { masks: { image: strokes() } });
    expect(isRecord(getImage())).toBe(true);
    findButton(el, "Clear the mask")?.click();
    await settle();
    expect(getImage()).toBe("photo.jpg");
    expect(readDraft(KEY).masks).toBeUndefined();
  });
});

it("runs nothing if a mask that was painted can't be sent", async () => {
  for (const error of ["too large", ""]) {
    const model = new TestModel({ fields: [makeField("image", "image")], values: { image: "photo.jpg" } });
    const session = new Session(model.asModel);
    model.kernel = ({ kind }) => (kind !== "mask" ? {} : error ? { error } : { value: { mask: "new" } });
    session.masks.send("image", strokes());
    session.submitter.submit();
    await session.masks.sending;
    await settle();
    expect(session.notice).toBe(error && `image: ${error}`);
    expect(model.getSent("run")).toHaveLength(error ? 0 : 1);
    session.destroy();
  }
});
