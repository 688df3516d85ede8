/** A menu: a list of choices under a name. */

interface MenuProps {
  /** Its accessible name, also shown on hover. */
  label: string;
  /** The words of no choice; without them there always is one. */
  none?: string;
  /** The choice, where it is kept. */
  value?: string;
  /** Pairs of value and words. */
  options: readonly (readonly [string, string])[];
  disabled?: boolean;
  onChoose(value: string): void;
}

/** The menu. One whose choice is kept can be set back to no choice. */
export function Menu({ label, none, value, options, disabled = false, onChoose }: MenuProps) {
  const isKept = value !== undefined;
  return (
    <select
      class={`ck-input ck-select ck-x-small${value ? " ck-x-chosen" : ""}`}
      aria-label={label}
      title={label}
      value={value ?? ""}
      disabled={disabled}
      onChange={({ currentTarget }) => onChoose(currentTarget.value)}
    >
      {none && (
        <option value="" disabled={!isKept} hidden={!isKept}>
          {none}
        </option>
      )}
      {options.map(([each, words]) => (
        <option key={each} value={each}>
          {words}
        </option>
      ))}
    </select>
  );
}
