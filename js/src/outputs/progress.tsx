/** Shows the progress of the run on the stage, and the runs that wait behind it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { formatClock, formatDuration } from "../format";
import { CloseIcon, IconButton } from "../icons";
import { clamp } from "../number";
import { useTopics } from "../session/hooks";
import type { Progress, Run, Status } from "../session/protocol";
import type { Session } from "../session/session";
import { findStagedRun } from "./runs";

/** Milliseconds between changes of the status, because screen readers read each of them aloud. */
const STATUS_INTERVAL = 1000;

/** Seconds below which a failed or cancelled run does not say when it ended. */
const MIN_SECONDS = 0.05;

/** The status in words, the progress bar and the waiting runs. */
export function ProgressPanel({ session }: { session: Session }) {
  useTopics(session, "progress");
  const active = session.active && !session.channel.closed;
  useEachSecond(active);
  const status = session.get("status");
  const progress = session.get("progress");
  const text = useThrottled(formatStatus(status, progress, findStagedRun(session)), STATUS_INTERVAL);
  const running = status === "running";
  const times = active && running ? formatTimes(progress, session.secondsSinceProgress) : "";
  const percent = Math.round(100 * clamp(progress.fraction ?? 0, 0, 1));

  return (
    <div class="ck-progress">
      <div class="ck-status">
        <span role="status" class={status === "failed" ? "ck-error" : ""}>
          {text}
        </span>
        {times && <span class="ck-muted">{` · ${times}`}</span>}
      </div>
      {active ? (
        <div
          class="ck-bar"
          role="progressbar"
          aria-label="Progress"
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={running ? percent : undefined}
          aria-valuetext={text}
        >
          <div style={{ transform: `scaleX(${running ? percent / 100 : 0})` }} />
        </div>
      ) : (
        <div class="ck-bar ck-idle" />
      )}
      <Queue session={session} />
    </div>
  );
}

/** Describe a run in words, without its times: "KSampler 12/20 · 2 of 7 nodes". */
function formatStatus(status: Status, progress: Partial<Progress>, run: Run | undefined): string {
  const seconds = run?.seconds ?? progress.elapsed ?? 0;
  const after = seconds < MIN_SECONDS ? "" : ` after ${formatDuration(seconds)}`;
  switch (status) {
    case "queued":
      return formatQueued(progress);
    case "running":
      return formatRunning(progress);
    case "completed": {
      const seeds = Object.entries(run?.seeds ?? {}).map(([name, seed]) => ` · ${name} ${seed}`);
      return `Done in ${formatDuration(seconds)}${seeds.join("")}`;
    }
    case "failed":
      return `Failed${after}`;
    case "cancelled":
      return `Cancelled${after}`;
    default:
      return "";
  }
}

function formatQueued({ queue_position: ahead, note }: Partial<Progress>): string {
  if (ahead === null || ahead === undefined) return note || "Queued";
  return ahead === 0 ? "Queued · next" : `Queued · ${ahead} ahead`;
}

function formatRunning(progress: Partial<Progress>): string {
  const { node_title: node, step, steps, nodes_done: done = 0, nodes_total: total, note } = progress;
  const nodeText = node && steps ? `${node} ${step ?? 0}/${steps}` : node;
  const totalText = total ? `${done} of ${total} nodes` : "";
  return [note || nodeText || "Starting", totalText].filter(Boolean).join(" · ");
}

function formatTimes({ elapsed = 0, remaining }: Partial<Progress>, since: number): string {
  const hasEstimate = remaining !== null && remaining !== undefined;
  const left = hasEstimate ? ` · ~${formatClock(Math.ceil(remaining - since))} left` : "";
  return `${formatClock(elapsed + since)}${left}`;
}

/** The waiting runs, each with a button that cancels it. */
function Queue({ session }: { session: Session }) {
  const waiting = session.get("waiting");
  if (waiting.length === 0) return null;
  return (
    <ul class="ck-chips" aria-label="Waiting runs">
      <li class="ck-muted">Waiting</li>
      {waiting.map(({ id, position }, index) => (
        <li key={id} class="ck-chip">
          {position === null ? "queued" : `${position} ahead`}
          <IconButton
            icon={CloseIcon}
            class="ck-quiet"
            label={`Cancel waiting run ${index + 1}`}
            disabled={session.channel.closed}
            onClick={() => session.cancel(id)}
          />
        </li>
      ))}
    </ul>
  );
}

/** Render the component each second while it is on. */
function useEachSecond(on: boolean): void {
  const [, setCount] = useState(0);
  useEffect(() => {
    if (!on) return;
    const timer = setInterval(() => setCount((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [on]);
}

/** Return the text with at most one change in `interval` milliseconds; the last text is never lost. */
function useThrottled(text: string, interval: number): string {
  const [shown, setShown] = useState(text);
  const changedAt = useRef(0);
  useEffect(() => {
    if (shown === text) return;
    const show = () => {
      changedAt.current = performance.now();
      setShown(text);
    };
    const wait = changedAt.current + interval - performance.now();
    if (wait <= 0) return show();
    const timer = setTimeout(show, wait);
    return () => clearTimeout(timer);
  }, [text, shown, interval]);
  return shown;
}
