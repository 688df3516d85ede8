/** Switches a boolean on or off. */

import { buildAttributes, type ControlProps, ErrorLine } from "./control";

/** A control for a boolean, with the label of its state. */
export function ToggleControl({ session, field, id, value, error }: ControlProps) {
  const on = value === true;
  const label = on ? field.label_on : field.label_off;
  return (
    <>
      <div class="ck-line">
        <input
          type="checkbox"
          role="switch"
          aria-checked={on}
          class="ck-toggle"
          checked={on}
          onChange={(event) => session.values.set(field.name, event.currentTarget.checked)}
          {...buildAttributes(id, error)}
        />
        {label && <span class="ck-muted">{label}</span>}
      </div>
      <ErrorLine id={id} error={error} />
    </>
  );
}
