/** Performs the action of a key in an explorer: moves the focus, marks, selects, arranges. */

import { clamp } from "../number";
import { isFlat, transpose } from "./state/arrangement";
import { listBetween, listRow } from "./state/cells";
import type { Explorer } from "./state/explorer";
import type { Action } from "./state/keys";
import { findPosition, type Layout, stepSize } from "./state/layout";

/** Perform an action, except for those that open something. */
export function perform(
  explorer: Explorer,
  layout: Layout,
  list: number[],
  action: Action,
  anchor: { current: number },
): void {
  const { arrangement } = explorer;
  const go = (point: number | undefined, extend: boolean) => {
    if (point === undefined || point < 0) return;
    if (!extend) anchor.current = point;
    explorer.focus(point);
    if (extend) explorer.select(listBetween(layout, anchor.current, point));
  };
  const goBy = (by: number) => list[clamp(list.indexOf(explorer.focused) + by, 0, list.length - 1)];
  const [row, column] = layout.find(explorer.focused) ?? [0, 0];
  switch (action.kind) {
    case "move":
      go(findNeighbour(layout, row + action.rows, column + action.columns, action.columns, goBy), action.extend);
      break;
    case "page":
      go(layout.pointAt(stepRows(layout, row, action.by), column), action.extend);
      break;
    case "edge":
      go(findEdge(layout, list, row, action.toEnd, action.whole), action.extend);
      break;
    case "mark":
      explorer.mark(action.mark);
      if (action.advance) go(goBy(1), false);
      break;
    case "undo":
      go(explorer.undo(), false);
      break;
    case "stack":
      explorer.toggleStack(explorer.focused);
      break;
    case "select":
      explorer.toggleSelected(explorer.focused);
      break;
    case "all":
      explorer.select(list);
      break;
    case "clear":
      explorer.select([]);
      break;
    case "transpose":
      if (layout.headHeight > 0 && !isFlat(arrangement, explorer.about.axes)) explorer.arrange(transpose(arrangement));
      break;
    case "larger":
    case "smaller":
      explorer.arrange({ size: stepSize(layout.width, action.kind === "larger") });
      break;
    case "remove":
      removeValue(explorer, layout, action.place, explorer.focused);
      break;
    case "previous":
    case "next":
      stepSlider(explorer, action.kind === "next" ? 1 : -1);
      break;
  }
}

/** Return the point beside another one; at the end of a line without axes, the first of the next line. */
function findNeighbour(
  layout: Layout,
  row: number,
  column: number,
  sideways: number,
  goBy: (by: number) => number | undefined,
): number | undefined {
  if (layout.flat && sideways !== 0) return goBy(sideways);
  const point = layout.pointAt(row, column);
  // A line may be shorter than the one before.
  return layout.flat && point < 0 ? listRow(layout, row).at(-1) : point;
}

/** Return the row a screen above or below. */
function stepRows(layout: Layout, row: number, by: number): number {
  const page = Math.max(1, Math.floor((innerHeight * 0.6) / layout.height));
  return clamp(row + by * page, 0, layout.rows.count - 1);
}

function findEdge(layout: Layout, list: number[], row: number, toEnd: boolean, whole: boolean): number | undefined {
  return (whole ? list : listRow(layout, row)).at(toEnd ? -1 : 0);
}

/** Leave out the value of a point's row or column. Without rows and columns, leave out its value on the last axis. */
export function removeValue(explorer: Explorer, layout: Layout, place: "rows" | "columns", point: number): void {
  const { arrangement, about } = explorer;
  const axis = layout.flat ? about.axes.length - 1 : arrangement[place].at(-1);
  if (axis === undefined || !explorer.canRemove) return;
  void explorer.requestOrNotify("edit", { axis, remove: [findPosition(point, about.axes)[axis]] });
}

/** Show the next or previous value of the first axis that is a slider. */
function stepSlider(explorer: Explorer, by: number): void {
  const [first] = Object.entries(explorer.arrangement.at);
  if (!first) return;
  const [axis, value] = first;
  const last = (explorer.about.axes[Number(axis)]?.labels.length ?? 1) - 1;
  explorer.arrange({ at: { ...explorer.arrangement.at, [axis]: clamp(value + by, 0, last) } });
}
