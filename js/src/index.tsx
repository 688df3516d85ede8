/**
 * The anywidget module: a factory that is called once for each model. The views of a model share one session.
 *
 * anywidget waits at most two seconds for `initialize`, so it only adds listeners.
 */

import type { InitializeProps, RenderProps } from "@anywidget/types";
import { render as renderComponent } from "preact";
import { randomId } from "./session/channel";
import type { Traits } from "./session/protocol";
import { Session } from "./session/session";
import "./style.css";
import { Widget } from "./widget";

/** Create the state of one model, and return what anywidget calls. */
export default function createWidget() {
  let session: Session | undefined;

  function initialize({ model }: Pick<InitializeProps<Traits>, "model">) {
    const created = new Session(model);
    session = created;
    return () => created.destroy();
  }

  function render({ model, el }: Pick<RenderProps<Traits>, "model" | "el">) {
    // Hosts that never call initialize get a session for each view.
    const viewSession = session ?? new Session(model);
    const root = document.createElement("div");
    el.append(root);
    renderComponent(<Widget session={viewSession} uid={`ck-${randomId()}`} />, root);
    viewSession.announceView();
    viewSession.drafts.restore();
    return () => {
      renderComponent(null, root);
      root.remove();
      if (viewSession !== session) viewSession.destroy();
    };
  }

  return { initialize, render };
}
