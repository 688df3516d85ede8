/** The line below the grid: the point with the focus, its marks, and what can be done with it. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { copyText } from "../clipboard";
import { formatDuration } from "../format";
import { CheckIcon, CodeIcon, GridIcon, IconButton, InputIcon, ResetIcon, ScreenIcon, SettingsIcon } from "../icons";
import { STALE_WORDS, STATE_WORDS } from "./cell";
import type { Explorer } from "./explorer";
import type { Library } from "./library";
import { Menu } from "./menu";

export interface FooterProps {
  explorer: Explorer;
  /** The fields of the note and the tags, while they are edited. */
  annotation: ComponentChildren;
  onAnnotate(): void;
  onOpen(point: number): void;
  onCompare(): void;
}

/** The footer. It is always as high, whatever it says. */
export function Footer({ explorer, annotation, onAnnotate, onOpen, onCompare }: FooterProps) {
  const point = explorer.focused;
  const [, render] = useState({});
  useLayoutEffect(() => explorer.watchPoint(point, () => render({})), [explorer, point]);
  const { selected, compared, points, details } = explorer;
  const state = points.getState(point);
  const found = details.get(point);
  const values = explorer.describe(point, true);
  const { filterBy } = explorer;
  const facts = [
    found?.day && `${found.day} ${found.time}`,
    found?.progress?.text || found?.reason || STATE_WORDS[state],
    points.isStale(point) && STALE_WORDS,
    typeof found?.seconds === "number" && formatDuration(found.seconds),
    found?.server,
    found?.note && `“${found.note}”`,
    found?.tags?.map((tag) => `#${tag}`).join(" "),
  ];
  const marks = points.getMarks(point);
  const canMark = explorer.hasRun(point) && !explorer.channel.closed;
  return (
    <div class="ck-line ck-x-footer">
      {annotation || (
        <span class="ck-grow ck-x-about">
          <span class="ck-name" title={values.map((pair) => pair.join(": ")).join("\n")}>
            {values.map(([name, value]) => (
              <span key={name}>
                <span class="ck-muted">{name}</span>{" "}
                {filterBy ? (
                  <button
                    type="button"
                    class="ck-quiet ck-x-by"
                    title={`${name}: ${value}\nShow only runs with this value`}
                    onClick={() => filterBy(name, value)}
                  >
                    {value}
                  </button>
                ) : (
                  <b>{value}</b>
                )}{" "}
              </span>
            ))}
          </span>
          <span class="ck-name ck-muted" title={facts.filter(Boolean).join("\n")}>
            {facts.filter(Boolean).join(" · ")}
          </span>
        </span>
      )}
      {selected.size > 0 && <span class="ck-muted ck-x-count">{selected.size} selected</span>}
      <span class="ck-line ck-x-marking" role="group" aria-label="Marks">
        <button
          type="button"
          class="ck-quiet ck-x-star"
          aria-pressed={marks.star}
          aria-label="Star"
          title="Star (s)"
          disabled={!canMark}
          onClick={() => explorer.mark({ star: true })}
        >
          {marks.star ? "★" : "☆"}
        </button>
        {[1, 2, 3, 4, 5].map((rating) => (
          <button
            key={rating}
            type="button"
            class="ck-quiet ck-x-rate"
            aria-pressed={marks.rating >= rating}
            aria-label={`Rate ${rating} of 5`}
            title={`Rate ${rating} of 5 (${rating}; 0 for none)`}
            disabled={!canMark}
            onClick={() => explorer.mark({ rating: marks.rating === rating ? 0 : rating })}
          >
            {marks.rating >= rating ? "●" : "○"}
          </button>
        ))}
        <button
          type="button"
          class="ck-quiet"
          aria-pressed={marks.rejected}
          aria-label="Reject"
          title="Reject (x)"
          disabled={!canMark}
          onClick={() => explorer.mark({ rejected: true })}
        >
          ✕
        </button>
        <button
          type="button"
          class="ck-quiet"
          aria-label="Note and tags"
          title="Note and tags (n)"
          disabled={!canMark}
          onClick={onAnnotate}
        >
          ✎
        </button>
      </span>
      {canMark && <ExportMenu explorer={explorer} />}
      {compared.size > 0 && (
        <button type="button" class="ck-button ck-x-small" disabled={compared.size < 2} onClick={onCompare}>
          Compare {compared.size}
        </button>
      )}
      <IconButton
        icon={ScreenIcon}
        label="Open"
        title="Open (Enter)"
        disabled={state !== "completed"}
        onClick={() => onOpen(point)}
      />
      {filterBy && <RunButtons explorer={explorer} point={point} sweep={found?.sweep} />}
      <UseAsInput key={`use ${point}`} explorer={explorer} point={point} disabled={state !== "completed"} />
      <CopyCode explorer={explorer} point={point} />
      <IconButton
        icon={ResetIcon}
        label={state === "waiting" || state === "lost" ? "Run this point" : "Run this point again"}
        disabled={explorer.channel.closed || state === "running" || state === "invalid"}
        onClick={() => void explorer.requestOrNotify("rerun", { points: explorer.targets })}
      />
    </div>
  );
}

