/** Buttons: with a text, with an icon, and with a confirmation. */

import type { ComponentType, JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { copyText } from "./clipboard";
import { CheckIcon } from "./icons";

/**
 * A button, which never submits its form.
 *
 * A press that begins on it ends on it: a field that loses the focus may drop its error line, which moves the button
 * away before the pointer goes up.
 */
export function Button({ onClick, ...attributes }: JSX.IntrinsicElements["button"]) {
  const pressed = useRef<DOMRect | null>(null);
  return (
    <button
      class="ck-button"
      {...attributes}
      type="button"
      onPointerDown={({ currentTarget, pointerId }) => {
        pressed.current = currentTarget.getBoundingClientRect();
        currentTarget.setPointerCapture(pointerId);
      }}
      onClick={(event) => {
        // A pointer that went away from the button takes the press back; a key has no place.
        if (event.detail === 0 || !pressed.current || isInside(event, pressed.current)) onClick?.(event);
      }}
    />
  );
}

function isInside({ clientX, clientY }: MouseEvent, { left, right, top, bottom }: DOMRect): boolean {
  // The place of a click is rounded down to whole pixels.
  return clientX >= Math.floor(left) && clientX <= right && clientY >= Math.floor(top) && clientY <= bottom;
}

type ButtonAttributes = Omit<JSX.IntrinsicElements["button"], "icon" | "label" | "title">;

interface IconButtonProps extends ButtonAttributes {
  icon: ComponentType;
  /** Its accessible name, shown on hover where there is no title. */
  label: string;
  title?: string | undefined;
  /** Whether the label stands beside the icon. */
  showLabel?: boolean;
}

/** A button that shows an icon, and its label if asked. */
export function IconButton({ icon: Icon, label, title = label, showLabel, children, ...attributes }: IconButtonProps) {
  return (
    <Button class={showLabel ? "ck-button" : "ck-button ck-square"} aria-label={label} title={title} {...attributes}>
      <Icon />
      {showLabel && <span>{label}</span>}
      {children}
    </Button>
  );
}

interface DoneButtonProps extends IconButtonProps {
  /** What it says once it has worked. */
  done: string;
  /** Resolves to whether it has worked. */
  action(near: HTMLElement): Promise<boolean>;
}

/** A button with an icon, which becomes a check mark once its action has worked. */
export function DoneButton({ icon, label, done, action, ...attributes }: DoneButtonProps) {
  const [isDone, setDone] = useState(false);
  return (
    <IconButton
      icon={isDone ? CheckIcon : icon}
      label={isDone ? done : label}
      onClick={async ({ currentTarget }) => setDone(await action(currentTarget))}
      {...attributes}
    />
  );
}

/** A link that copies a text, and says that it did. */
export function CopyLink({ text, label = "Copy", title }: { text: string; label?: string; title?: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <Button
      class="ck-link"
      title={title}
      onClick={async ({ currentTarget }) => setCopied(await copyText(text, currentTarget))}
    >
      {copied ? "Copied" : label}
    </Button>
  );
}
