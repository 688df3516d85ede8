/** Shows all runs of a batch in one line of constant height; the list of those that wait opens on request. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Bar } from "../bar";
import { Button, IconButton } from "../buttons";
import { formatClock } from "../format";
import { CloseIcon, ListIcon, PauseIcon, PlayIcon, UpIcon } from "../icons";
import { clamp } from "../number";
import type { Batch, Progress, Status } from "../session/protocol";
import type { Session } from "../session/session";

/** The line of a batch. With only one run it is empty, but keeps its height. */
export function BatchLine({ session }: { session: Session }) {
  const [open, setOpen] = useState(false);
  const toggle = useRef<HTMLButtonElement>(null);
  const { done = 0, total = 0, paused = 0, pausing = false, seconds = null } = session.get("batch");
  const waiting = session.get("waiting");
  const isBatch = total > 1 || waiting.length > 0;
  const { closed } = session.channel;
  if (!isBatch || closed) return session.get("view") === "form" ? <div class="ck-batch" /> : null;
  const progress = session.get("progress");
  const running = session.active ? clamp(progress.fraction ?? 0, 0, 1) : 0;

  return (
    <>
      <div class="ck-batch">
        <div class="ck-line">
          <span class="ck-name ck-grow">
            {formatBatch({ done, total, paused, pausing, seconds }, waiting.length, session.get("status"), progress)}
          </span>
          <PauseButton session={session} />
          <CancelAll session={session} />
          <IconButton
            ref={toggle}
            icon={open ? UpIcon : ListIcon}
            class="ck-quiet"
            label={open ? "Hide the queue" : "Show the queue"}
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          />
        </div>
        <Bar label="Batch" fraction={total > 0 ? (done + running) / total : 0} now={done} max={total} />
      </div>
      {open && <Queue session={session} onEmpty={() => toggle.current?.focus()} />}
    </>
  );
}

/** The button that keeps the waiting runs from starting, or starts them again. */
function PauseButton({ session }: { session: Session }) {
  const { paused = 0, pausing = false } = session.get("batch");
  const resume = paused > 0 && !pausing;
  return (
    <IconButton
      icon={resume ? PlayIcon : PauseIcon}
      class="ck-batch-button"
      label={resume ? "Resume" : "Pause after this one"}
      showLabel
      disabled={!resume && (pausing || session.get("waiting").length === 0)}
      onClick={() => session.requestOrNotify("pause", { resume })}
    />
  );
}

/** The button that cancels all runs; it says that it does until they have ended. */
function CancelAll({ session }: { session: Session }) {
  const ids = [session.stagedId, ...session.get("waiting").map(({ id }) => id)].filter(Boolean);
  const cancelling = ids.every((id) => session.cancelling.has(id));
  return (
    <Button class="ck-batch-button" disabled={cancelling} onClick={() => session.cancelAll()}>
      {cancelling ? "Cancelling…" : "Cancel all"}
    </Button>
  );
}

/** Describe a batch: "Running 12 of 64 · 52 waiting · ~1:10". */
export function formatBatch(
  { done, total, paused, pausing, seconds }: Batch,
  waiting: number,
  status: Status,
  progress: Partial<Progress>,
): string {
  const running = status === "running";
  const queued = waiting - paused + (status === "queued" ? 1 : 0);
  const silent = typeof progress.gives_up_in === "number";
  const left = running && !paused && !pausing && !silent ? estimateSeconds(seconds, waiting, progress) : null;
  return [
    running ? `Running ${Math.min(done + 1, total)} of ${total}` : `${done} of ${total} done`,
    queued > 0 && `${queued} waiting`,
    paused > 0 && `${paused} paused`,
    pausing && "pausing…",
    left !== null && `~${formatClock(Math.ceil(left))}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Estimate the seconds to the end of a batch: the rest of this run, and each other as long as those that have ended. */
function estimateSeconds(seconds: number | null, waiting: number, progress: Partial<Progress>): number | null {
  const { elapsed = 0, remaining } = progress;
  const hasEstimate = typeof remaining === "number";
  const each = seconds ?? (hasEstimate ? elapsed + remaining : null);
  if (each === null) return null;
  return waiting * each + (hasEstimate ? remaining : Math.max(0, each - elapsed));
}

interface QueueProps {
  session: Session;
  /** Called when the last entry is removed while it has the focus. */
  onEmpty(): void;
}

/** The runs that wait, each with a button that cancels it. The focus moves to the next one. */
function Queue({ session, onEmpty }: QueueProps) {
  const list = useRef<HTMLUListElement>(null);
  const focused = useRef<number | null>(null);
  const waiting = session.get("waiting");
  useLayoutEffect(() => {
    const index = focused.current;
    if (index === null || list.current?.contains(document.activeElement)) return;
    focused.current = null;
    const buttons = list.current?.querySelectorAll("button") ?? [];
    const next = buttons[Math.min(index, buttons.length - 1)];
    if (next) next.focus();
    else onEmpty();
  }, [waiting.length]);
  return (
    <ul ref={list} class="ck-queue" aria-label="Waiting runs">
      {waiting.map(({ id, label, paused }, index) => (
        <li key={id} class="ck-line">
          <span class="ck-muted">{index + 1}</span>
          <span class="ck-name ck-grow" title={label}>
            {label || "run"}
          </span>
          {paused && <span class="ck-muted">paused</span>}
          <IconButton
            icon={CloseIcon}
            class="ck-quiet"
            label={session.cancelling.has(id) ? "Cancelling…" : `Cancel waiting run ${index + 1}`}
            onClick={() => {
              focused.current = index;
              session.cancel(id);
            }}
          />
        </li>
      ))}
    </ul>
  );
}