const FORMATS = [
  ["folder", "Files in a folder"],
  ["zip", "ZIP"],
  ["sheet", "Contact sheet"],
  ["html", "Web page"],
] as const;

/** A menu that exports what is selected, else what is picked among the points that are shown, else the one with focus. */
function ExportMenu({ explorer }: { explorer: Explorer }) {
  const [state, setState] = useState("");
  const picked = explorer.selected.size > 0 ? [] : explorer.listPicked();
  const points = picked.length > 0 ? picked : explorer.targets;
  const what = picked.length > 0 ? `${points.length} picked` : points.length > 1 ? `${points.length} selected` : "";
  const save = async (format: string) => {
    setState("…");
    const answer = await explorer.requestOrNotify("export", { points, format });
    if (answer?.name) await explorer.save("export", "0", String(answer.name));
    setState(answer?.folder ? `Saved in ${answer.folder}` : "");
  };
  return (
    <Menu
      label="Export"
      shown={state || `Export ${what}`}
      options={FORMATS}
      disabled={state === "…"}
      onChoose={(format) => void save(format)}
    />
  );
}

/** What a library can do with a run: open a form with its values, and show it among the others of its sweep. */
function RunButtons({ explorer, point, sweep }: { explorer: Explorer; point: number; sweep: string | undefined }) {
  const [copied, setCopied] = useState(-1);
  const openForm = async (near: HTMLElement) => {
    const answer = await explorer.requestOrNotify("form", { points: [point] });
    if (answer?.code && (await copyText(String(answer.code), near))) setCopied(point);
  };
  const showSweep = async () => {
    const answer = await explorer.requestOrNotify("sweep", { points: [point] });
    if (answer?.sweep) (explorer as Library).find({ text: "", filters: { sweep: String(answer.sweep) } });
  };
  return (
    <>
      <IconButton
        icon={copied === point ? CheckIcon : SettingsIcon}
        label="Same settings"
        title="Open a form with these values and seeds"
        disabled={explorer.channel.closed}
        onClick={(event) => void openForm(event.currentTarget)}
      />
      <IconButton
        icon={GridIcon}
        label="Show in its sweep"
        disabled={!sweep || explorer.channel.closed}
        onClick={() => void showSweep()}
      />
    </>
  );
}

interface Target {
  form: string;
  title: string;
  field: string;
}

/** A button that uses the output as input of a form on the page; with several fields a menu, without any it is code. */
function UseAsInput({ explorer, point, disabled }: { explorer: Explorer; point: number; disabled: boolean }) {
  const [targets, setTargets] = useState<Target[]>([]);
  const [done, setDone] = useState("");
  const use = async (near: HTMLElement | null, target?: Target) => {
    const { form, field } = target ?? {};
    const answer = await explorer.requestOrNotify("use", { points: [point], ...(target && { form, field }) });
    if (!answer) return;
    setTargets(Array.isArray(answer.targets) ? (answer.targets as Target[]) : []);
    if (answer.used) setDone(`used as ${answer.used}`);
    else if (answer.code && near && (await copyText(String(answer.code), near))) setDone(`copied: ${answer.code}`);
  };
  if (targets.length > 0)
    return (
      <Menu
        label="Use as input"
        shown="Use as …"
        options={targets.map(({ title, field }, index) => [`${index}`, `${title}: ${field}`])}
        onChoose={(index) => void use(null, targets[Number(index)])}
      />
    );
  return (
    <>
      {done && (
        <span class="ck-muted ck-name" role="status">
          {done}
        </span>
      )}
      <IconButton
        icon={done ? CheckIcon : InputIcon}
        label="Use as input"
        title="Use as input of a form; without a form, copy the code"
        disabled={disabled || explorer.channel.closed}
        onClick={(event) => void use(event.currentTarget)}
      />
    </>
  );
}

/** A button that copies a cell, written by the kernel, that makes the point. */
function CopyCode({ explorer, point }: { explorer: Explorer; point: number }) {
  const [copied, setCopied] = useState(-1);
  const copy = async (near: HTMLElement) => {
    const answer = await explorer.requestOrNotify("code", { points: [point] });
    if (answer && (await copyText(String(answer.code), near))) setCopied(point);
  };
  return (
    <IconButton
      icon={copied === point ? CheckIcon : CodeIcon}
      label={copied === point ? "Copied" : "Copy as code"}
      title="Copy a cell that makes this point"
      disabled={explorer.channel.closed}
      onClick={(event) => void copy(event.currentTarget)}
    />
  );
}
