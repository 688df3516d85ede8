/** The rows of a form: a label, a control or two, and a button that resets changed values. */

import { useRef } from "preact/hooks";
import { IconButton } from "../buttons";
import { formatValue, getLabel } from "../format";
import { ResetIcon, SwapIcon } from "../icons";
import { type Field, isEqual, isMediaKind, type Value } from "../session/protocol";
import type { Session } from "../session/session";
import { findAspect, listAspects, resize } from "./aspect";
import { type Block, isSize, type Line } from "./formLayout";
import { Control } from "./registry";

/** Characters of a default in the title of its reset button. */
const MAX_DEFAULT = 60;

interface RowsProps {
  session: Session;
  /** A prefix for the ids of this view's elements. */
  uid: string;
}

interface BlockRowsProps extends RowsProps {
  block: Block;
  /** Whether the heading is shown. */
  showHeading: boolean;
}

/** The rows of one block, under its heading. */
export function BlockRows({ session, uid, block, showHeading }: BlockRowsProps) {
  const { heading, lines } = block;
  const rows = lines.map((line) => <Row key={line[0].name} session={session} uid={uid} line={line} />);
  if (!heading || !showHeading) return <div class="ck-block">{rows}</div>;
  const id = `${uid}-heading-${lines[0]?.[0].name}`;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a grid in all browsers
    <div class="ck-block" role="group" aria-labelledby={id}>
      <div class="ck-heading" id={id}>
        {heading}
      </div>
      {rows}
    </div>
  );
}

/** A field as its row sees it. */
interface Cell {
  field: Field;
  id: string;
  value: Value;
  changed: boolean;
}

function Row({ session, uid, line }: RowsProps & { line: Line }) {
  const row = useRef<HTMLDivElement>(null);
  const cells = line.map((field) => readCell(session, uid, field));
  const [first, second] = cells as [Cell, Cell?];
  const changed = cells.filter((cell) => cell.changed);
  const reset = () => {
    for (const { field } of changed) session.values.reset(field.name, field.default);
    // The button disappears, and would take the focus with it.
    const target = (changed[0] ?? first).id;
    row.current?.querySelector<HTMLElement>(`[id="${target}"]`)?.focus();
  };
  const classes = ["ck-row", isTall(first.field) && "ck-tall", changed.length > 0 && "ck-changed"];
  return (
    <div ref={row} class={classes.filter(Boolean).join(" ")}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the button does the same */}
      <div class="ck-label" onDblClick={() => changed.length > 0 && reset()}>
        <Label cell={first} />
        {second && isSize(line) && (
          <>
            <span aria-hidden="true">×</span>
            <Label cell={second} />
          </>
        )}
      </div>
      {second ? (
        <PairControls session={session} line={line as readonly [Field, Field]} cells={[first, second]} />
      ) : (
        <CellControl session={session} cell={first} />
      )}
      <div class="ck-reset">
        {changed.length > 0 && (
          <IconButton
            icon={ResetIcon}
            class="ck-quiet"
            label={`Reset ${changed.map(({ field }) => getLabel(field)).join(" and ")}`}
            title={`Reset to ${changed.map(({ field }) => formatValue(field.default, MAX_DEFAULT)).join(" × ")}`}
            onClick={reset}
          />
        )}
      </div>
    </div>
  );
}

function Label({ cell: { field, id } }: { cell: Cell }) {
  return (
    <label for={id} title={describeField(field)}>
      {getLabel(field)}
    </label>
  );
}

function CellControl({ session, cell }: { session: Session; cell: Cell }) {
  const { field, id, value } = cell;
  return (
    <div class="ck-control">
      <Control session={session} field={field} id={id} value={value} error={session.getError(field.name)} />
    </div>
  );
}

interface PairProps {
  session: Session;
  line: readonly [Field, Field];
  cells: readonly [Cell, Cell];
}

/** Two controls side by side. A size also gets buttons that swap it and choose an aspect ratio. */
function PairControls({ session, line, cells }: PairProps) {
  const [first, second] = cells;
  const isOfSize = isSize(line);
  // A slider has no room here.
  const withoutSlider = (cell: Cell): Cell => ({ ...cell, field: { ...cell.field, slider: false } });
  return (
    <div class={`ck-pair${isOfSize ? " ck-size" : ""}`}>
      <CellControl session={session} cell={withoutSlider(first)} />
      {isOfSize ? <span aria-hidden="true">×</span> : <Label cell={second} />}
      <CellControl session={session} cell={withoutSlider(second)} />
      {isOfSize && <SizeButtons session={session} line={line} cells={cells} />}
    </div>
  );
}

function SizeButtons({ session, line, cells }: PairProps) {
  const [width, height] = cells.map(({ value }) => Number(value)) as [number, number];
  const setSize = (size: readonly [number, number]) => {
    for (const [index, field] of line.entries()) session.values.set(field.name, size[index] ?? 0);
  };
  if (!(width > 0 && height > 0)) return null;
  const aspect = findAspect(width, height);
  return (
    <>
      <IconButton icon={SwapIcon} label="Swap width and height" onClick={() => setSize([height, width])} />
      <select
        class="ck-input ck-select ck-aspect"
        aria-label="Aspect ratio"
        value={aspect}
        onChange={(event) => setSize(resize(event.currentTarget.value, [width, height], line))}
      >
        {!aspect && <option value="">–</option>}
        {listAspects(width, height).map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </>
  );
}

function readCell(session: Session, uid: string, field: Field): Cell {
  const { name } = field;
  const stored = session.values.get(name);
  const value = stored === undefined ? field.default : stored;
  const isSeveral = name in session.get("lists");
  const hasDefault = field.default !== null && field.default !== undefined;
  const changed = isSeveral || (hasDefault && !isEqual(value, field.default));
  return { field, id: `${uid}-${name}`, value, changed };
}

/** Return whether the control needs the whole width: then its label stands above it. */
function isTall({ kind }: Field): boolean {
  return kind === "multiline" || isMediaKind(kind);
}

/** Describe a field in a tooltip: its name in Python, its node, the server's help and its address. */
function describeField({ name, node, tooltip, address }: Field): string {
  const place = address && address !== name ? address : "";
  return [name, node, tooltip, place].filter(Boolean).join("\n");
}
