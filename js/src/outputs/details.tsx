/** How an output was made: its values, node, size, time, cost, workflow and server, and where the time went. */

import { Bar } from "../bar";
import { findLabel, formatDuration, formatWait, listChanges } from "../format";
import { useAnswer } from "../session/hooks";
import type { Run } from "../session/protocol";
import type { Session } from "../session/session";
import { useThumbnail } from "./outputViews";
import type { RunOutput } from "./runs";

/** Names and values, as the rows of a list. */
export function Rows({ rows }: { rows: readonly (readonly [string, string])[] }) {
  return rows.map(([name, value], index) => (
    <div key={`${index}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  ));
}

interface DetailsProps {
  session: Session;
  output: RunOutput;
  showName: boolean;
}

/** The details of an output. */
export function Details({ session, output, showName }: DetailsProps) {
  const { run, item } = output;
  // The thumbnail comes with the size of the image, where the run does not have it.
  const thumb = useThumbnail(session, output, !item.width);
  const { width, height } = item.width ? item : thumb;
  const rows: [string, string][] = [
    ...listChanges(run).map(([name, value]): [string, string] => [findLabel(name, session.get("fields")), value]),
    ["Node", item.var ? `${item.node} (${item.var})` : item.node],
    ["Size", width ? `${width} × ${height}` : ""],
    ["Time", run.seconds === null ? "" : formatDuration(run.seconds)],
    ["Waited", formatWait(run)],
    ["Cost", run.cost],
    ["Workflow", run.workflow],
  ];
  const name: [string, string][] = showName ? [["", item.name]] : [];
  return (
    <>
      <dl>
        <Rows rows={[...name, ...rows.filter(([, value]) => value)]} />
      </dl>
      <NodeTimes session={session} run={run} />
    </>
  );
}

interface NodeTime {
  node: string;
  seconds: number;
}

/** The slowest nodes of a run, as bars. The kernel is asked for them when they are looked at. */
function NodeTimes({ session, run }: { session: Session; run: Run }) {
  const nodes = (useAnswer(session, "times", { run: run.id })?.nodes ?? []) as NodeTime[];
  const most = Math.max(...nodes.map(({ seconds }) => seconds));
  if (nodes.length === 0 || most <= 0) return null;
  return (
    <div class="ck-times">
      <p class="ck-muted">Where the time went</p>
      <ul>
        {nodes.map(({ node, seconds }, index) => (
          <li key={`${index}`}>
            <span class="ck-name" title={node}>
              {node}
            </span>
            <span>{formatDuration(seconds)}</span>
            <Bar fraction={seconds / most} />
          </li>
        ))}
      </ul>
    </div>
  );
}
