/** Edits a seed on one line: its value, and whether it is random, fixed or incremented after each run. */

import type { ComponentChildren } from "preact";
import { formatSeed, getLabel } from "../format";
import { DieIcon, LockIcon } from "../icons";
import { drawInteger, MAX_EXACT, toInteger, toWire } from "../number";
import type { Field, SeedMode } from "../session/protocol";
import type { ControlProps } from "./control";
import { createIntegerStepper, NumberInput } from "./numeric";

const MODES: [SeedMode, string, ComponentChildren][] = [
  ["random", "a new seed for each run", <DieIcon key="icon" />],
  ["fixed", "the same seed for each run", <LockIcon key="icon" />],
  ["increment", "plus 1 after each run", "+1"],
];

/** A control for a seed, with the last seed used. */
export function SeedControl(props: ControlProps) {
  const { session, field, id, value } = props;
  const random = value === "random";
  const lastText = session.get("runs").find((run) => run.seeds?.[field.name] !== undefined)?.seeds[field.name];
  const last = toInteger(lastText);
  const current: SeedMode = random ? "random" : session.seeds.incrementing.has(field.name) ? "increment" : "fixed";
  const setMode = (mode: SeedMode) => {
    session.seeds.setIncrementing(field.name, mode === "increment");
    if (mode === "random") session.values.set(field.name, mode);
    else if (random && last === null) session.values.set(field.name, toWire(drawSeed(field)));
    else if (random && last !== null) session.values.set(field.name, toWire(mode === "increment" ? last + 1n : last));
  };

  return (
    <div class="ck-seed">
      <NumberInput
        {...props}
        stepper={createIntegerStepper(field)}
        {...(random && {
          display: "",
          placeholder: last === null ? "random" : `random · ${formatSeed(String(lastText))}`,
          title: last === null ? undefined : `last seed: ${lastText}`,
        })}
        after={
          <span class="ck-modes" role="radiogroup" aria-label={`${getLabel(field)} after each run`}>
            {MODES.map(([mode, description, icon]) => (
              <span key={mode} class="ck-mode" title={`${mode}: ${description}`}>
                <input
                  type="radio"
                  name={`${id}-mode`}
                  aria-label={mode}
                  checked={mode === current}
                  onChange={() => setMode(mode)}
                />
                {icon}
              </span>
            ))}
          </span>
        }
      />
    </div>
  );
}

/** Draw a seed. It stays exact in ComfyUI's editor, which is a page as well; typed seeds may be larger. */
function drawSeed(field: Field): bigint {
  const min = toInteger(field.min) ?? 0n;
  const max = toInteger(field.max) ?? MAX_EXACT;
  return drawInteger(min, max > MAX_EXACT && min < MAX_EXACT ? MAX_EXACT : max);
}
