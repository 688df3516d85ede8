/** Modal dialogs over the whole window: the lightbox, the comparison and the painter of masks. */

import type { ComponentChildren, RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

interface DialogProps {
  dialog: RefObject<HTMLDialogElement | null>;
  label: string;
  class?: string;
  children: ComponentChildren;
  /** Handles a key; none of them reaches the notebook behind the dialog. */
  onKeyDown(event: KeyboardEvent): void;
  onKeyUp?(event: KeyboardEvent): void;
  onClick?(event: MouseEvent): void;
  onCancel?(event: Event): void;
  onClose?(): void;
}

/** A dialog. It is open as long as it is in the page. */
export function Dialog({ dialog, label, class: extra = "", onKeyDown, children, ...attributes }: DialogProps) {
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal?.();
    // The dialog itself, not its first button: keys are for what it shows.
    element?.focus();
    // Closing returns the focus to where it was before.
    return () => element?.close?.();
  }, []);
  return (
    <dialog
      ref={dialog}
      tabIndex={-1}
      class={`ck-lightbox ${extra}`}
      aria-label={label}
      data-lm-suppress-shortcuts="true"
      onKeyDown={(event) => {
        event.stopPropagation();
        onKeyDown(event);
      }}
      {...attributes}
    >
      <div class="ck-frame">{children}</div>
    </dialog>
  );
}
