/** The header of a sweep: how far it is, and what starts, pauses, stops and repeats it. */

import { useEffect, useState } from "preact/hooks";
import { formatClock } from "../format";
import { Button, DownloadIcon, IconButton, PauseIcon, PlayIcon, ResetIcon, StopIcon } from "../icons";
import type { Explorer } from "./explorer";
import type { Header as HeaderInfo, PointState } from "./protocol";

/** Milliseconds in which a second press confirms the start of a large sweep. */
const CONFIRM_TIME = 6000;

type Counts = Record<PointState, number>;

/** The header. It is always as high, whatever it says. */
export function SweepHeader({ explorer }: { explorer: Explorer }) {
  const { header, about, points } = explorer;
  const counts = points.countStates();
  const left = counts.waiting + counts.running + counts.lost;
  const ended = points.count - left;
  const why = explainWait(header, left);
  return (
    <div class="ck-x-header">
      <div class="ck-line ck-x-line">
        <strong class="ck-name" title={about.name}>
          {about.name}
        </strong>
        <span class="ck-name ck-grow" role="status" title={why}>
          <Summary counts={counts} header={header} count={points.count} />
          {why && <span class={header.away ? "ck-error" : "ck-muted"}> · {why}</span>}
          {explorer.notice && <span class="ck-error"> · {explorer.notice}</span>}
        </span>
        <Controls explorer={explorer} counts={counts} left={left} />
      </div>
      <div
        class="ck-bar"
        role="progressbar"
        aria-label="Points that have ended"
        aria-valuemin={0}
        aria-valuemax={points.count}
        aria-valuenow={ended}
      >
        <div style={{ transform: `scaleX(${points.count > 0 ? ended / points.count : 0})` }} />
      </div>
    </div>
  );
}

function explainWait({ paused, away, notes }: HeaderInfo, left: number): string {
  if (left > 0 && away) return `waiting: ${away}`;
  if (left > 0 && paused) return `paused: ${paused}`;
  return notes.join(" · ");
}

function Summary({ counts, header, count }: { counts: Counts; header: HeaderInfo; count: number }) {
  const format = (number: number) => number.toLocaleString("en");
  const left = counts.waiting + counts.running + counts.lost;
  const facts = [
    `${format(counts.completed)} of ${format(count)} done`,
    counts.failed > 0 && `${format(counts.failed)} failed`,
    counts.cancelled > 0 && `${format(counts.cancelled)} cancelled`,
    counts.unknown > 0 && `${format(counts.unknown)} unknown`,
    counts.invalid > 0 && `${format(counts.invalid)} with a wrong value`,
    left > 0 && `${format(left)} left`,
    left > 0 && header.seconds !== null && `~${formatClock(header.seconds)}`,
  ];
  return <>{facts.filter(Boolean).join(" · ")}</>;
}

function Controls({ explorer, counts, left }: { explorer: Explorer; counts: Counts; left: number }) {
  const { header, channel, points } = explorer;
  const stale = points.countStale();
  const send = (kind: string, body: Record<string, unknown> = {}) => void explorer.requestOrNotify(kind, body);
  const common = { showLabel: true, class: "ck-button", disabled: channel.closed };
  return (
    <span class="ck-line ck-x-controls">
      {left > 0 && !header.running && <Start explorer={explorer} left={left} />}
      {header.running && !header.paused && (
        <IconButton
          {...common}
          icon={PauseIcon}
          label="Pause"
          title="Send no more points; those that run end"
          onClick={() => send("pause")}
        />
      )}
      {header.running && header.paused && counts.running > 0 && (
        <IconButton
          {...common}
          icon={PlayIcon}
          label="Continue"
          title="Send the points that are left"
          onClick={() => send("start", { sure: true, sparse: header.sparse })}
        />
      )}
      {header.running && (
        <IconButton
          {...common}
          icon={StopIcon}
          label="Stop"
          title="Send no more points, and cancel those that run"
          onClick={() => send("stop", { now: true })}
        />
      )}
      {counts.completed > 0 && <Sheet explorer={explorer} />}
      {!header.running && counts.failed + counts.cancelled > 0 && (
        <IconButton
          {...common}
          icon={ResetIcon}
          label={`Retry ${counts.failed + counts.cancelled}`}
          title="Run the failed and cancelled points again"
          onClick={() => send("retry")}
        />
      )}
      {!header.running && stale > 0 && (
        <IconButton
          {...common}
          icon={ResetIcon}
          label={`Renew ${stale}`}
          title="Run the points again whose model files are others of the same name now"
          onClick={() => send("retry", { stale: true })}
        />
      )}
    </span>
  );
}

/** The button that starts a sweep; a large one has to be confirmed by a second press. */
function Start({ explorer, left }: { explorer: Explorer; left: number }) {
  const [asked, setAsked] = useState(false);
  const { header, channel } = explorer;
  useEffect(() => {
    if (!asked) return;
    const timer = setTimeout(() => setAsked(false), CONFIRM_TIME);
    return () => clearTimeout(timer);
  }, [asked]);
  const start = (sparse: boolean) => {
    if (header.large && !asked) return setAsked(true);
    setAsked(false);
    void explorer.requestOrNotify("start", { sure: true, sparse });
  };
  const time = header.seconds === null ? "" : ` · ~${formatClock(header.seconds)}`;
  const points = `${left.toLocaleString("en")} ${left === 1 ? "point" : "points"}`;
  return (
    <>
      <Button class="ck-run" disabled={channel.closed} onClick={() => start(false)}>
        {asked ? `Really start ${points}${time}?` : `Start ${points}${time}`}
      </Button>
      {left > 3 && (
        <Button
          class="ck-button"
          disabled={channel.closed}
          title="Start with every second value of each axis, and fill in the values between them later"
          onClick={() => start(true)}
        >
          Coarse first
        </Button>
      )}
    </>
  );
}

/** A button that saves a contact sheet of all points. */
function Sheet({ explorer }: { explorer: Explorer }) {
  const [making, setMaking] = useState(false);
  const save = async () => {
    setMaking(true);
    const answer = await explorer.requestOrNotify("sheet");
    if (answer) await explorer.save(answer);
    setMaking(false);
  };
  return (
    <IconButton
      icon={DownloadIcon}
      showLabel
      class="ck-button"
      label={making ? "…" : "Sheet"}
      title="Save a contact sheet: one image of all points"
      disabled={making || explorer.channel.closed}
      onClick={() => void save()}
    />
  );
}
