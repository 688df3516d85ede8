/** One cell: the picture of a point, or its state, with its marks. It renders again only when its own point changes. */

import { Component } from "preact";
import { Bar } from "../bar";
import { Button } from "../buttons";
import { formatValue } from "../format";
import { AlertIcon, PlayIcon, TextIcon } from "../icons";
import type { Item } from "../session/protocol";
import type { Explorer } from "./state/explorer";
import type { Details, Marks, PointState } from "./state/protocol";

interface CellProps {
  explorer: Explorer;
  uid: string;
  point: number;
  /** The number of its column, from 1. */
  column: number;
  left: number;
  width: number;
  /** Pixels of the picture, without the caption. */
  height: number;
  /** Pixels of the caption; 0 for none. */
  caption: number;
}

/** Each state in words. */
export const STATE_WORDS: Record<PointState, string> = {
  waiting: "waiting",
  running: "running",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  unknown: "unknown: it may still run in the cloud",
  invalid: "wrong value",
  lost: "lost: its files are gone, and it runs again",
  sent: "sent, and its end is not known",
};

/** What a point says whose model file was replaced. */
export const STALE_WORDS = "made with another model file of the same name";

/** Return the id of a point's cell. */
export function buildCellId(uid: string, point: number): string {
  return `${uid}-p${point}`;
}

/** Describe a point on one line: its values, state and marks. */
function nameCell(explorer: Explorer, point: number): string {
  const values = explorer.describe(point).map((pair) => pair.join(" ").trim());
  const { star, rejected, rating, note } = explorer.points.getMarks(point);
  const reason = explorer.details.get(point)?.reason;
  const parts = [
    STATE_WORDS[explorer.points.getState(point)] + (reason ? `, ${reason}` : ""),
    explorer.points.isStale(point) && STALE_WORDS,
    star && "star",
    rejected && "rejected",
    rating > 0 && `${rating} of 5`,
    note && "note",
    explorer.compared.has(point) && "chosen for comparison",
  ];
  return `${values.join(", ") || `point ${point}`}: ${parts.filter(Boolean).join(", ")}`;
}

/** The cell of a point. */
export class Cell extends Component<CellProps> {
  #stop: (() => void) | undefined;

  #watch(): void {
    this.#stop?.();
    this.#stop = this.props.explorer.subscribe(`point ${this.props.point}`, () => this.setState({}));
  }

  override componentDidMount(): void {
    this.#watch();
  }

  override componentDidUpdate(before: CellProps): void {
    if (before.point !== this.props.point) this.#watch();
  }

  override componentWillUnmount(): void {
    this.#stop?.();
  }

  override shouldComponentUpdate(next: CellProps, nextState: object): boolean {
    return (
      nextState !== this.state ||
      (Object.keys(next) as (keyof CellProps)[]).some((key) => next[key] !== this.props[key])
    );
  }

  override render({ explorer, uid, point, column, left, width, height, caption }: CellProps) {
    const state = explorer.points.getState(point);
    const marks = explorer.points.getMarks(point);
    const classes = [
      "ck-x-cell",
      `ck-x-${state}`,
      marks.rejected && "ck-x-rejected",
      explorer.selected.has(point) && "ck-x-selected",
    ];
    return (
      <div
        id={buildCellId(uid, point)}
        role="gridcell"
        aria-colindex={column}
        aria-label={nameCell(explorer, point)}
        aria-selected={explorer.selected.has(point)}
        class={classes.filter(Boolean).join(" ")}
        data-point={point}
        data-focused={explorer.focused === point ? "" : undefined}
        style={{ left: `${left}px`, width: `${width}px` }}
      >
        <div class="ck-x-picture" style={{ height: `${height}px` }}>
          <Content explorer={explorer} point={point} state={state} small={width < 110} />
          {explorer.points.isStale(point) && (
            <span class="ck-x-kind" title={STALE_WORDS}>
              <AlertIcon />
            </span>
          )}
          <MarkSigns marks={marks} compared={explorer.compared.has(point)} />
          <Stack explorer={explorer} point={point} />
        </div>
        {caption > 0 && <Caption explorer={explorer} point={point} height={caption} />}
      </div>
    );
  }
}

