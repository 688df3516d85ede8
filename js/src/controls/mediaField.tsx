/** A picture, video, sound or file that a workflow takes in: chosen, dropped, pasted, or named by a path or URL. */

import { useRef, useState } from "preact/hooks";
import { shortPath } from "../format";
import { CloseIcon, IconButton } from "../icons";
import { takeOutput } from "../outputs/actions";
import { useMedia } from "../outputs/outputViews";
import { useTopics } from "../session/session";
import { type ControlProps, described, ErrorLine, textOf } from "./registry";

export function MediaField({ session, field, id, value, error }: ControlProps) {
  useTopics(session, "uploads");
  const [over, setOver] = useState(false);
  // Where a file lies is shown to who edits it, its name to who looks.
  const [editing, setEditing] = useState(false);
  const chooser = useRef<HTMLInputElement>(null);
  const text = textOf(value);
  const upload = session.uploadOf(field.name);
  const problem = upload?.error ?? error;
  const name = (path: string) => {
    if (path.trim() === text || path === shortPath(text)) return;
    session.stopUpload(field.name);
    if (path.trim()) session.values.set(field.name, path.trim());
    else session.values.reset(field.name, field.default);
  };
  const take = (files: FileList | null | undefined) => {
    const file = files?.[0];
    if (file) void session.upload(field.name, file);
    return Boolean(file);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping and pasting have the button as their equal
    <div
      class={`ck-media-field${over ? " ck-over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        setOver(false);
        event.preventDefault();
        event.stopPropagation();
        if (session.channel.closed || takeOutput(session, event, [field])) return;
        take(event.dataTransfer?.files);
      }}
      onPaste={(event) => {
        if (take(event.clipboardData?.files)) event.preventDefault();
      }}
    >
      <div class="ck-line">
        {field.kind === "image" && text && !upload && <Thumb session={session} name={field.name} version={text} />}
        {upload && !upload.error ? (
          <div class="ck-line ck-grow">
            <progress class="ck-upload" value={upload.fraction} aria-label={`Sending ${upload.file}`} />
            <span class="ck-muted">{Math.round(upload.fraction * 100)} %</span>
            <IconButton icon={CloseIcon} class="ck-quiet" label="Stop" onClick={() => session.stopUpload(field.name)} />
          </div>
        ) : (
          <input
            type="text"
            class="ck-input"
            value={editing ? text : shortPath(text)}
            onFocus={() => setEditing(true)}
            onBlur={() => setEditing(false)}
            title={text}
            autocomplete="off"
            spellcheck={false}
            placeholder="drop, paste, path or URL"
            aria-required={field.required}
            onChange={(event) => name(event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Enter" && name(event.currentTarget.value)}
            {...described(id, problem)}
          />
        )}
        <button type="button" class="ck-button" onClick={() => chooser.current?.click()}>
          Choose…
        </button>
        <input
          ref={chooser}
          type="file"
          hidden
          tabIndex={-1}
          aria-label="File"
          accept={field.kind === "file" ? undefined : `${field.kind}/*`}
          onChange={(event) => {
            take(event.currentTarget.files);
            // The same file again is a choice, too.
            event.currentTarget.value = "";
          }}
        />
      </div>
      <ErrorLine id={id} error={problem} />
    </div>
  );
}

function Thumb({ session, name, version }: { session: ControlProps["session"]; name: string; version: string }) {
  const { url } = useMedia(session, { run: "input", key: name, size: "thumb", version });
  return url ? <img class="ck-input-thumb" src={url} alt="" /> : null;
}
