/**
 * The widget as anywidget takes it: a factory, called once for each model, whose views share one session.
 *
 * `initialize` only hooks listeners on: a bundle has two seconds for it.
 */

import type { InitializeProps, RenderProps } from "@anywidget/types";
import { render as paint } from "preact";
import { randomId, type Traits } from "./session/protocol";
import { Session } from "./session/session";
import "./style.css";
import { Widget } from "./widget";

export default function widget() {
  let session: Session | undefined;

  function initialize({ model }: Pick<InitializeProps<Traits>, "model">) {
    const own = new Session(model);
    session = own;
    return () => own.destroy();
  }

  function render({ model, el }: Pick<RenderProps<Traits>, "model" | "el">) {
    const shared = session ?? new Session(model);
    const root = document.createElement("div");
    el.append(root);
    paint(<Widget session={shared} uid={`ck-${randomId()}`} />, root);
    shared.hello();
    shared.restore();
    return () => {
      paint(null, root);
      root.remove();
      if (shared !== session) shared.destroy();
    };
  }

  return { initialize, render };
}
