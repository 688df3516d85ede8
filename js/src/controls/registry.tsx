/**
 * The table of controls: one component for each kind of field.
 *
 * A new kind needs a component, a line here, its name in `FieldKind`, and the kernel's field traits.
 */

import type { ComponentType } from "preact";
import type { FieldKind } from "../session/protocol";
import { ChoiceControl } from "./choice";
import type { ControlProps } from "./control";
import { MediaControl } from "./mediaField";
import { IntegerControl, NumberControl } from "./numeric";
import { SeedControl } from "./seed";
import { TextControl } from "./text";
import { ToggleControl } from "./toggle";

const CONTROLS: Record<Exclude<FieldKind, "loras">, ComponentType<ControlProps>> = {
  integer: IntegerControl,
  number: NumberControl,
  seed: SeedControl,
  choice: ChoiceControl,
  toggle: ToggleControl,
  text: TextControl,
  multiline: TextControl,
  image: MediaControl,
  video: MediaControl,
  audio: MediaControl,
  file: MediaControl,
};

/** The control of a field. */
export function Control(props: ControlProps) {
  const Component = CONTROLS[props.field.kind as keyof typeof CONTROLS];
  return <Component {...props} />;
}
