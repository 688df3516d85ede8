/**
 * The anywidget module: a factory that is called once for each model. The views of a model share one session.
 *
 * anywidget waits at most two seconds for `initialize`, so it only adds listeners.
 */

import type { InitializeProps, RenderProps } from "@anywidget/types";
import { render as renderComponent } from "preact";
import { ExplorerView } from "./explorer/explorerView";
import { Explorer } from "./explorer/state/explorer";
import { Library } from "./explorer/state/library";
import { randomId } from "./session/channel";
import type { Model, Traits } from "./session/protocol";
import { Session } from "./session/session";
import { keepPlainKeys } from "./session/shortcuts";
import "./style.css";
import { Widget } from "./widget";

/** Return the state of a model: of a form, a run, or many runs side by side. */
function createSession(model: Model): Session {
  const view = model.get("view");
  if (view === "runs") return new Library(model);
  return view === "sweep" ? new Explorer(model) : new Session(model);
}

/** Create the state of one model, and return what anywidget calls. */
export default function createWidget() {
  let session: Session | undefined;

  function initialize({ model }: Pick<InitializeProps<Traits>, "model">) {
    const created = createSession(model);
    session = created;
    return () => created.destroy();
  }

  function render({ model, el }: Pick<RenderProps<Traits>, "model" | "el">) {
    // Hosts that never call initialize get a session for each view.
    const viewSession = session ?? createSession(model);
    const root = document.createElement("div");
    el.append(root);
    const releaseKeys = keepPlainKeys(root);
    const uid = `ck-${randomId()}`;
    const view =
      viewSession instanceof Explorer ? (
        <ExplorerView explorer={viewSession} uid={uid} />
      ) : (
        <Widget session={viewSession} uid={uid} />
      );
    renderComponent(view, root);
    viewSession.announceView();
    viewSession.drafts.restore();
    return () => {
      renderComponent(null, root);
      releaseKeys();
      root.remove();
      if (viewSession !== session) viewSession.destroy();
    };
  }

  return { initialize, render };
}
