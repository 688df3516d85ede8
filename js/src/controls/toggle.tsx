/** Switches a boolean on or off. */

import { buildAttributes, type ControlProps, ErrorLine } from "./control";

interface SwitchProps {
  on: boolean;
  attributes: object;
  onToggle(on: boolean): void;
}

/** A switch. */
export function Switch({ on, attributes, onToggle }: SwitchProps) {
  return (
    <input
      type="checkbox"
      role="switch"
      aria-checked={on}
      class="ck-toggle"
      checked={on}
      onChange={(event) => onToggle(event.currentTarget.checked)}
      {...attributes}
    />
  );
}

/** A control for a boolean, with the label of its state. */
export function ToggleControl({ session, field, id, value, error }: ControlProps) {
  const on = value === true;
  const label = on ? field.label_on : field.label_off;
  return (
    <>
      <div class="ck-line">
        <Switch
          on={on}
          attributes={buildAttributes(id, error)}
          onToggle={(next) => session.values.set(field.name, next)}
        />
        {label && <span class="ck-muted">{label}</span>}
      </div>
      <ErrorLine id={id} error={error} />
    </>
  );
}
