/**
 * Bundles the widget into the Python package: one minified module and one style sheet, each within its bound.
 * Bundles the JupyterLab extension into labextension/, which the wheel installs into share/jupyter.
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** Most bytes of each file: the kernel sends both to every page. */
const MAX_BYTES = { "widget.js": 175_000, "widget.css": 30_000 };

/** Most bytes that the painter of masks takes in the bundle. */
const MAX_PAINTER_BYTES = 12_200;

const resolvePath = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = resolvePath("../comfykit_jupyter/notebook/static");

/** @type {import("esbuild").BuildOptions} */
const options = {
  entryPoints: { widget: resolvePath("src/index.tsx") },
  outdir,
  bundle: true,
  // Not the automatic form of tsconfig.json: it names the children of each element, which takes 4 kB more.
  tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
  inject: [resolvePath("src/jsx.ts")],
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  logLevel: "info",
};

/** Most bytes of the extension: JupyterLab loads it at each start. */
const MAX_LAB_BYTES = 14_000;
const labextension = resolvePath("../labextension");

/** Build the extension. Its file is named after its content, so that no browser keeps an old one. */
async function buildLab() {
  const built = await esbuild.build({
    entryPoints: [resolvePath("lab/index.ts")],
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    minify: true,
    charset: "utf8",
    loader: { ".svg": "text" },
    legalComments: "none",
    metafile: true,
  });
  const [{ contents }] = built.outputFiles;
  if (contents.length > MAX_LAB_BYTES) {
    throw new Error(`the extension has ${contents.length} bytes; it must have at most ${MAX_LAB_BYTES}`);
  }
  const load = `static/remoteEntry.${createHash("sha256").update(contents).digest("hex").slice(0, 12)}.js`;
  const about = JSON.parse(await readFile(resolvePath("lab/package.json"), "utf8"));
  about.jupyterlab._build = { load, extension: "./extension" };
  await rm(labextension, { recursive: true, force: true });
  await mkdir(`${labextension}/static`, { recursive: true });
  await writeFile(`${labextension}/${load}`, contents);
  await cp(resolvePath("lab/schemas"), `${labextension}/schemas/${about.name}`, { recursive: true });
  for (const [name, data] of [
    ["package.json", about],
    [
      "install.json",
      { packageManager: "python", packageName: about.name, uninstallInstructions: `pip uninstall ${about.name}` },
    ],
  ]) {
    await writeFile(`${labextension}/${name}`, `${JSON.stringify(data, null, 2)}\n`);
  }
}

if (process.argv.includes("--watch")) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  const [{ metafile }] = await Promise.all([esbuild.build(options), buildLab()]);
  const parts = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs));
  const painter = parts.filter(([path]) => path.includes("src/masks/"));
  const bytes = painter.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0);
  if (bytes > MAX_PAINTER_BYTES) {
    throw new Error(`the painter of masks (src/masks) has ${bytes} bytes; it must have at most ${MAX_PAINTER_BYTES}`);
  }
  for (const [name, limit] of Object.entries(MAX_BYTES)) {
    const { size } = await stat(`${outdir}/${name}`);
    if (size > limit) throw new Error(`${name} has ${size} bytes; it must have at most ${limit}`);
  }
}
