import { beforeEach, describe, expect, it } from "vitest";
import { saveDraft } from "../../src/session/drafts";
import { field, obliging, settled } from "../model";
import { button, control, stand, type } from "../view";

const here = stand();

beforeEach(() => localStorage.clear());

const fields = [
  field("prompt", "text", { default: "a cat" }),
  field("steps", "integer", { default: 20 }),
  field("seed", "seed", { default: "random" }),
];
const values = { prompt: "a cat", steps: 20, seed: "random" };

/** The form as the kernel shows it for the first time. */
async function form(more: Record<string, string | number> = {}, storage = "w-1") {
  const el = await here.start({ fields, values: { ...values, ...more }, storage });
  obliging(here.model);
  return el;
}

/** The kernel has forgotten everything, and the cell was run again. */
async function restarted(more: Record<string, string | number> = {}, storage = "w-1") {
  const el = await form(more, storage);
  await settled();
  return el;
}

describe("what was typed and not run", () => {
  it("is back when the kernel has started again, and is told to it", async () => {
    await type(control(await form(), "prompt"), "a fox");
    const el = await restarted();
    expect(control(el, "prompt").value).toBe("a fox");
    expect(here.model.of("set")).toMatchObject([{ name: "prompt", value: "a fox" }]);
    expect(el.textContent).toContain("not run yet: prompt");
  });

  it("gives way to what the kernel was given since", async () => {
    await type(control(await form(), "prompt"), "a fox");
    const el = await restarted({ prompt: "a hare" });
    expect(control(el, "prompt").value).toBe("a hare");
    expect(here.model.of("set")).toEqual([]);
  });

  it("belongs to its workflow alone", async () => {
    await type(control(await form(), "prompt"), "a fox");
    expect(control(await restarted({}, "other"), "prompt").value).toBe("a cat");
  });

  it("is settled once it is run", async () => {
    const el = await form();
    await type(control(el, "prompt"), "a fox");
    button(el, "Run")?.click();
    await settled();
    expect(control(await restarted(), "prompt").value).toBe("a cat");
  });

  it("stays when the kernel refuses to run it", async () => {
    const el = await form();
    await type(control(el, "prompt"), "a fox");
    here.model.kernel = () => ({ error: "no" });
    button(el, "Run")?.click();
    await settled();
    expect(control(await restarted(), "prompt").value).toBe("a fox");
  });

  it("is forgotten when it is taken back", async () => {
    const el = await form();
    await type(control(el, "steps"), "30");
    await type(control(el, "steps"), "20");
    expect(localStorage.getItem("comfykit-jupyter")).toBe("{}");
  });

  it("goes with the notebook when that gets another name, and to no other notebook", async () => {
    const moved = new Set<() => void>();
    const pathChanged = {
      connect: (callback: () => void) => void moved.add(callback),
      disconnect: (callback: () => void) => void moved.delete(callback),
    };
    const notebook = { localPath: "a.ipynb", pathChanged };
    const open = async (path: string) => {
      notebook.localPath = path;
      return control(await here.start({ fields, values, storage: "w-1" }, 1, { context: notebook }), "prompt");
    };
    await type(await open("a.ipynb"), "a fox");
    expect((await open("b.ipynb")).value).toBe("a cat");
    expect((await open("a.ipynb")).value).toBe("a fox");
    notebook.localPath = "renamed.ipynb";
    for (const callback of moved) callback();
    expect((await open("a.ipynb")).value).toBe("a cat");
    expect((await open("renamed.ipynb")).value).toBe("a fox");
  });

  it("keeps how a seed goes on from run to run", async () => {
    const el = await form({ seed: 5 });
    const mode = el.querySelector(".ck-mode") as HTMLSelectElement;
    mode.value = "next";
    mode.dispatchEvent(new Event("change", { bubbles: true }));
    button(el, "Run")?.click();
    await settled();
    const again = await restarted();
    expect((again.querySelector(".ck-mode") as HTMLSelectElement).value).toBe("next");
    expect(control(again, "seed").value).toBe("6");
  });
});

describe("the browser's storage", () => {
  it("is bounded: the oldest forms make room", () => {
    const long = "x".repeat(30_000);
    for (let index = 0; index < 50; index++) saveDraft(`w${index}`, { values: { prompt: long }, counting: [] });
    const text = localStorage.getItem("comfykit-jupyter") ?? "";
    expect(text.length).toBeLessThanOrEqual(200_000);
    expect(text).toContain("w49");
    expect(text).not.toContain('w1"');
  });

  it("may hold anything, or refuse", async () => {
    for (const junk of ["{", "[1]", '{"/\\nw-1":{"values":7,"counting":"x"}}']) {
      localStorage.setItem("comfykit-jupyter", junk);
      expect(control(await restarted(), "prompt").value).toBe("a cat");
    }
  });
});
