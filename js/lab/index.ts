/** The container of the JupyterLab extension: what webpack's module federation would make of it, without webpack. */

import { makeExamplePlugin, makeOpenPlugin } from "./commands";
import { makeDropPlugin } from "./drop";
import type { Plugin, Shared } from "./jupyterlab";
import { makeRunsPlugin } from "./runs";

const NAME = "comfykit-jupyter";

/** By module and version: what JupyterLab shares. */
type ShareScope = Record<string, Record<string, { get(): Promise<() => unknown> | (() => unknown) }> | undefined>;

const MODULES: Record<keyof Shared, string> = {
  notebook: "@jupyterlab/notebook",
  apputils: "@jupyterlab/apputils",
  application: "@jupyterlab/application",
  filebrowser: "@jupyterlab/filebrowser",
  launcher: "@jupyterlab/launcher",
  settingregistry: "@jupyterlab/settingregistry",
  uiComponents: "@jupyterlab/ui-components",
};

let scope: ShareScope = {};

async function importShared(name: string): Promise<unknown> {
  const [version] = Object.values(scope[name] ?? {});
  return version === undefined ? undefined : (await version.get())();
}

async function makePlugins(): Promise<Plugin[]> {
  const entries = Object.entries(MODULES).map(async ([key, name]) => [key, await importShared(name)] as const);
  const shared = Object.fromEntries(await Promise.all(entries)) as Shared;
  const plugins = [makeDropPlugin, makeOpenPlugin, makeExamplePlugin, makeRunsPlugin].map((make) => make(shared));
  return plugins.filter((plugin) => plugin !== undefined);
}

const page = window as unknown as { _JUPYTERLAB?: Record<string, unknown> };
page._JUPYTERLAB = {
  ...page._JUPYTERLAB,
  [NAME]: {
    init(shareScope: ShareScope): void {
      scope = shareScope;
    },
    async get(): Promise<() => unknown> {
      const plugins = await makePlugins();
      return () => ({ __esModule: true, default: plugins });
    },
  },
};
