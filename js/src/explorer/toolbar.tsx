/** The toolbar: which axis is where, sliders for the others, filter, order and size. */

import { useState } from "preact/hooks";
import { Slider } from "../bar";
import { Button, IconButton } from "../buttons";
import { focusOnce } from "../focus";
import { SwapIcon } from "../icons";
import { Menu } from "./menu";
import {
  type Filter,
  findFreeAxes,
  isFlat,
  MAX_NESTED,
  MAX_SIZE,
  MIN_SIZE,
  moveAxis,
  type Order,
  type Place,
  transpose,
} from "./state/arrangement";
import type { Explorer } from "./state/explorer";
import { formatLabel, type Layout } from "./state/layout";

const FILTERS: readonly [Filter, string][] = [
  ["all", "All points"],
  ["done", "Done"],
  ["picked", "★ Picked"],
  ["rated", "Rated"],
  ["unrated", "Not yet judged"],
  ["rejected", "Rejected"],
  ["failed", "Failed"],
  ["left", "Left"],
];
const ORDERS: readonly [Order, string][] = [
  ["axes", "By values"],
  ["rating", "Best first"],
];
const PLACES: Record<Place, [string, string]> = {
  columns: ["Columns", "Inner columns"],
  rows: ["Rows", "Inner rows"],
};
const DRAG_TYPE = "application/x-comfykit-axis";

/** The toolbar of an explorer. */
export function Toolbar({ explorer, layout }: { explorer: Explorer; layout: Layout }) {
  const { arrangement, about } = explorer;
  const free = findFreeAxes(about.axes);
  const flat = isFlat(arrangement, about.axes);
  const canCross = free.length > 1 && arrangement.filter === "all" && arrangement.order === "axes";
  return (
    <div class="ck-line ck-x-toolbar">
      {free.length === 1 && <strong>{about.axes[free[0] ?? 0]?.names.join(", ")}</strong>}
      {free.length > 1 && !flat && (
        <>
          <AxisPlaces explorer={explorer} place="rows" />
          <IconButton
            icon={SwapIcon}
            class="ck-button ck-square ck-x-small"
            label="Swap rows and columns"
            title="Swap rows and columns (t)"
            onClick={() => explorer.arrange(transpose(arrangement))}
          />
          <AxisPlaces explorer={explorer} place="columns" />
          {Object.entries(arrangement.at).map(([axis, value]) => (
            <AxisSlider key={axis} explorer={explorer} axis={Number(axis)} value={value} />
          ))}
        </>
      )}
      {!explorer.header.running && <AddValues explorer={explorer} />}
      <span class="ck-line ck-x-view">
        {canCross && (
          <Button
            class="ck-button ck-x-small"
            aria-pressed={arrangement.flat}
            title="All points one after the other, without axes"
            onClick={() => explorer.arrange({ flat: !arrangement.flat })}
          >
            List
          </Button>
        )}
        <Menu
          label="Filter"
          value={arrangement.filter}
          options={FILTERS}
          onChoose={(filter) => explorer.arrange({ filter: filter as Filter })}
        />
        <Menu
          label="Order"
          value={arrangement.order}
          options={ORDERS}
          onChoose={(order) => explorer.arrange({ order: order as Order })}
        />
        <SizeSlider explorer={explorer} size={layout.width} />
      </span>
    </div>
  );
}

/** The slider of the size of the cells, in pixels; a double click lets them fit. */
export function SizeSlider({ explorer, size }: { explorer: Explorer; size: number }) {
  return (
    <Slider
      min={MIN_SIZE}
      max={MAX_SIZE}
      value={size}
      attributes={{
        class: "ck-slider ck-x-size",
        "aria-label": "Size of the cells",
        title: "Size of the cells (+ −)",
        onDblClick: () => explorer.arrange({ size: 0 }),
      }}
      onInput={(wanted) => explorer.arrange({ size: wanted })}
    />
  );
}

