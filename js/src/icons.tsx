/** Icons in the color of the text. */

const createIcon = (path: string) => () => (
  <svg class="ck-icon" viewBox="0 0 16 16" aria-hidden="true">
    <path d={path} />
  </svg>
);

export const DieIcon = createIcon(
  "M4.5 2.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2zm1 3h.2m4.8 0h.2M8 8h.2m-2.7 2.5h.2m4.8 0h.2",
);
export const LockIcon = createIcon("M4 7.5h8v6H4zm1.5 0v-2a2.5 2.5 0 0 1 5 0v2");
export const SwapIcon = createIcon("M2.5 5.5h10m-3-3 3 3-3 3m4 2h-10m3-3-3 3 3 3");
export const ResetIcon = createIcon("M3.2 5.5A5.5 5.5 0 1 1 2.5 8.6M3 2.5v3.2h3.2");
export const CloseIcon = createIcon("m4 4 8 8m0-8-8 8");
export const PlayIcon = createIcon("M5 3.2v9.6L12.6 8z");
export const DownloadIcon = createIcon("M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13h10");
export const InfoIcon = createIcon("M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11zm0 5v3.3m0-5.6h.1");
export const BackIcon = createIcon("M9.8 3.5 5.3 8l4.5 4.5");
export const NextIcon = createIcon("M6.2 3.5 10.7 8l-4.5 4.5");
export const SettingsIcon = createIcon("M2.5 5h3m3 0h5m-11 6h6m3 0h2M7 3.5v3m3 3v3");
export const InputIcon = createIcon("M9 2.5h4.5v11H9M2.5 8H10M7 5l3 3-3 3");
export const FrameIcon = createIcon("M2 3.5h12v9H2zM5 3.5v9m6-9v9M2 8h3m6 0h3");
export const LastIcon = createIcon("m4 3.5 6 4.5-6 4.5zm8 0v9");
export const CodeIcon = createIcon("M5.5 4 2 8l3.5 4m5-8L14 8l-3.5 4");
export const CheckIcon = createIcon("m3 8.5 3.2 3.2L13 4.8");
export const CompareIcon = createIcon("M8 2v12M6 4H2.5v8H6m4-8h3.5v8H10");
export const PauseIcon = createIcon("M5.5 3.5v9m5-9v9");
export const StopIcon = createIcon("M4 4h8v8H4z");
export const ListIcon = createIcon("m4.5 6.5 3.5 3.5 3.5-3.5");
export const UpIcon = createIcon("m4.5 9.5 3.5-3.5 3.5 3.5");
export const BellIcon = createIcon("M4.5 11V7a3.5 3.5 0 0 1 7 0v4l1.2 1.2H3.3zm2.3 1.6a1.3 1.3 0 0 0 2.4 0");
export const AlertIcon = createIcon("M8 2.8 14 13H2zm0 3.7v3m0 1.6h.1");
export const CopyIcon = createIcon("M5.5 5.5h7v8h-7zm-2-3h7v3m-7-3v8h2");
export const TextIcon = createIcon("M3 4h10M3 8h10M3 12h6");
export const ScreenIcon = createIcon("M2.5 6V2.5H6m4 0h3.5V6m0 4v3.5H10m-4 0H2.5V10");
export const ExpandIcon = createIcon("M9.5 2.5h4v4m0-4-5 5m-2 6h-4v-4m0 4 5-5");
export const EditIcon = createIcon("m3 13 .8-3.2L10.5 3l2.4 2.4-6.7 6.8z");
export const GridIcon = createIcon("M3 3h4v4H3zm6 0h4v4H9zM3 9h4v4H3zm6 0h4v4H9z");
export const DiscardIcon = createIcon("M3 4.5h10m-6.5-2h3M4.5 4.5l.6 9h5.8l.6-9m-4.7 2.3v4.4m2.4-4.4v4.4");
