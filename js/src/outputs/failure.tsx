/** Shows why a run failed: one sentence with the node, what to do about it, and the rest folded. */

import { CopyLink } from "../buttons";
import { AlertIcon } from "../icons";
import type { RunError } from "../session/protocol";

/** What stands in a message before advice. */
const ADVICE = ". What helps: ";

/** The error of a failed run. */
export function Failure({ error }: { error: RunError }) {
  const { message, traceback } = error;
  // A server's own words often begin with the node.
  const node = error.node_title && !message.includes(`${error.node_title} (`) ? error.node_title : "";
  const [cause = "", advice] = message.split(ADVICE);
  const hint = advice ?? error.hint ?? "";
  const [first = "", ...rest] = cause.split("\n");
  const details = [rest.join("\n").trim(), traceback].filter(Boolean).join("\n\n");
  const whole = [node ? `${node}: ${cause}` : cause, hint, traceback].filter(Boolean).join("\n\n");
  return (
    <div class="ck-failure">
      <AlertIcon />
      <div>
        <p class="ck-error">
          {node && <strong>{node}: </strong>}
          {first}
        </p>
        {hint && <p>{`${hint[0]?.toUpperCase()}${hint.slice(1)}.`}</p>}
        <div class="ck-failure-more">
          {details && (
            <details>
              <summary>{traceback ? "Traceback" : "Details"}</summary>
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard */}
              <pre class="ck-code" tabIndex={0}>
                {details}
              </pre>
            </details>
          )}
          <CopyLink text={whole} />
        </div>
      </div>
    </div>
  );
}
