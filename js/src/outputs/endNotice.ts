/** Announces the end of a run while the page is hidden: in the tab's title and, if wanted, by a notification. */

import { useEffect, useRef } from "preact/hooks";
import { listen } from "../listen";
import type { Session } from "../session/session";
import { readStored, writeStored } from "../session/storage";

/** Seconds that a run must take for a notification. */
const MIN_SECONDS = 30;
const STORAGE_KEY = "comfykit-jupyter-notify";

const MARKS = { completed: "✓", failed: "✗" } as const;

/** Return whether this page may ask for notifications. */
export function canNotify(): boolean {
  return typeof Notification !== "undefined" && isSecureContext && Notification.permission !== "denied";
}

/** Return whether the user wants to be notified. */
export function wantsNotice(): boolean {
  return canNotify() && Notification.permission === "granted" && readStored(STORAGE_KEY) === "1";
}

/** Set whether the user wants to be notified, and return whether that is so now: the browser may say no. */
export async function setWantsNotice(on: boolean): Promise<boolean> {
  const wanted = on && canNotify() && (await Notification.requestPermission()) === "granted";
  writeStored(STORAGE_KEY, wanted ? "1" : "");
  return wantsNotice();
}

/** Announce the end of the last run while the page is hidden. */
export function useEndNotice(session: Session): void {
  const startedAt = useRef<number | null>(null);
  const { active } = session;
  const status = session.get("status");
  useEffect(() => {
    if (active) {
      startedAt.current ??= performance.now();
      return;
    }
    const seconds = startedAt.current === null ? 0 : (performance.now() - startedAt.current) / 1000;
    startedAt.current = null;
    if (seconds < MIN_SECONDS || !document.hidden || !(status === "completed" || status === "failed")) return;
    announce(session.get("title"), status);
  }, [session, active, status]);
}

function announce(title: string, status: "completed" | "failed"): void {
  const before = document.title;
  const marked = `${MARKS[status]} ${title}`;
  document.title = marked;
  const stop = listen(document, "visibilitychange", () => {
    if (document.hidden) return;
    stop();
    if (document.title === marked) document.title = before;
  });
  if (!wantsNotice()) return;
  try {
    const notice = new Notification(title, { body: status === "completed" ? "The run is done." : "The run failed." });
    notice.onclick = () => {
      window.focus();
      notice.close();
    };
  } catch {
    // Some browsers allow notifications to service workers only.
  }
}
