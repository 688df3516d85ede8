/** How the run on the stage stands, and the runs that wait behind it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { clock, duration } from "../format";
import { CloseIcon, IconButton } from "../icons";
import type { Progress, Run, Status } from "../session/protocol";
import { type Session, useTopics } from "../session/session";

/** Milliseconds between two changes of a text that is read aloud. */
const SPOKEN = 1000;

export function ProgressPanel({ session }: { session: Session }) {
  useTopics(session, "progress");
  const active = session.active && !session.channel.closed;
  useTick(active);
  const status = session.get("status");
  const progress = session.get("progress");
  const text = useThrottled(statusText(status, progress, stagedRun(session)), SPOKEN);
  const times = active && status === "running" ? timesText(progress, session.sinceProgress) : "";
  const percent = Math.round(100 * Math.min(1, Math.max(0, progress.fraction ?? 0)));

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
          aria-valuenow={status === "running" ? percent : undefined}
          aria-valuetext={text}
        >
          <div style={{ transform: `scaleX(${status === "running" ? percent / 100 : 0})` }} />
        </div>
      ) : (
        <div class="ck-bar ck-idle" />
      )}
      <Queue session={session} />
    </div>
  );
}

/** The run on the stage, if it has ended. */
export function stagedRun(session: Session): Run | undefined {
  if (session.active) return undefined;
  const runs = session.get("runs");
  const id = session.get("progress").prompt_id;
  const newest = !id || runs[0]?.status === session.get("status") ? runs[0] : undefined;
  return runs.find((run) => run.id === id) ?? newest;
}

/** A run in words, without its times: "KSampler 12/20 · 2 of 7 nodes". */
export function statusText(status: Status, progress: Partial<Progress>, run: Run | undefined): string {
  const seconds = run?.seconds ?? progress.elapsed ?? 0;
  const after = seconds < 0.05 ? "" : ` after ${duration(seconds)}`;
  switch (status) {
    case "queued": {
      const before = progress.queue_position;
      if (before === null || before === undefined) return progress.note || "Queued";
      return before === 0 ? "Queued · next" : `Queued · ${before} ahead`;
    }
    case "running": {
      const { node_title: node, step, steps, nodes_done: done = 0, nodes_total: total } = progress;
      const where = node && steps ? `${node} ${step ?? 0}/${steps}` : node;
      return [progress.note || where || "Starting", total ? `${done} of ${total} nodes` : ""]
        .filter(Boolean)
        .join(" · ");
    }
    case "completed": {
      const seeds = Object.entries(run?.seeds ?? {}).map(([name, seed]) => ` · ${name} ${seed}`);
      return `Done in ${duration(seconds)}${seeds.join("")}`;
    }
    case "failed":
      return `Failed${after}`;
    case "cancelled":
      return `Cancelled${after}`;
    default:
      return "";
  }
}

function timesText({ elapsed = 0, remaining }: Partial<Progress>, since: number): string {
  const left = remaining === null || remaining === undefined ? "" : ` · ~${clock(Math.ceil(remaining - since))} left`;
  return `${clock(elapsed + since)}${left}`;
}

function Queue({ session }: { session: Session }) {
  const waiting = session.get("waiting");
  if (waiting.length === 0) return null;
  return (
    <ul class="ck-chips" aria-label="Waiting">
      <li class="ck-muted">Waiting</li>
      {waiting.map(({ id, position }, index) => (
        <li key={id} class="ck-chip">
          {position === null ? "in the queue" : `${position} ahead`}
          <IconButton
            icon={CloseIcon}
            class="ck-quiet"
            label={`Take number ${index + 1} out of the queue`}
            disabled={session.channel.closed}
            onClick={() => session.cancel(id)}
          />
        </li>
      ))}
    </ul>
  );
}

/** Renders again each second, as long as it is on. */
function useTick(on: boolean): void {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!on) return;
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [on]);
}

/** The text, which changes at most once in `interval` milliseconds; the last one always comes. */
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
