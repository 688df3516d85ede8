/** Icons in the color of the text, and buttons that show an icon. */

import type { ComponentType, JSX } from "preact";

const createIcon = (path: string) => () => (
  <svg class="ck-icon" viewBox="0 0 16 16" aria-hidden="true">
    <path d={path} />
  </svg>
);

export const DieIcon = createIcon(
  "M4.5 2.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2zm1 3h.2m4.8 0h.2M8 8h.2m-2.7 2.5h.2m4.8 0h.2",
);
export const ResetIcon = createIcon("M3.2 5.5A5.5 5.5 0 1 1 2.5 8.6M3 2.5v3.2h3.2");
export const CloseIcon = createIcon("m4 4 8 8m0-8-8 8");
export const PlayIcon = createIcon("M5 3.2v9.6L12.6 8z");
export const DownloadIcon = createIcon("M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13h10");
export const InfoIcon = createIcon("M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11zm0 5v3.3m0-5.6h.1");
export const BackIcon = createIcon("M9.8 3.5 5.3 8l4.5 4.5");
export const NextIcon = createIcon("M6.2 3.5 10.7 8l-4.5 4.5");
export const SettingsIcon = createIcon("M2.5 5h3m3 0h5m-11 6h6m3 0h2M7 3.5v3m3 3v3");
export const InputIcon = createIcon("M9 2.5h4.5v11H9M2.5 8H10M7 5l3 3-3 3");
export const CodeIcon = createIcon("M5.5 4 2 8l3.5 4m5-8L14 8l-3.5 4");
export const CheckIcon = createIcon("m3 8.5 3.2 3.2L13 4.8");
export const CompareIcon = createIcon("M8 2v12M6 4H2.5v8H6m4-8h3.5v8H10");

type ButtonAttributes = Omit<JSX.IntrinsicElements["button"], "icon" | "label" | "title">;

export interface IconButtonProps extends ButtonAttributes {
  icon: ComponentType;
  /** Its accessible name, shown on hover where there is no title. */
  label: string;
  title?: string;
  /** Whether the label stands beside the icon. */
  showLabel?: boolean;
}

/** A button that shows an icon, and its label if asked. */
export function IconButton({ icon: Icon, label, title = label, showLabel, children, ...attributes }: IconButtonProps) {
  return (
    <button type="button" class="ck-button ck-square" aria-label={label} title={title} {...attributes}>
      <Icon />
      {showLabel && <span>{label}</span>}
      {children}
    </button>
  );
}
