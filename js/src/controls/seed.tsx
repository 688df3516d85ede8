/** Edits a seed: fixed, random, or incremented after each run. */

import { DieIcon, IconButton } from "../icons";
import { drawInteger, MAX_EXACT, toInteger, toWire } from "../number";
import type { Field } from "../session/protocol";
import type { ControlProps } from "./control";
import { createIntegerStepper, NumberInput } from "./numeric";

type SeedMode = "fixed" | "random" | "increment";

/** A control for a seed, with the last seed used. */
export function SeedControl(props: ControlProps) {
  const { session, field, value } = props;
  const random = value === "random";
  const lastText = session.get("runs").find((run) => run.seeds?.[field.name] !== undefined)?.seeds[field.name];
  const last = toInteger(lastText);
  const fixedMode: SeedMode = session.incrementing.has(field.name) ? "increment" : "fixed";
  const setSeed = (seed: bigint) => session.values.set(field.name, toWire(seed));
  const setMode = (mode: SeedMode) => {
    session.setIncrementing(field.name, mode === "increment");
    if (mode === "random") session.values.set(field.name, mode);
    else if (random && last === null) setSeed(drawSeed(field));
    else if (random && last !== null) setSeed(mode === "increment" ? last + 1n : last);
  };

  return (
    <div class="ck-seed">
      <NumberInput
        {...props}
        stepper={createIntegerStepper(field)}
        {...(random && { display: "", placeholder: "random" })}
        after={
          <>
            <IconButton icon={DieIcon} label="New random seed" onClick={() => setSeed(drawSeed(field))} />
            <select
              class="ck-input ck-select ck-mode"
              aria-label={`${field.name} after each run`}
              value={random ? "random" : fixedMode}
              onChange={(event) => setMode(event.currentTarget.value as SeedMode)}
            >
              <option value="fixed">fixed</option>
              <option value="random">random</option>
              <option value="increment">increment</option>
            </select>
          </>
        }
      />
      {last !== null && lastText !== String(value) && (
        <p class="ck-note">
          Last seed: {lastText}{" "}
          <button type="button" class="ck-link" onClick={() => setSeed(last)}>
            Reuse
          </button>
        </p>
      )}
    </div>
  );
}

/** Draw a seed. It stays exact in ComfyUI's editor, which is a page as well; typed seeds may be larger. */
function drawSeed(field: Field): bigint {
  const min = toInteger(field.min) ?? 0n;
  const max = toInteger(field.max) ?? MAX_EXACT;
  return drawInteger(min, max > MAX_EXACT && min < MAX_EXACT ? MAX_EXACT : max);
}