/** The axes of one direction: a menu for each, and one more that nests another axis. */
function AxisPlaces({ explorer, place }: { explorer: Explorer; place: Place }) {
  const { arrangement, about } = explorer;
  const chosen = arrangement[place];
  const free = findFreeAxes(about.axes);
  const hasMore = chosen.length < MAX_NESTED && free.length > 2;
  const set = (axis: number | null, level: number) => explorer.arrange(moveAxis(arrangement, axis, place, level));
  return (
    <>
      {chosen.map((axis, level) => (
        <AxisMenu
          key={level}
          explorer={explorer}
          label={chosen.length > 1 && level === 1 ? PLACES[place][1] : PLACES[place][0]}
          axis={axis}
          onChoose={(next) => set(next, level)}
        />
      ))}
      {(chosen.length === 0 || hasMore) && (
        <AxisMenu
          explorer={explorer}
          label={chosen.length === 0 ? PLACES[place][0] : PLACES[place][1]}
          axis={null}
          onChoose={(next) => next !== null && set(next, chosen.length)}
        />
      )}
    </>
  );
}

interface AxisMenuProps {
  explorer: Explorer;
  label: string;
  axis: number | null;
  onChoose(axis: number | null): void;
}

/** A place for an axis: a menu, which can be dragged onto another one to swap both. */
function AxisMenu({ explorer, label, axis, onChoose }: AxisMenuProps) {
  const { about } = explorer;
  const isEmpty = axis === null;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dragging is one of three ways to swap axes
    <span
      class={`ck-x-axis${isEmpty ? " ck-x-none" : ""}`}
      draggable={!isEmpty}
      title={isEmpty ? label : `${label}: drag it onto another one to swap them`}
      onDragStart={(event) => event.dataTransfer?.setData(DRAG_TYPE, `${axis}`)}
      onDragOver={(event) => event.dataTransfer?.types.includes(DRAG_TYPE) && event.preventDefault()}
      onDrop={(event) => {
        const dropped = event.dataTransfer?.getData(DRAG_TYPE);
        if (!dropped) return;
        event.preventDefault();
        onChoose(Number(dropped));
      }}
    >
      {!isEmpty && <span class="ck-muted">{label}</span>}
      <Menu
        label={label}
        none={isEmpty ? "+" : "none"}
        value={`${axis ?? ""}`}
        options={findFreeAxes(about.axes).map((index) => [`${index}`, about.axes[index]?.names.join(", ") ?? ""])}
        onChoose={(chosen) => onChoose(chosen === "" ? null : Number(chosen))}
      />
    </span>
  );
}

/** An axis that is neither a row nor a column: one of its values is shown. */
function AxisSlider({ explorer, axis, value }: { explorer: Explorer; axis: number; value: number }) {
  const { arrangement, about } = explorer;
  const info = about.axes[axis];
  if (!info) return null;
  const last = info.labels.length - 1;
  const name = info.names.join(", ");
  const label = formatLabel(info.labels[value], info.names);
  return (
    <span class="ck-x-axis" title={`${name}: ${label} ([ ])`}>
      <span class="ck-muted ck-name">{name}</span>
      <Slider
        min={0}
        max={last}
        value={value}
        attributes={{ "aria-label": name, "aria-valuetext": label }}
        onInput={(chosen) => explorer.arrange({ at: { ...arrangement.at, [axis]: chosen } })}
      />
      <span class="ck-name ck-x-value">{label}</span>
    </span>
  );
}

/** A field for more values of an axis, which appears on demand. */
function AddValues({ explorer }: { explorer: Explorer }) {
  const [axis, setAxis] = useState<number | null>(null);
  const axes = explorer.about.axes.map((info, index) => ({ ...info, index })).filter(({ paired }) => !paired);
  if (axes.length === 0) return null;
  const name = axis === null ? "" : explorer.about.axes[axis]?.names[0];
  const add = async (input: HTMLInputElement) => {
    if (input.value.trim() === "") return setAxis(null);
    if (await explorer.requestOrNotify("edit", { axis, add: input.value })) setAxis(null);
  };
  return (
    <span class="ck-x-axis ck-x-add">
      <Menu
        label="Add values to an axis"
        none={name ? `Add to ${name}` : "Add values"}
        options={axes.map(({ index, names }) => [`${index}`, names[0] ?? ""])}
        disabled={explorer.channel.closed}
        onChoose={(chosen) => setAxis(Number(chosen))}
      />
      {axis !== null && (
        <input
          key={axis}
          ref={focusOnce}
          class="ck-input ck-x-values"
          aria-label={`More values of ${name}`}
          placeholder={explorer.about.axes[axis]?.numbers ? "8, 9 · 10..20:2 · *4 seeds" : "one more text"}
          onKeyDown={(event) => {
            event.stopPropagation();
            if (event.key === "Enter") void add(event.currentTarget);
            if (event.key === "Escape") setAxis(null);
          }}
        />
      )}
    </span>
  );
}
