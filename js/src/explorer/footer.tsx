/** The line below the grid: the point with the focus, its marks, and what can be done with it. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import { formatDuration } from "../format";
import { CodeIcon, GridIcon, InputIcon, ResetIcon, ScreenIcon, SettingsIcon } from "../icons";
import { useTopics } from "../session/hooks";
import { Ask } from "./ask";
import { STALE_WORDS, STATE_WORDS } from "./cell";
import { Menu } from "./menu";
import type { Explorer } from "./state/explorer";
import type { Mark } from "./state/keys";
import type { Library } from "./state/library";

interface FooterProps {
  explorer: Explorer;
  /** The fields of the note and the tags, while they are edited. */
  annotation: ComponentChildren;
  onAnnotate(): void;
  onOpen(point: number): void;
  onCompare(): void;
}

/** The footer. Its height never changes. */
export function Footer({ explorer, annotation, onAnnotate, onOpen, onCompare }: FooterProps) {
  const point = explorer.focused;
  useTopics(explorer, `point ${point}`);
  const { selected, compared, points, details } = explorer;
  const state = points.getState(point);
  const found = details.get(point);
  const values = explorer.describe(point, true);
  const marks = points.getMarks(point);
  const mark = (made: Mark) => explorer.mark(made);
  const canMark = explorer.hasRun(point) && !explorer.channel.closed;
  return (
    <div class="ck-line ck-x-footer">
      {annotation || (
        <span class="ck-grow ck-x-about">
          <Values values={values} filterBy={explorer.filterBy} />
          <Facts explorer={explorer} point={point} />
        </span>
      )}
      {selected.size > 0 && <span class="ck-muted ck-x-count">{selected.size} selected</span>}
      <span class="ck-line ck-x-marking" role="group" aria-label="Marks">
        <MarkButton label="Star" title="Star (s)" on={marks.star} {...{ canMark }} onClick={() => mark({ star: true })}>
          {marks.star ? "★" : "☆"}
        </MarkButton>
        {[1, 2, 3, 4, 5].map((rating) => (
          <MarkButton
            key={rating}
            class="ck-x-rate"
            label={`Rate ${rating} of 5`}
            title={`Rate ${rating} of 5 (${rating}; 0 for none)`}
            on={marks.rating >= rating}
            {...{ canMark }}
            onClick={() => mark({ rating: marks.rating === rating ? 0 : rating })}
          >
            {marks.rating >= rating ? "●" : "○"}
          </MarkButton>
        ))}
        <MarkButton
          label="Reject"
          title="Reject (x)"
          on={marks.rejected}
          {...{ canMark }}
          onClick={() => mark({ rejected: true })}
        >
          ✕
        </MarkButton>
        <MarkButton label="Note and tags" title="Note and tags (n)" {...{ canMark }} onClick={onAnnotate}>
          ✎
        </MarkButton>
      </span>
      {canMark && <ExportMenu explorer={explorer} />}
      {compared.size > 0 && (
        <Button class="ck-button ck-x-small" disabled={compared.size < 2} onClick={onCompare}>
          Compare {compared.size}
        </Button>
      )}
      <IconButton
        icon={ScreenIcon}
        label="Open"
        title="Open (Enter)"
        disabled={state !== "completed"}
        onClick={() => onOpen(point)}
      />
      <Ask
        {...{ explorer, point }}
        kind="form"
        icon={SettingsIcon}
        label={explorer.filterBy ? "Same settings" : "Values into the form"}
        title="Set a form of this workflow to these values; without one, copy a cell that shows it"
      />
      {explorer.filterBy && (
        <IconButton
          icon={GridIcon}
          label="Show in its sweep"
          disabled={!found?.sweep || explorer.channel.closed}
          onClick={() => void showSweep(explorer as Library, point)}
        />
      )}
      <Ask
        {...{ explorer, point }}
        kind="use"
        icon={InputIcon}
        label="Use as input"
        title="Use as input of a form; without a form, copy the code"
        disabled={state !== "completed"}
      />
      <Ask
        {...{ explorer, point }}
        kind="code"
        icon={CodeIcon}
        label="Copy as code"
        title="Copy a cell that makes this point"
      />
      <IconButton
        icon={ResetIcon}
        label={state === "waiting" || state === "lost" ? "Run this point" : "Run this point again"}
        disabled={explorer.channel.closed || state === "running" || state === "invalid"}
        onClick={() => void explorer.requestOrNotify("rerun", { points: explorer.targets })}
      />
    </div>
  );
}

