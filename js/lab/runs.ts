/** What the tab and the notifications say of a notebook's runs. The kernel's messages to its widgets say it all. */

import type { App, KernelMessage, NotebookPanel, NotebookTracker, Plugin, Shared } from "./jupyterlab";

const ID = "comfykit-jupyter:runs";
const ACTIVE = ["queued", "running"];
/** The ends that are notified, and how. A user who cancels a run or pauses a sweep knows. */
const ENDS: Record<string, "info" | "warning" | "error"> = { completed: "info", paused: "warning", failed: "error" };
/** The number is an attribute of the tab, which only the tab's own pseudo-elements can show: before the close button. */
const STYLE = `
.lm-TabBar-tab[data-comfykit-runs]::after {
  content: attr(data-comfykit-runs);
  order: 1;
  flex: none;
  align-self: center;
  margin-left: 4px;
  padding: 0 5px;
  line-height: 14px;
  border-radius: 7px;
  background: var(--jp-brand-color1);
  color: var(--jp-ui-inverse-font-color1);
  font-size: var(--jp-ui-font-size0);
}
.lm-TabBar-tab[data-comfykit-runs] .lm-TabBar-tabCloseIcon {
  order: 2;
}`;

interface Settings {
  readonly composite: { badge?: boolean; notify?: boolean; notifyAfter?: number };
  readonly changed: { connect(callback: () => void): unknown };
}

/** Return the plugin; undefined if the host lacks notebooks. */
export function makeRunsPlugin(shared: Shared): Plugin | undefined {
  const { notebook, application, settingregistry } = shared;
  if (notebook === undefined || application === undefined || settingregistry === undefined) return undefined;
  return {
    id: ID,
    description: "Marks the tabs of notebooks with runs, and notifies when a long run ends.",
    autoStart: true,
    // Notebook 7 has no tabs.
    requires: [notebook.INotebookTracker, application.ILabShell],
    optional: [settingregistry.ISettingRegistry],
    activate(
      _app: App,
      tracker: NotebookTracker,
      _shell: unknown,
      registry: { load(id: string): Promise<Settings> } | null,
    ) {
      const style = document.createElement("style");
      style.textContent = STYLE;
      document.head.append(style);
      const watches = new Set<RunWatch>();
      let settings: Settings | undefined;
      tracker.widgetAdded.connect((_tracker, panel) => {
        const watch = new RunWatch(shared, panel, () => settings?.composite ?? {});
        watches.add(watch);
        panel.disposed.connect(() => watches.delete(watch));
      });
      void registry?.load(ID).then((loaded) => {
        settings = loaded;
        const apply = () => {
          for (const watch of watches) watch.render();
          // The browser asks only once, and only after a click, such as the one on this setting.
          if (loaded.composite.notify && globalThis.Notification?.permission === "default") {
            void globalThis.Notification.requestPermission();
          }
        };
        loaded.changed.connect(apply);
        for (const watch of watches) watch.render();
      });
    },
  };
}

/** The runs and sweeps of one notebook: which of its widgets have one, and since when. */
class RunWatch {
  readonly #active = new Map<string, number>();
  readonly #titles = new Map<string, string>();

  constructor(
    readonly shared: Shared,
    readonly panel: NotebookPanel,
    readonly getSettings: () => Settings["composite"],
  ) {
    const { sessionContext } = panel;
    sessionContext.iopubMessage.connect((_session, message) => this.#onMessage(message));
    sessionContext.kernelChanged.connect(() => this.#forget());
    sessionContext.statusChanged.connect((_session, status) => {
      if (["dead", "terminating", "restarting", "autorestarting"].includes(status)) this.#forget();
    });
  }

  /** Mark the tab, or remove the mark. */
  render(): void {
    if (this.panel.isDisposed) return;
    const { title } = this.panel;
    const { "comfykit-runs": before, ...others } = title.dataset;
    const count = this.getSettings().badge === false ? 0 : this.#active.size;
    const now = count === 0 ? undefined : String(count);
    if (now !== before) title.dataset = now === undefined ? others : { ...others, "comfykit-runs": now };
  }

  #forget(): void {
    this.#active.clear();
    this.#titles.clear();
    this.render();
  }

  #onMessage({ header, content }: KernelMessage): void {
    const id = content.comm_id;
    if (id === undefined) return;
    if (header.msg_type === "comm_close") {
      this.#active.delete(id);
      this.#titles.delete(id);
      this.render();
      return;
    }
    const { state = {}, content: own } = content.data ?? {};
    const isOurs = typeof state._anywidget_id === "string" && state._anywidget_id.startsWith("comfykit_jupyter.");
    if (isOurs || (this.#titles.has(id) && typeof state.title === "string"))
      this.#titles.set(id, String(state.title ?? ""));
    if (!this.#titles.has(id)) return;
    // A run has its status in a trait; the grid of a sweep gets it in the header of its messages.
    const { status, summary = "" } = own?.header ?? state;
    if (typeof status === "string") this.#setStatus(id, status, String(summary));
  }

  #setStatus(id: string, status: string, summary: string): void {
    const since = this.#active.get(id);
    const isActive = ACTIVE.includes(status);
    if (isActive && since === undefined) this.#active.set(id, performance.now());
    if (!isActive && since !== undefined) {
      this.#active.delete(id);
      this.#notify(this.#titles.get(id) || "The run", status, summary, (performance.now() - since) / 1000);
    }
    this.render();
  }

  #notify(title: string, status: string, summary: string, seconds: number): void {
    const { notify, notifyAfter = 60 } = this.getSettings();
    const show = ENDS[status];
    if (!notify || seconds < notifyAfter || show === undefined) return;
    const details = summary && ` – ${summary}`;
    const text = `${title}: ${status} after ${formatSeconds(seconds)}${details} (${this.panel.title.label})`;
    this.shared.apputils?.Notification[show](text, { autoClose: false });
    if (document.hidden && globalThis.Notification?.permission === "granted") new globalThis.Notification(text);
  }
}

function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
