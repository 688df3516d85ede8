/** The header of a sweep: how far it is, and what starts, pauses, stops and repeats it. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Bar } from "../bar";
import { Button, IconButton } from "../buttons";
import { formatClock, formatCount } from "../format";
import { DownloadIcon, PauseIcon, PlayIcon, ResetIcon, StopIcon } from "../icons";
import type { Explorer } from "./state/explorer";
import type { Header as HeaderInfo, PointState } from "./state/protocol";

/** Milliseconds in which a second press confirms the start of a large sweep. */
const CONFIRM_TIME = 6000;

/** States that are counted where there are any, in words. */
const TROUBLES: [PointState, string][] = [
  ["failed", "failed"],
  ["cancelled", "cancelled"],
  ["unknown", "unknown"],
  ["invalid", "with a wrong value"],
];

type Counts = Record<PointState, number>;

/** The header. Its height never changes. */
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
      <Bar
        label="Points that have ended"
        fraction={points.count > 0 ? ended / points.count : 0}
        now={ended}
        max={points.count}
      />
    </div>
  );
}

function explainWait({ paused, away, notes }: HeaderInfo, left: number): string {
  if (left > 0 && away) return `waiting: ${away}`;
  if (left > 0 && paused) return `paused: ${paused}`;
  return notes.join(" · ");
}

function Summary({ counts, header, count }: { counts: Counts; header: HeaderInfo; count: number }) {
  const left = counts.waiting + counts.running + counts.lost;
  const facts = [
    `${formatCount(counts.completed)} of ${formatCount(count)} done`,
    ...TROUBLES.map(([state, words]) => counts[state] > 0 && `${formatCount(counts[state])} ${words}`),
    left > 0 && `${formatCount(left)} left`,
    left > 0 && header.seconds !== null && `~${formatClock(header.seconds)}`,
  ];
  return <>{facts.filter(Boolean).join(" · ")}</>;
}

function Controls({ explorer, counts, left }: { explorer: Explorer; counts: Counts; left: number }) {
  const { header, channel, points } = explorer;
  const { running, paused, sparse } = header;
  const stale = points.countStale();
  const ended = counts.failed + counts.cancelled;
  const renderButton = (
    isShown: boolean,
    icon: ComponentType,
    label: string,
    title: string,
    kind: string,
    body: Record<string, unknown> = {},
  ) =>
    isShown && (
      <IconButton
        icon={icon}
        label={label}
        title={title}
        showLabel
        disabled={channel.closed}
        onClick={() => void explorer.requestOrNotify(kind, body)}
      />
    );
  return (
    <span class="ck-line ck-x-controls">
      {left > 0 && !running && <Start explorer={explorer} left={left} />}
      {renderButton(running && !paused, PauseIcon, "Pause", "Send no more points; those that run end", "pause")}
      {renderButton(
        running && paused !== "" && counts.running > 0,
        PlayIcon,
        "Continue",
        "Send the points that are left",
        "start",
        { sure: true, sparse },
      )}
      {renderButton(running, StopIcon, "Stop", "Send no more points, and cancel those that run", "stop", { now: true })}
      {counts.completed > 0 && <Sheet explorer={explorer} />}
      {renderButton(
        !running && ended > 0,
        ResetIcon,
        `Retry ${ended}`,
        "Run the failed and cancelled points again",
        "retry",
      )}
      {renderButton(
        !running && stale > 0,
        ResetIcon,
        `Renew ${stale}`,
        "Run the points again whose model files were replaced",
        "retry",
        { stale: true },
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
  const points = `${formatCount(left)} ${left === 1 ? "point" : "points"}`;
  return (
    <>
      <Button class="ck-run" disabled={channel.closed} onClick={() => start(false)}>
        {asked ? `Really start ${points}${time}?` : `Start ${points}${time}`}
      </Button>
      {left > 3 && (
        <Button
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
      label={making ? "…" : "Sheet"}
      title="Save a contact sheet: one image of all points"
      disabled={making || explorer.channel.closed}
      onClick={() => void save()}
    />
  );
}
