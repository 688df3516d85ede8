// Bundles the widget into the Python package: one minified module, one style sheet.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { minify } from "terser";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// What parts of the widget call each other's: neither the page nor the kernel ever sees these names.
const OWN =
  /^(active|arithmetic|channel|cells|closed|controller|flush|holders|late|meanwhile|moves|on(Active|Changed|Choose|Info|Open|Show)|opened|refusal|restored|segments?|session|since\w+|stopUpload|touched|uploadOf|wanted)$/;

const variables = [];

/** The text with the style's own variables called --ck-0, --ck-1 and so on. */
function withShortVariables(text) {
  return text.replace(/--ck-[a-z-]+/g, (name) => {
    if (!variables.includes(name)) variables.push(name);
    return `--ck-${variables.indexOf(name).toString(36)}`;
  });
}

/** @type {import("esbuild").BuildOptions} */
const options = {
  entryPoints: { widget: here("src/index.tsx") },
  outdir: here("../comfykit_jupyter/notebook/static"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
  inject: [here("jsx.mjs")],
  mangleProps: OWN,
  legalComments: "none",
  logLevel: "info",
};

if (process.argv.includes("--watch")) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  await esbuild.build(options);
  // Once more, by one that looks at all of it at once: it leaves out two in a hundred.
  const bundle = here("../comfykit_jupyter/notebook/static/widget.js");
  const style = bundle.replace(/js$/, "css");
  const { code } = await minify(await readFile(bundle, "utf8"), {
    module: true,
    ecma: 2022,
    compress: { passes: 3, unsafe_arrows: true },
  });
  await writeFile(bundle, withShortVariables(code));
  await writeFile(style, withShortVariables(await readFile(style, "utf8")));
}
