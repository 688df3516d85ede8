/** Bundles the widget into the Python package: one minified module and one style sheet, each within its bound. */
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** Most bytes of each file: the kernel sends both to every page. */
const MAX_BYTES = { "widget.js": 140_000, "widget.css": 30_000 };

const resolvePath = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = resolvePath("../comfykit_jupyter/notebook/static");

/**
 * Properties with short names in the bundle. They are ours alone: none of them is in a message, a trait, an attribute
 * or an object of the browser, of the host or of Preact. Everything else keeps its name.
 */
const OURS = `
  activeTile annotation announceView arrange canRemove cancelAll captionLines
  channel compareOnly compared countStack countStale countStates describe
  destroy explorer filterBy findRan focused getDraftKey getError getFields
  getFrame getMarkByte getMarks getRun getState groupWidth handleAnswer
  handleChange handleKernelChange handleKeyChange handleRun hasRun headHeight
  infoOpen interruptKernel isStale labelWidth listPicked listShown notifyViews
  onActivate onAnnotate onAnswer onChoose onCompare onCopy onDiscard onInfo
  onKernelChange onOpen onRemove onShow onSight pageId placeLines pointAt
  removeSight requestOrNotify reveals secondsSinceProgress session setIncrementing
  setMarkByte setSight showHeading showLabel showLabels showName showNotice
  stagedId summons thumbUrl thumbs toggleCompared togglePanel togglePin
  toggleSelected toggleSlider toggleStack totalHeight totalWidth watchPoint
`;

/** @type {import("esbuild").BuildOptions} */
const options = {
  entryPoints: { widget: resolvePath("src/index.tsx") },
  outdir,
  bundle: true,
  // Shorter by 4 kB than the automatic form, which names the children of each element.
  tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
  inject: [resolvePath("src/jsx.ts")],
  format: "esm",
  target: "es2022",
  minify: true,
  mangleProps: new RegExp(`^(${OURS.trim().split(/\s+/).join("|")})$`),
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
