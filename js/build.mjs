/** Bundles the widget into the Python package: one minified module and one style sheet, each within its bound. */
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** Most bytes of each file: the kernel sends both to every page. */
const MAX_BYTES = { "widget.js": 140_000, "widget.css": 30_000 };

const resolvePath = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = resolvePath("../comfykit_jupyter/notebook/static");

/** What components have of Preact: it is in the bundle, too, so that both get the same short names. */
/**
 * Properties with short names in the bundle. They are ours alone: none of them is in a message, a trait, an attribute
 * or an object of the browser, of the host or of Preact. Everything else keeps its name.
 */
const LIFE_CYCLE = `
  componentDidCatch componentDidMount componentDidUpdate componentWillMount componentWillReceiveProps
  componentWillUnmount componentWillUpdate current forceUpdate getChildContext getDerivedStateFromError
  getDerivedStateFromProps getSnapshotBeforeUpdate setState shouldComponentUpdate
`;
const OURS = `
  gutter measure toHeight
  active activeTile annotation announceView arrange arrangement canRemove cancelAll cancelling caption
  captionLines channel compareOnly compared countStack countStale countStates describe destroy details drafts
  edited explorer filterBy findRan focused getDraftKey getError getFields getFrame getMarkByte getMarks getRun
  getState groupWidth groups handleAnswer handleChange handleKernelChange handleKeyChange handleRun hasRun
  headHeight holders incrementing infoOpen inner interruptKernel isStale labelWidth layout listPicked listShown
  notice notifyViews onActivate onAnnotate onAnswer onChoose onCompare onCopy onDiscard onInfo onKernelChange
  onOpen onRemove onShow onSight pageId placeLines pointAt removeSight requestOrNotify reveals runCount
  secondsSinceProgress segments sequence session setIncrementing setMarkByte setSight showHeading showLabel
  showLabels showName showNotice shown stagedId summons thumbUrl thumbs toggleCompared togglePanel togglePin
  toggleSelected toggleSlider toggleStack totalHeight totalWidth uploads watchPoint zoomBy
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
  mangleProps: new RegExp(`^(${`${OURS}${LIFE_CYCLE}`.trim().split(/\s+/).join("|")})$`),
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
