/** A menu: a list of choices under a name. */

export interface MenuProps {
  label: string;
  /** What it shows before a choice; the label if it is not given. */
  shown?: string;
  /** The choice, where it is kept. */
  value?: string;
  /** Pairs of value and words. */
  options: readonly (readonly [string, string])[];
  disabled?: boolean;
  onChoose(value: string): void;
}

/** The menu. One whose choice is kept can be set back to nothing. */
export function Menu({ label, shown = label, value, options, disabled = false, onChoose }: MenuProps) {
  const isKept = value !== undefined;
  return (
    <select
      class={`ck-input ck-select ck-x-small${value ? " ck-x-chosen" : ""}`}
      aria-label={label}
      value={value ?? ""}
      disabled={disabled}
      onChange={({ currentTarget }) => onChoose(currentTarget.value)}
    >
      <option value="" disabled={!isKept} hidden={!isKept}>
        {shown}
      </option>
      {options.map(([each, words]) => (
        <option key={each} value={each}>
          {words}
        </option>
      ))}
    </select>
  );
}