interface ContentProps {
  explorer: Explorer;
  point: number;
  state: PointState;
  small: boolean;
}

function Content({ explorer, point, state, small }: ContentProps) {
  const details = explorer.details.get(point);
  if (state === "completed") return <Result explorer={explorer} point={point} details={details} />;
  if (state === "running") return <Running explorer={explorer} point={point} details={details} />;
  if (state === "waiting") return null;
  const words = STATE_WORDS[state].split(":")[0] ?? state;
  return (
    <span class="ck-x-words">
      {state === "failed" && <AlertIcon />}
      <span>{small || !details?.reason ? words : details.reason}</span>
    </span>
  );
}

function Result({ explorer, point, details }: { explorer: Explorer; point: number; details: Details | undefined }) {
  const url = explorer.thumbs.get(point);
  const items = details?.items ?? [];
  const isVideo = items.some(({ kind }) => kind === "video");
  if (url)
    return (
      <>
        <img key={url} src={url} alt="" decoding="async" draggable={false} />
        {isVideo && (
          <span class="ck-x-kind">
            <PlayIcon />
          </span>
        )}
      </>
    );
  return url === null && items[0] ? <OtherOutput item={items.find(({ text }) => text) ?? items[0]} /> : null;
}

/** An output without a picture: the beginning of a text, or the name of a file. */
function OtherOutput({ item }: { item: Item }) {
  if (item.kind === "text") return <span class="ck-x-text">{formatValue(item.text ?? "", 400)}</span>;
  return (
    <span class="ck-x-words">
      {item.kind === "file" ? <TextIcon /> : <PlayIcon />}
      <span>{item.name}</span>
    </span>
  );
}

function Running({ explorer, point, details }: { explorer: Explorer; point: number; details: Details | undefined }) {
  const frame = explorer.getFrame(point);
  const { queued, fraction = 0, step, steps, node } = details?.progress ?? {};
  if (queued) return <span class="ck-x-words ck-muted">queued</span>;
  return (
    <>
      {frame && <img src={frame} alt="" class="ck-x-frame" draggable={false} />}
      <span class="ck-x-step">{step && steps ? `${step}/${steps}` : node}</span>
      <Bar fraction={fraction} />
    </>
  );
}

/** The marks of a point, as signs at the foot of its picture. */
export function MarkSigns({ marks, compared }: { marks: Marks; compared: boolean }) {
  const { star, rejected, rating, note, tags } = marks;
  const signs = [star && "★", rating > 0 && `${rating}`, rejected && "✕", note && "✎", tags && "#", compared && "◫"];
  const shown = signs.filter(Boolean);
  if (shown.length === 0) return null;
  return (
    <span class="ck-x-marks" aria-hidden="true">
      {shown.join(" ")}
    </span>
  );
}

/** A button that opens or closes the stack of a point. The key g does the same, so that Tab goes past it. */
function Stack({ explorer, point }: { explorer: Explorer; point: number }) {
  const count = explorer.countStack(point);
  if (count === 0) return null;
  return (
    <Button
      class="ck-quiet ck-x-stack"
      tabIndex={-1}
      aria-label={`Stack of ${count}`}
      title={`${count} runs that differ only in the seed (g)`}
      onClick={() => explorer.toggleStack(point)}
    >
      {count}
    </Button>
  );
}

function Caption({ explorer, point, height }: { explorer: Explorer; point: number; height: number }) {
  const values = explorer.describe(point);
  return (
    <div
      class="ck-x-caption"
      style={{ height: `${height}px` }}
      title={values.map((pair) => pair.join(": ")).join("\n")}
    >
      {values.map(([name, value]) => (
        <span key={name}>
          {name} <b>{value}</b>{" "}
        </span>
      ))}
    </div>
  );
}
