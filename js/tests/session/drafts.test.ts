/** Tests of drafts and their storage. */

import { beforeEach, describe, expect, it } from "vitest";
import { writeDraft } from "../../src/session/draftStorage";
import { acceptAll, makeField, settle } from "../model";
import { chooseMode, findButton, findControl, getMode, setUpPage, typeText } from "../page";

const page = setUpPage();

beforeEach(() => localStorage.clear());

const fields = [
  makeField("prompt", "text", { default: "a cat" }),
  makeField("steps", "integer", { default: 20 }),
  makeField("seed", "seed", { default: "random" }),
];
const values = { prompt: "a cat", steps: 20, seed: "random" };

/** Start a form as a new kernel does. */
async function startForm(more: Record<string, string | number> = {}, storage = "w-1") {
  const el = await page.start({ fields, values: { ...values, ...more }, storage });
  acceptAll(page.model);
  return el;
}

/** Start the form again after a restart of the kernel, which has forgotten all values. */
async function restartForm(more: Record<string, string | number> = {}, storage = "w-1") {
  const el = await startForm(more, storage);
  await settle();
  return el;
}

describe("a draft", () => {
  it("is restored after a restart of the kernel, and sent to it", async () => {
    await typeText(findControl(await startForm(), "prompt"), "a fox");
    const el = await restartForm();
    expect(findControl(el, "prompt").value).toBe("a fox");
    expect(page.model.getSent("set")).toMatchObject([{ name: "prompt", value: "a fox" }]);
    expect(el.textContent).toContain("not run yet: prompt");
  });

  it("is not restored over a value that Python has set since", async () => {
    await typeText(findControl(await startForm(), "prompt"), "a fox");
    const el = await restartForm({ prompt: "a hare" });
    expect(findControl(el, "prompt").value).toBe("a hare");
    expect(page.model.getSent("set")).toEqual([]);
  });

  it("belongs to one workflow", async () => {
    await typeText(findControl(await startForm(), "prompt"), "a fox");
    expect(findControl(await restartForm({}, "other"), "prompt").value).toBe("a cat");
  });

  it("is restored after it was run as well, but no longer as a draft", async () => {
    const el = await startForm();
    await typeText(findControl(el, "prompt"), "a fox");
    findButton(el, "Run")?.click();
    await settle();
    const again = await restartForm();
    expect(findControl(again, "prompt").value).toBe("a fox");
    expect(again.textContent).not.toContain("not run yet");
  });

  it("takes precedence over the run before it, which the kernel has found", async () => {
    const el = await startForm();
    await typeText(findControl(el, "prompt"), "a fox");
    findButton(el, "Run")?.click();
    await settle();
    await typeText(findControl(el, "prompt"), "a hare");
    expect(findControl(await restartForm({ prompt: "a fox" }), "prompt").value).toBe("a hare");
    expect(findControl(await restartForm({ prompt: "from code" }), "prompt").value).toBe("from code");
  });

  it("leaves alone what only Python has set", async () => {
    const el = await startForm({ steps: 30 });
    findButton(el, "Run")?.click();
    await settle();
    expect(findControl(await restartForm(), "steps").value).toBe("20");
  });

  it("keeps what is typed after Run, before the kernel has answered", async () => {
    const el = await startForm();
    await typeText(findControl(el, "prompt"), "a fox");
    const { kernel } = page.model;
    page.model.kernel = (content, buffers) => (content.kind === "run" ? undefined : kernel(content, buffers));
    findButton(el, "Run")?.click();
    await typeText(findControl(el, "prompt"), "a hare");
    page.model.answer(page.model.getSent("run")[0] ?? {});
    await settle();
    const again = await restartForm();
    expect(findControl(again, "prompt").value).toBe("a hare");
    expect(again.textContent).toContain("not run yet: prompt");
  });

  it("is kept when the kernel rejects the run", async () => {
    const el = await startForm();
    await typeText(findControl(el, "prompt"), "a fox");
    page.model.kernel = () => ({ error: "no" });
    findButton(el, "Run")?.click();
    await settle();
    expect(findControl(await restartForm(), "prompt").value).toBe("a fox");
  });

  it("ends when the value is changed back", async () => {
    const el = await startForm();
    await typeText(findControl(el, "steps"), "30");
    await typeText(findControl(el, "steps"), "20");
    expect(localStorage.getItem("comfykit-jupyter")).toBe("{}");
  });

  it("moves with its notebook when that is renamed, and belongs to no other notebook", async () => {
    const callbacks = new Set<() => void>();
    const pathChanged = {
      connect: (callback: () => void) => void callbacks.add(callback),
      disconnect: (callback: () => void) => void callbacks.delete(callback),
    };
    const notebook = { localPath: "a.ipynb", pathChanged };
    const open = async (path: string) => {
      notebook.localPath = path;
      return findControl(await page.start({ fields, values, storage: "w-1" }, 1, { context: notebook }), "prompt");
    };
    await typeText(await open("a.ipynb"), "a fox");
    expect((await open("b.ipynb")).value).toBe("a cat");
    expect((await open("a.ipynb")).value).toBe("a fox");
    notebook.localPath = "renamed.ipynb";
    for (const callback of callbacks) callback();
    expect((await open("a.ipynb")).value).toBe("a cat");
    expect((await open("renamed.ipynb")).value).toBe("a fox");
  });

  it("keeps that a seed is incremented", async () => {
    const el = await startForm({ seed: 5 });
    await chooseMode(el, "increment");
    findButton(el, "Run")?.click();
    await settle();
    const again = await restartForm();
    expect(getMode(again)).toBe("increment");
    expect(findControl(again, "seed").value).toBe("6");
  });
});

describe("the browser's storage", () => {
  it("is bounded: the oldest drafts are dropped", () => {
    const long = "x".repeat(30_000);
    for (let index = 0; index < 50; index++)
      writeDraft(`w${index}`, { values: { prompt: long }, ran: {}, counting: null });
    const text = localStorage.getItem("comfykit-jupyter") ?? "";
    expect(text.length).toBeLessThanOrEqual(200_000);
    expect(text).toContain("w49");
    expect(text).not.toContain('w1"');
  });

  it("may hold anything", async () => {
    for (const junk of ["{", "[1]", '{"/\\nw-1":{"values":7,"counting":"x"}}']) {
      localStorage.setItem("comfykit-jupyter", junk);
      expect(findControl(await restartForm(), "prompt").value).toBe("a cat");
    }
  });
});
