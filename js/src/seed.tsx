/** A seed: fixed or drawn anew for each run, with the one used last at hand. */

import type { ControlProps } from "./fields";
import { DieIcon } from "./icons";
import { draw, toInteger, wire } from "./number";
import { integers, NumberInput } from "./numeric";
import { useTopics } from "./session";

/** Drawn seeds stay where ComfyUI's editor, a page itself, is exact as well; typed ones may be larger. */
const LARGEST = 2n ** 53n - 1n;

export function Seed(props: ControlProps) {
  const { session, field, value } = props;
  useTopics(session, "runs");
  const random = value === "random";
  const last = session.get("runs").find((run) => run.seeds?.[field.name] !== undefined)?.seeds[field.name];
  const fix = (seed: bigint) => session.values.set(field.name, wire(seed));
  const lastSeed = toInteger(last);
  const toggle = () => (random ? fix(lastSeed ?? drawFor(field)) : session.values.set(field.name, "random"));

  return (
    <div class="ck-seed">
      <NumberInput
        {...props}
        arithmetic={integers(field)}
        {...(random && { shown: "", placeholder: "random" })}
        after={
          <>
            <button
              type="button"
              class="ck-button ck-square"
              aria-label="Draw"
              title="Draw one and keep it"
              onClick={() => fix(drawFor(field))}
            >
              <DieIcon />
            </button>
            <button
              type="button"
              class="ck-button"
              aria-pressed={random}
              title="Draw a new one each time"
              onClick={toggle}
            >
              Random
            </button>
          </>
        }
      />
      {lastSeed !== null && String(last) !== String(value) && (
        <p class="ck-note">
          last used <span class="ck-digits">{last}</span>{" "}
          <button type="button" class="ck-link" onClick={() => fix(lastSeed)}>
            Keep
          </button>
        </p>
      )}
    </div>
  );
}

function drawFor(field: ControlProps["field"]): bigint {
  const min = toInteger(field.min) ?? 0n;
  const max = toInteger(field.max) ?? LARGEST;
  return draw(min, max > LARGEST && min < LARGEST ? LARGEST : max);
}
