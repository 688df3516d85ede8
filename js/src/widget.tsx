/** One view of the widget: title line, form, stage, outputs. */

import { useState } from "preact/hooks";
import { Buttons, Form } from "./form";
import { Gallery } from "./outputs/gallery";
import { Lightbox, type Opened } from "./outputs/lightbox";
import { ProgressPanel } from "./outputs/progress";
import { Stage } from "./outputs/stage";
import { type Session, useTopics } from "./session/session";

export interface WidgetProps {
  session: Session;
  /** Begins the ids of this view's elements. */
  uid: string;
}

export function Widget({ session, uid }: WidgetProps) {
  useTopics(session, "state");
  const [opened, setOpened] = useState<Opened | null>(null);
  const form = session.get("view") === "form";

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a short cut; the button Run does the same
    <div
      class="ck-root"
      data-lm-suppress-shortcuts="true"
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !form) return;
        event.preventDefault();
        event.stopPropagation();
        if (!session.channel.closed) session.run();
      }}
    >
      <TitleLine session={session} />
      {session.channel.closed && (
        <p class="ck-note ck-gone" role="status">
          The kernel is gone. Run the cell again to go on: what you typed comes back.
        </p>
      )}
      <div class={`ck-body${form ? "" : " ck-single"}`}>
        {form && <Form session={session} uid={uid} />}
        <div class="ck-side">
          <Stage session={session} onOpen={setOpened} />
          <ProgressPanel session={session} />
          {!form && <Buttons session={session} />}
        </div>
      </div>
      <Gallery session={session} onOpen={setOpened} />
      {opened && <Lightbox session={session} opened={opened} onShow={setOpened} onClose={() => setOpened(null)} />}
    </div>
  );
}

function TitleLine({ session }: { session: Session }) {
  const { address = "", state = "unknown", message = "", version } = session.get("server");
  const words = [state, version && `ComfyUI ${version}`].filter(Boolean).join(", ");
  return (
    <div class="ck-title">
      <strong>{session.get("title")}</strong>
      {address && (
        <span class="ck-server" title={message || words}>
          <span class={`ck-dot ck-${state}`} role="img" aria-label={words} />
          {address}
        </span>
      )}
      {state === "unreachable" && <span class="ck-error ck-grow">{message || "The server does not answer."}</span>}
    </div>
  );
}
