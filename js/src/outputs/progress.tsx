/** Shows the progress of the run on the stage in one line, with its bar and the button that cancels it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Bar } from "../bar";
import { Button, IconButton } from "../buttons";
import { findLabel, formatClock, formatDuration, formatSeed, formatWait } from "../format";
import { BellIcon, InfoIcon } from "../icons";
import { clamp } from "../number";
import { useTopics } from "../session/hooks";
import type { Progress, Run, Status } from "../session/protocol";
import type { Session } from "../session/session";
import { BatchLine } from "./batchLine";
import { canNotify, setWantsNotice, wantsNotice } from "./endNotice";
import type { Opened } from "./lightbox";
import { findMainItem, findStagedRun, listFreeSeeds } from "./runs";

/** Milliseconds between changes of an unfinished run's status, because screen readers read each of them aloud. */
const STATUS_INTERVAL = 1000;

/** Seconds below which a failed or cancelled run does not say when it ended. */
const MIN_SECONDS = 0.05;

const SILENT = "The server does not answer";

interface ProgressPanelProps {
  session: Session;
  onOpen(opened: Opened): void;
}

/** The status in words with its button, the progress bar and the line of the batch. None of them changes its height. */
export function ProgressPanel({ session, onOpen }: ProgressPanelProps) {
  useTopics(session, "progress");
  const { closed } = session.channel;
  const active = session.active && !closed;
  useEachSecond(active);
  const status = session.get("status");
  const progress = session.get("progress");
  const run = findStagedRun(session);
  const { silent } = session;
  const newest = silent ? SILENT : formatStatus(session, status, progress, run);
  const throttled = useThrottled(newest, STATUS_INTERVAL);
  const text = session.active ? throttled : newest;
  const times = active ? formatTimes(status, progress, session.secondsSinceProgress) : "";
  const item = run && findMainItem(run);

  return (
    <div class="ck-progress">
      <div class="ck-line ck-status">
        <span class="ck-name" title={run ? describeTimes(run) : times}>
          <span role="status" class={status === "failed" || silent ? "ck-error" : ""}>
            {text}
          </span>
          {times && <span class="ck-muted">{` · ${times}`}</span>}
        </span>
        <span class="ck-grow" />
        {active && canNotify() && <NotifyButton />}
        {active && <CancelButton session={session} />}
        {item && (
          <IconButton
            icon={InfoIcon}
            class="ck-quiet"
            label="Where the time went"
            title="How this was made, and where the time went"
            onClick={() => onOpen({ run: run.id, key: item.key, info: true })}
          />
        )}
      </div>
      {active ? <RunBar session={session} text={text} /> : <div class="ck-bar ck-idle" />}
      <BatchLine session={session} />
    </div>
  );
}

/** How far the run on the stage is. */
function RunBar({ session, text }: { session: Session; text: string }) {
  const { silent } = session;
  const isRunning = session.get("status") === "running";
  const percent = isRunning ? Math.round(100 * clamp(session.get("progress").fraction ?? 0, 0, 1)) : 0;
  return (
    <Bar
      label="Progress"
      fraction={percent / 100}
      now={isRunning && !silent ? percent : undefined}
      max={100}
      text={text}
      striped={silent}
    />
  );
}

/** The button that cancels the run on the stage, or stops waiting for a server that does not answer. */
function CancelButton({ session }: { session: Session }) {
  const cancelling = session.cancelling.has(session.stagedId) && !session.silent;
  const label = session.silent ? "Stop waiting" : "Cancel";
  return (
    <Button class="ck-cancel" disabled={cancelling} onClick={() => session.cancel()}>
      {cancelling ? "Cancelling…" : label}
    </Button>
  );
}

/** A button that asks for a notification when a long run ends while the page is hidden. */
function NotifyButton() {
  const [on, setOn] = useState(wantsNotice());
  return (
    <IconButton
      icon={BellIcon}
      class="ck-quiet"
      label="Notify me"
      title="Notify me when a long run ends while I am elsewhere"
      aria-pressed={on}
      onClick={async () => setOn(await setWantsNotice(!on))}
    />
  );
}

/** Describe a run in words, without its times: "KSampler 12/20 · 2 of 7 nodes". */
function formatStatus(session: Session, status: Status, progress: Partial<Progress>, run: Run | undefined): string {
  const seconds = run?.seconds ?? progress.elapsed ?? 0;
  const after = seconds < MIN_SECONDS ? "" : ` after ${formatDuration(seconds)}`;
  switch (status) {
    case "queued":
      return formatQueued(progress);
    case "running":
      return formatRunning(progress);
    case "completed": {
      if (progress.unchanged || run?.unchanged) return formatUnchanged(run);
      const fields = session.get("fields");
      const seeds = run ? listFreeSeeds(run, fields) : [];
      return [
        `Done in ${formatDuration(seconds)}`,
        ...seeds.map(([name, seed]) => `${findLabel(name, fields)} ${formatSeed(seed)}`),
      ].join(" · ");
    }
    case "failed":
      return run?.alike ? `${run.alike} runs failed` : `Failed${after}`;
    case "cancelled":
      return `Cancelled${after}`;
    default:
      return "";
  }
}

/** Say that a run made nothing new: the server had all of it. */
function formatUnchanged(run: Run | undefined): string {
  const kind = run && findMainItem(run)?.kind;
  return `Nothing changed: the same ${kind ?? "output"}`;
}

/** Describe what a status leaves out: the wait in the queue, and the whole seeds. */
function describeTimes(run: Run): string {
  const waited = formatWait(run);
  const seeds = Object.entries(run.seeds).map((seed) => seed.join(" "));
  return [waited && `waited ${waited} in the queue`, ...seeds].filter(Boolean).join("\n");
}

function formatQueued({ queue_position: ahead, note }: Partial<Progress>): string {
  if (ahead === null || ahead === undefined) return note || "Queued";
  return ahead === 0 ? "Queued · next" : `Queued · ${ahead} ahead`;
}

function formatRunning(progress: Partial<Progress>): string {
  const { node_title: node, step, steps, nodes_done: done = 0, nodes_total: total, note } = progress;
  if (!note && node && steps) return `${node} ${step ?? 0}/${steps}`;
  return [note || node || "Starting", total ? `${done} of ${total} nodes` : ""].filter(Boolean).join(" · ");
}

/** Format the time since the start and the estimate, or how long a silent server is waited for. */
function formatTimes(status: Status, progress: Partial<Progress>, since: number): string {
  const { elapsed = 0, remaining, gives_up_in: patience } = progress;
  if (typeof patience === "number") return `trying for ${Math.max(0, Math.round(patience - since))} s more`;
  if (status !== "running") return "";
  const left = typeof remaining === "number" ? ` · ~${formatClock(Math.ceil(remaining - since))} left` : "";
  return `${formatClock(elapsed + since)}${left}`;
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