interface MarkButtonProps {
  label: string;
  title: string;
  /** Whether the point has the mark; undefined for a button that only opens something. */
  on?: boolean;
  canMark: boolean;
  class?: string;
  children: ComponentChildren;
  onClick(): void;
}

/** A button that marks a point. */
function MarkButton({ label, on, canMark, class: extra = "", ...attributes }: MarkButtonProps) {
  return (
    <Button class={`ck-quiet ${extra}`} aria-label={label} aria-pressed={on} disabled={!canMark} {...attributes} />
  );
}

/** What is known of a point beside its values. */
function Facts({ explorer, point }: { explorer: Explorer; point: number }) {
  const found = explorer.details.get(point);
  const facts = [
    found?.day && `${found.day} ${found.time}`,
    found?.progress?.text || found?.reason || STATE_WORDS[explorer.points.getState(point)],
    explorer.points.isStale(point) && STALE_WORDS,
    typeof found?.seconds === "number" && formatDuration(found.seconds),
    found?.server,
    found?.note && `“${found.note}”`,
    found?.tags?.map((tag) => `#${tag}`).join(" "),
  ];
  const lines = facts.filter(Boolean);
  return (
    <span class="ck-name ck-muted" title={lines.join("\n")}>
      {lines.join(" · ")}
    </span>
  );
}

/** The values of a point; a click looks for one of them, where that is possible. */
function Values({ values, filterBy }: { values: [string, string][]; filterBy: Explorer["filterBy"] }) {
  return (
    <span class="ck-name" title={values.map((pair) => pair.join(": ")).join("\n")}>
      {values.map(([name, value]) => (
        <span key={name}>
          <span class="ck-muted">{name}</span>{" "}
          {filterBy ? (
            <Button
              class="ck-quiet ck-x-by"
              title={`${name}: ${value}\nShow only runs with this value`}
              onClick={() => filterBy(name, value)}
            >
              {value}
            </Button>
          ) : (
            <b>{value}</b>
          )}{" "}
        </span>
      ))}
    </span>
  );
}

const FORMATS = [
  ["folder", "Files in a folder"],
  ["zip", "ZIP"],
  ["sheet", "Contact sheet"],
  ["html", "Web page"],
] as const;

/** A menu that exports the selected points, else the picked ones, else the focused one. */
function ExportMenu({ explorer }: { explorer: Explorer }) {
  const [state, setState] = useState("");
  const picked = explorer.selected.size > 0 ? [] : explorer.listPicked();
  const points = picked.length > 0 ? picked : explorer.targets;
  const what = picked.length > 0 ? `${points.length} picked` : points.length > 1 ? `${points.length} selected` : "";
  const save = async (format: string) => {
    setState("…");
    const answer = await explorer.requestOrNotify("export", { points, format });
    if (answer?.name) await explorer.save(answer);
    setState(answer?.folder ? `Saved in ${answer.folder}` : "");
  };
  return (
    <Menu
      label="Export"
      none={state || `Export ${what}`}
      options={FORMATS}
      disabled={state === "…"}
      onChoose={(format) => void save(format)}
    />
  );
}

/** Show a run in the grid of its sweep, or the runs of the sweep in the library. */
async function showSweep(library: Library, point: number): Promise<void> {
  const answer = await library.requestOrNotify("sweep", { points: [point] });
  if (answer?.sweep) library.find({ text: "", filters: { sweep: String(answer.sweep) } });
}
