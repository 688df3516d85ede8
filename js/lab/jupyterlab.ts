/** The parts of JupyterLab that the extension uses. Written here, because its own types would need 400 MB of packages. */

export interface Signal<T> {
  connect(callback: (sender: unknown, value: T) => void): unknown;
}

export interface Contents {
  get(path: string, options?: { content?: boolean; format?: string; type?: string }): Promise<FileModel>;
  save(path: string, options: Partial<FileModel>): Promise<FileModel>;
  newUntitled(options: { path: string; type: string; ext?: string }): Promise<FileModel>;
  rename(path: string, newPath: string): Promise<FileModel>;
  delete(path: string): Promise<void>;
  localPath(path: string): string;
  driveName(path: string): string;
}

export interface FileModel {
  name: string;
  path: string;
  type: string;
  size?: number;
  format: string | null;
  content: unknown;
}

export interface Cell {
  readonly node: HTMLElement;
  readonly model: { readonly type: string; readonly sharedModel: { source: string; execution_count?: number | null } };
}

interface NotebookView {
  readonly node: HTMLElement;
  readonly widgets: readonly Cell[];
  readonly activeCell: Cell | null;
  activeCellIndex: number;
  readonly model: { getMetadata?(name: string): unknown; readonly readOnly?: boolean } | null;
}

export interface KernelMessage {
  header: { msg_type: string };
  content: {
    comm_id?: string;
    /** A message of a widget: traits, or what the kernel sends to the widget's page. */
    data?: { state?: Record<string, unknown>; content?: { header?: { status?: unknown; summary?: unknown } } };
  };
}

export interface NotebookPanel {
  readonly id: string;
  readonly node: HTMLElement;
  readonly isDisposed: boolean;
  readonly title: { label: string; dataset: Record<string, string> };
  readonly content: NotebookView;
  readonly context: { path: string; ready: Promise<void> };
  readonly revealed?: Promise<void>;
  readonly sessionContext: {
    ready: Promise<void>;
    statusChanged: Signal<string>;
    kernelChanged: Signal<unknown>;
    iopubMessage: Signal<KernelMessage>;
  };
  readonly disposed: Signal<void>;
}

export interface NotebookTracker {
  readonly currentWidget: NotebookPanel | null;
  readonly widgetAdded: Signal<NotebookPanel>;
  find(predicate: (panel: NotebookPanel) => boolean): NotebookPanel | undefined;
  forEach(callback: (panel: NotebookPanel) => void): void;
}

export interface Command {
  label: string;
  caption?: string;
  icon?: unknown;
  isEnabled?(): boolean;
  isVisible?(): boolean;
  execute(args: { cwd?: string; path?: string }): unknown;
}

export interface App {
  readonly commands: {
    addCommand(id: string, command: Command): unknown;
    execute(id: string, args?: object): Promise<unknown>;
    hasCommand(id: string): boolean;
  };
  readonly contextMenu: { addItem(item: { command: string; selector: string; rank: number }): unknown };
  readonly shell: { activateById(id: string): void };
  readonly serviceManager: {
    contents: Contents;
    serverSettings: { baseUrl: string };
    kernelspecs: {
      ready: Promise<void>;
      specs: { default: string; kernelspecs: Record<string, { language: string } | undefined> } | null;
    };
  };
}

/** The modules that JupyterLab shares. One that the host lacks is undefined, and plugins that require it are left out. */
export interface Shared {
  notebook?: {
    INotebookTracker: unknown;
    NotebookActions: {
      insertBelow(view: NotebookView): void;
      run(view: NotebookView, session: unknown): Promise<boolean>;
    };
  };
  apputils?: {
    ICommandPalette: unknown;
    Notification: Record<
      "success" | "warning" | "error" | "info",
      (text: string, options?: { autoClose: number | false }) => string
    >;
  };
  application?: { ILabShell: unknown };
  filebrowser?: { IFileBrowserFactory: unknown };
  launcher?: { ILauncher: unknown };
  settingregistry?: { ISettingRegistry: unknown };
  uiComponents?: { LabIcon: new (options: { name: string; svgstr: string }) => unknown };
}

export interface Plugin {
  id: string;
  description: string;
  autoStart: boolean;
  requires?: unknown[];
  optional?: unknown[];
  // biome-ignore lint/suspicious/noExplicitAny: each plugin gets the services it has asked for.
  activate(app: App, ...services: any[]): void;
}
