/** The caption of a run: what differs first, then its seed, time and cost. */

import { formatDuration, formatSeed, formatValue, formatWait, listChanges } from "../format";
import type { Field, Run } from "../session/protocol";
import { buildCaption } from "./runs";

/** Characters of a value. */
const MAX_VALUE = 60;
/** Characters of a value that is as bold as its name: a longer one is a text to read. */
const MAX_BOLD = 24;

interface CaptionTextProps {
  run: Run;
  /** The run before it in time. */
  previous: Run | undefined;
  fields: readonly Field[];
}

/** The caption below the outputs of a run; its tooltip has everything in full. */
export function CaptionText({ run, previous, fields }: CaptionTextProps) {
  if (run.alike) return <figcaption>{`${run.alike} runs failed`}</figcaption>;
  const { differing, seeds } = buildCaption(run, previous, fields);
  const time = run.status === "completed" && run.seconds !== null ? formatDuration(run.seconds) : "";
  const dim = [...seeds.map(([name, seed]) => `${name} ${formatSeed(seed)}`), time, run.cost].filter(Boolean);
  return (
    <figcaption title={describeRun(run)}>
      {run.status !== "completed" && <strong>{`${run.status} `}</strong>}
      {differing.map(([name, value]) => (
        <span key={name}>
          <strong>{value.length > MAX_BOLD ? name : `${name} ${value}`}</strong>
          {value.length > MAX_BOLD ? ` ${formatValue(value, MAX_VALUE)}` : ""}
          {" · "}
        </span>
      ))}
      <span class="ck-muted">{dim.join(" · ")}</span>
    </figcaption>
  );
}

/** Describe a run in full: all that was changed, its seeds, and how long it waited. */
function describeRun(run: Run): string {
  const waited = formatWait(run);
  return [...listChanges(run).map((change) => change.join(": ")), waited && `waited: ${waited}`]
    .filter(Boolean)
    .join("\n");
}
