/** Tests the list of what the server lacks. */

import { describe, expect, it } from "vitest";
import { buildCommand } from "../../src/controls/missing";
import type { Missing } from "../../src/session/protocol";
import { makeField, settle } from "../model";
import { findButton, setUpPage } from "../page";

const ITEM: Missing = {
  kind: "model",
  name: "dream.safetensors",
  parameter: "checkpoint",
  label: "Checkpoint",
  folder: "checkpoints",
  nearest: "dreams.safetensors",
  url: "https://models.example/dream.safetensors",
  host: "models.example",
  pack: "",
  downloadable: true,
  download: null,
};
const FIELD = makeField("checkpoint", "choice", { default: "dream.safetensors", choices: ["dreams.safetensors"] });
const TRAITS = {
  fields: [FIELD],
  values: { checkpoint: "dream.safetensors" },
  server: { address: "gpu-box:8188" },
  missing: [ITEM],
};

describe("the list of what is missing", () => {
  const page = setUpPage();

  it("says what is missing where, and takes what the server has instead", async () => {
    const el = await page.start(TRAITS);
    const list = el.querySelector(".ck-lacking") as HTMLElement;
    expect(list.textContent).toContain("1 file is missing on ");
    expect(list.textContent).toContain("Checkpoint · models/checkpoints");
    expect(list.querySelector("a")?.getAttribute("href")).toBe(ITEM.url);
    findButton(list, "Use dreams.safetensors")?.click();
    await settle();
    expect(page.model.getSent("set").at(-1)).toMatchObject({
      kind: "set",
      name: "checkpoint",
      value: "dreams.safetensors",
    });
    expect(el.querySelector(".ck-lacking")).toBeNull();
  });

  it("downloads only after a yes to the address", async () => {
    const el = await page.start(TRAITS);
    findButton(el, "Download")?.click();
    await settle();
    expect(page.model.getSent("download")).toEqual([]);
    expect(el.textContent).toContain(`Download ${ITEM.url} into models/checkpoints?`);
    findButton(el, "No")?.click();
    await settle();
    findButton(el, "Download")?.click();
    await settle();
    findButton(el, "Yes, download from models.example")?.click();
    await settle();
    expect(page.model.getSent("download").at(-1)).toMatchObject({ kind: "download", name: ITEM.name, url: ITEM.url });
  });

  it("shows how far a download is and from which host, and stops it", async () => {
    const download = {
      status: "running",
      received: 5e8,
      total: 2e9,
      host: "cdn.example",
      verified: false,
      message: "",
    };
    const el = await page.start({ ...TRAITS, missing: [{ ...ITEM, download: download as Missing["download"] }] });
    expect(el.querySelector(".ck-lacking")?.textContent).toContain("from cdn.example");
    findButton(el.querySelector(".ck-lacking") as HTMLElement, "Cancel")?.click();
    await settle();
    expect(page.model.getSent("stop_download").at(-1)).toMatchObject({ kind: "stop_download", name: ITEM.name });
  });

  it("names missing nodes with their package, without a button that sets them", async () => {
    const node: Missing = {
      ...ITEM,
      kind: "node",
      name: "GlowUp",
      nearest: "",
      pack: "glow-pack",
      url: "",
      downloadable: false,
    };
    const el = await page.start({ ...TRAITS, missing: [node, ITEM] });
    expect(el.querySelector(".ck-lacking")?.textContent).toContain("1 file and 1 node are missing");
    expect(el.querySelector(".ck-lacking")?.textContent).toContain("GlowUp of glow-pack: install it");
  });

  it("quotes names in the command that it copies", () => {
    expect(buildCommand({ ...ITEM, name: "it's.safetensors" })).toBe(
      "curl -L --create-dirs -o 'models/checkpoints/it'\\''s.safetensors' 'https://models.example/dream.safetensors'",
    );
  });
});
