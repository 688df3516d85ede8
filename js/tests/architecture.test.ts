/** Tests of the sources as a whole: what no one uses, and how large files and folders are. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const MAX_LINES = 450;
const MAX_FILES = 20;

/** Read all files of a folder whose names end in this way, by path. */
function read(folder: string, ending: RegExp): [string, string][] {
  const names = readdirSync(resolve(ROOT, folder), { recursive: true }) as string[];
  const files = names.filter((name) => ending.test(name)).map((name) => join(folder, name));
  return files.map((file) => [file, readFileSync(resolve(ROOT, file), "utf8")]);
}

const sources = [...read("src", /\.tsx?$/), ...read("lab", /\.ts$/)];
const tests = read("tests", /\.tsx?$/);
const styles = read("src", /\.css$/);

it("exports nothing that only its own file uses", () => {
  const unused: string[] = [];
  for (const [file, text] of sources) {
    for (const [, name] of text.matchAll(/^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm)) {
      const word = new RegExp(`\\b${name}\\b`);
      const others = [...sources, ...tests].filter(([other, code]) => other !== file && word.test(code));
      if (others.length === 0) unused.push(`${file}: ${name}`);
    }
  }
  expect(unused).toEqual([]);
});

it("has no style for a class that no element gets", () => {
  const code = sources.map(([, text]) => text).join("\n");
  // The static output is made in Python; some classes end with a state, or with what is compared.
  const isUsed = (name: string) =>
    name === "ck-static" || code.includes(name) || code.includes(`${name.slice(0, name.lastIndexOf("-"))}-\${`);
  const names = styles.flatMap(([, style]) => style.match(/(?<=\.)ck-[\w-]+/g) ?? []);
  expect([...new Set(names)].filter((name) => !isUsed(name))).toEqual([]);
});

it("has short files and small folders", () => {
  const all = [...sources, ...tests];
  const long = all.filter(([, text]) => text.split("\n").length > MAX_LINES + 1).map(([file]) => file);
  const folders = sources.map(([file]) => dirname(file));
  const full = new Set(folders.filter((folder) => folders.filter((each) => each === folder).length > MAX_FILES));
  expect({ long, full: [...full] }).toEqual({ long: [], full: [] });
});
