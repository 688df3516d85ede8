/** Chooses an image, video, audio or other file: from the disk, dropped, pasted, or as a path or URL. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import { formatPercent, getLabel, shortenPath } from "../format";
import { CloseIcon } from "../icons";
import { splitMasked } from "../masks/masks";
import { Painter } from "../masks/painter";
import { useMedia, useTopics } from "../session/hooks";
import { acceptOutput } from "../session/outputDrag";
import { claim } from "../session/shortcuts";
import { buildAttributes, type ControlProps, ErrorLine } from "./control";

const PLACEHOLDER = "drop or paste a file, path or URL";

/** A control for a media file: it uploads files and accepts outputs of the gallery. */
export function MediaControl({ session, field, id, value, error }: ControlProps) {
  useTopics(session, "uploads");
  const [dragging, setDragging] = useState(false);
  // The whole path while it is edited, the file name otherwise.
  const [editing, setEditing] = useState(false);
  // The text being typed; null while the input shows the value.
  const [typed, setTyped] = useState<string | null>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const [painting, setPainting] = useState(false);
  // An image with a mask is shown by the name of the image; another name gives up the mask.
  const { image: text, mask } = splitMasked(value);
  const upload = session.uploads.get(field.name);
  const shownError = upload?.error ?? error;
  useLayoutEffect(() => setTyped(null), [text, mask, !upload]);
  const setPath = (path: string) => {
    setTyped(null);
    if (path.trim() === text || path === shortenPath(text)) return;
    session.uploads.cancel(field.name);
    if (path.trim()) session.values.set(field.name, path.trim());
    else session.values.reset(field.name, field.default);
  };
  const uploadFirst = (files: FileList | null | undefined) => {
    const file = files?.[0];
    if (file) void session.uploads.start(field, file);
    return Boolean(file);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button does the same as dropping and pasting
    <div
      class={`ck-media-field${dragging ? " ck-dragging" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setDragging(true);
      }}
      onDragLeave={() => setDragging(false)}
      onDrop={(event) => {
        setDragging(false);
        claim(event);
        if (session.channel.closed || acceptOutput(session, event, [field])) return;
        uploadFirst(event.dataTransfer?.files);
      }}
      onPaste={(event) => {
        if (uploadFirst(event.clipboardData?.files)) event.preventDefault();
      }}
    >
      <div class="ck-line">
        {field.kind === "image" && text && !upload && (
          <InputThumbnail session={session} name={field.name} version={text + mask} />
        )}
        {upload && !upload.error ? (
          <div class="ck-line ck-grow">
            <progress class="ck-upload" value={upload.fraction} aria-label={`Uploading ${upload.file}`} />
            <span class="ck-muted">{formatPercent(upload.fraction)}</span>
            <IconButton
              icon={CloseIcon}
              class="ck-quiet"
              label="Cancel upload"
              onClick={() => session.uploads.cancel(field.name)}
            />
          </div>
        ) : (
          <input
            type="text"
            class="ck-input"
            value={typed ?? (editing ? text : shortenPath(text))}
            onFocus={() => setEditing(true)}
            onBlur={() => {
              setEditing(false);
              setTyped(null);
            }}
            onInput={(event) => setTyped(event.currentTarget.value)}
            title={text || PLACEHOLDER}
            autocomplete="off"
            spellcheck={false}
            placeholder={PLACEHOLDER}
            aria-required={field.required}
            onChange={(event) => setPath(event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Enter" && setPath(event.currentTarget.value)}
            {...buildAttributes(id, shownError)}
          />
        )}
        {field.kind === "image" && text && !upload && <Button onClick={() => setPainting(true)}>Mask…</Button>}
        {mask && !upload && (
          <IconButton
            icon={CloseIcon}
            class="ck-quiet"
            label="Clear the mask"
            onClick={() => session.values.set(field.name, text)}
          />
        )}
        <Button onClick={() => chooser.current?.click()}>Choose…</Button>
        <input
          ref={chooser}
          type="file"
          hidden
          tabIndex={-1}
          aria-label="File"
          accept={field.kind === "file" ? undefined : `${field.kind}/*`}
          onChange={(event) => {
            uploadFirst(event.currentTarget.files);
            // Cleared, so that choosing the same file again is a change.
            event.currentTarget.value = "";
          }}
        />
      </div>
      <ErrorLine id={id} error={shownError} />
      {painting && (
        <Painter session={session} name={field.name} label={getLabel(field)} onClose={() => setPainting(false)} />
      )}
    </div>
  );
}

/** A thumbnail of the image that the field holds; `version` is its value. */
function InputThumbnail({ session, name, version }: Pick<ControlProps, "session"> & { name: string; version: string }) {
  const { url } = useMedia(session, { run: "input", key: name, size: "thumb", version });
  return url ? <img class="ck-input-thumb" src={url} alt="" /> : null;
}
