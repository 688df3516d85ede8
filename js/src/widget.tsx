/** One view of the widget: title line, form, stage and gallery. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { MissingList } from "./controls/missing";
import { ExplorerView } from "./explorer/explorerView";
import { Explorer } from "./explorer/state/explorer";
import { Buttons, Form, runForm } from "./form";
import { useEndNotice } from "./outputs/endNotice";
import { Gallery } from "./outputs/gallery";
import { Lightbox, type Opened } from "./outputs/lightbox";
import { ProgressPanel } from "./outputs/progress";
import { Stage } from "./outputs/stage";
import { useTopics } from "./session/hooks";
import type { Server } from "./session/protocol";
import type { Session } from "./session/session";
import { claim, stopPlainKey } from "./session/shortcuts";

interface WidgetProps {
  session: Session;
  /** A prefix for the ids of this view's elements. */
  uid: string;
}

/** The widget, and below it the grids of what was run with several values. */
export function Widget({ session, uid }: WidgetProps) {
  useTopics(session, "state");
  return (
    <>
      <Body session={session} uid={uid} />
      {session.get("grids").map((id) => (
        <Grid key={id} session={session} id={id} uid={`${uid}-${id}`} />
      ))}
    </>
  );
}

/** The grid of a sweep, which has a model of its own. */
function Grid({ session, id, uid }: WidgetProps & { id: string }) {
  const [explorer, setExplorer] = useState<Explorer>();
  useEffect(() => {
    let made: Explorer | undefined;
    let gone = false;
    session.findModel(id).then(
      (model) => {
        if (gone) return;
        made = new Explorer(model);
        made.announceView();
        setExplorer(made);
      },
      () => {}, // It is of an earlier kernel.
    );
    return () => {
      gone = true;
      made?.destroy();
    };
  }, [session, id]);
  return explorer ? <ExplorerView explorer={explorer} uid={uid} /> : null;
}

/** The form, stage and gallery. Ctrl+Enter runs the form. */
function Body({ session, uid }: WidgetProps) {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [lastClosed, setLastClosed] = useState<Opened | null>(null);
  useEndNotice(session);
  const hasForm = session.get("view") === "form";
  const { closed } = session.channel;
  const close = () => {
    setLastClosed(opened);
    setOpened(null);
  };
  const onKeyDown = (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    stopPlainKey(event);
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !hasForm) return;
    claim(event);
    if (!closed) runForm(session, event.currentTarget, uid);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a shortcut for the Run button, and a border for keys
    <div class="ck-root" data-lm-suppress-shortcuts="true" onKeyDown={onKeyDown} onBeforeInputCapture={keepUndo}>
      <TitleLine session={session} />
      {closed && (
        <p class="ck-note ck-disconnected" role="status">
          Kernel disconnected. Run the cell again to continue{hasForm && "; what you typed will be restored"}.
        </p>
      )}
      {hasForm && !closed && <MissingList session={session} />}
      <div class={`ck-body${hasForm ? "" : " ck-single"}`}>
        {hasForm && <Form session={session} uid={uid} />}
        <div class="ck-side">
          <Stage session={session} onOpen={setOpened} />
          <ProgressPanel session={session} onOpen={setOpened} />
          {!hasForm && <Buttons session={session} uid={uid} />}
        </div>
      </div>
      <Gallery session={session} closed={lastClosed} onOpen={setOpened} />
      {opened && <Lightbox session={session} opened={opened} onShow={setOpened} onClose={close} />}
    </div>
  );
}

/** Let the browser undo in a text: JupyterLab prevents it in all of a notebook, by a listener on the text. */
function keepUndo(event: InputEvent): void {
  if (event.inputType.startsWith("history")) event.stopPropagation();
}

function TitleLine({ session }: { session: Session }) {
  useTopics(session, "progress");
  const { address = "", state = "unknown", message = "", version, servers = [] } = session.get("server");
  const description = [state, version && `ComfyUI ${version}`].filter(Boolean).join(", ");
  return (
    <div class="ck-title">
      <strong>{session.get("title")}</strong>
      {servers.map((each) => (
        <ServerState key={each.address} state={each.state} label={each.state}>
          {each.address} · {each.detail}
        </ServerState>
      ))}
      {address && !servers.length && (
        <ServerState
          state={session.silent ? "unreachable" : state}
          label={session.silent ? "unreachable" : description}
          title={message || description}
        >
          {address}
        </ServerState>
      )}
      {state === "unreachable" && <span class="ck-error ck-grow">{message || "The server does not answer"}</span>}
    </div>
  );
}

interface ServerStateProps {
  state: Server["state"];
  /** The state in words. */
  label: string;
  title?: string;
  children: ComponentChildren;
}

/** A server, with a dot for its state. */
function ServerState({ state, label, title, children }: ServerStateProps) {
  return (
    <span class="ck-server" title={title}>
      <span class={`ck-dot ck-${state}`} role="img" aria-label={label} />
      {children}
    </span>
  );
}
