/** Bundles the widget into the Python package: one minified module and one style sheet, each within its bound. */
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** Most bytes of each file: the kernel sends both to every page. */
const MAX_BYTES = { "widget.js": 140_000, "widget.css": 30_000 };

const resolvePath = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = resolvePath("../comfykit_jupyter/notebook/static");

/** @type {import("esbuild").BuildOptions} */
const options = {
  entryPoints: { widget: resolvePath("src/index.tsx") },
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "info",
};

if (process.argv.includes("--watch")) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  await esbuild.build(options);
  for (const [name, limit] of Object.entries(MAX_BYTES)) {
    const { size } = await stat(`${outdir}/${name}`);
    if (size > limit) throw new Error(`${name} has ${size} bytes; it must have at most ${limit}`);
  }
}
