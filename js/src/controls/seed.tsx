/** A seed: fixed, drawn anew or one more for each run, with the one used last at hand. */

import { DieIcon, IconButton } from "../icons";
import { draw, toInteger, wire } from "../number";
import { integers, NumberInput } from "./numeric";
import type { ControlProps } from "./registry";

/** Drawn seeds stay where ComfyUI's editor, a page itself, is exact as well; typed ones may be larger. */
const LARGEST = 2n ** 53n - 1n;

export function Seed(props: ControlProps) {
  const { session, field, value } = props;
  const random = value === "random";
  const last = session.get("runs").find((run) => run.seeds?.[field.name] !== undefined)?.seeds[field.name];
  const fix = (seed: bigint) => session.values.set(field.name, wire(seed));
  const lastSeed = toInteger(last);
  const mode = random ? "random" : session.counting.has(field.name) ? "next" : "fixed";
  const choose = (chosen: string) => {
    session.count(field.name, chosen === "next");
    if (chosen === "random") session.values.set(field.name, chosen);
    else if (random) fix(lastSeed === null ? drawFor(field) : chosen === "next" ? lastSeed + 1n : lastSeed);
  };

  return (
    <div class="ck-seed">
      <NumberInput
        {...props}
        arithmetic={integers(field)}
        {...(random && { shown: "", placeholder: "random" })}
        after={
          <>
            <IconButton icon={DieIcon} label="Draw" onClick={() => fix(drawFor(field))} />
            <select
              class="ck-input ck-select ck-mode"
              aria-label={`${field.name}: from run to run`}
              value={mode}
              onChange={(event) => choose(event.currentTarget.value)}
            >
              <option value="fixed">fixed</option>
              <option value="random">random</option>
              <option value="next">+1</option>
            </select>
          </>
        }
      />
      {lastSeed !== null && String(last) !== String(value) && (
        <p class="ck-note">
          last used {last}{" "}
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
