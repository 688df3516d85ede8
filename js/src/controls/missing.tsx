/** Lists what the server lacks for the workflow, before a run: what is most like it, where it comes from, a download. */

import { useEffect, useRef, useState } from "preact/hooks";
import { copyText } from "../clipboard";
import { formatBytes } from "../format";
import { type Download, isEqual, type Missing } from "../session/protocol";
import type { Session } from "../session/session";

/** The list above the form, or nothing if nothing is missing for the values in the form. */
export function MissingList({ session }: { session: Session }) {
  const items = session.get("missing").filter((item) => isNeeded(session, item));
  if (items.length === 0) return null;
  const noun = items.every(({ kind }) => kind !== "node") ? "file" : "thing";
  const count = items.length === 1 ? `1 ${noun} is` : `${items.length} ${noun}s are`;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a grid in all browsers
    <div class="ck-lacking" role="group" aria-label="Missing on the server">
      <div class="ck-line">
        <strong role="status">
          {count} missing on {session.get("server").address || "the server"}
        </strong>
        <button type="button" class="ck-link" onClick={() => session.requestOrNotify("look")}>
          Check again
        </button>
      </div>
      <ul>
        {items.map((item) => (
          <MissingItem key={`${item.name} ${item.parameter}`} session={session} item={item} />
        ))}
      </ul>
    </div>
  );
}

function MissingItem({ session, item }: { session: Session; item: Missing }) {
  const { kind, name, parameter, label, folder, nearest, pack, url, host } = item;
  const about = kind === "node" ? [describeNode(pack)] : [label, folder && `models/${folder}`];
  return (
    <li>
      <div class="ck-line">
        <span>{name || "(no file)"}</span>
        <span class="ck-muted">{about.filter(Boolean).join(" · ")}</span>
      </div>
      <div class="ck-line">
        {nearest && kind !== "node" && (
          <button type="button" class="ck-link" onClick={() => session.values.set(parameter, nearest)}>
            Use {nearest}
          </button>
        )}
        {nearest && kind === "node" && <span class="ck-muted">Is {nearest} meant?</span>}
        {url && (
          <a class="ck-link" href={url} target="_blank" rel="noopener noreferrer" title={url}>
            {host}
          </a>
        )}
        {url && <CopyLine item={item} />}
        {item.downloadable && <DownloadControl session={session} item={item} />}
      </div>
    </li>
  );
}

/** Say where a node that the server lacks comes from. */
function describeNode(pack: string): string {
  if (pack === "comfy-core") return "a node of a newer ComfyUI: update it";
  return pack ? `a node of ${pack}: install it` : "a node";
}

/** Copies a command that downloads the file on the server's machine. */
function CopyLine({ item }: { item: Missing }) {
  const [copied, setCopied] = useState(false);
  return (
    <button
      type="button"
      class="ck-link"
      title={buildCommand(item)}
      onClick={async ({ currentTarget }) => setCopied(await copyText(buildCommand(item), currentTarget))}
    >
      {copied ? "Copied" : "Copy command"}
    </button>
  );
}

/** Return a shell command, to be typed in ComfyUI's folder. */
export function buildCommand({ name, folder, url }: Missing): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  return `curl -L --create-dirs -o ${quote(`models/${folder ? `${folder}/` : ""}${name}`)} ${quote(url)}`;
}

/** Downloads a model after the user's yes to its address, and shows how far that is. */
function DownloadControl({ session, item }: { session: Session; item: Missing }) {
  const [asking, setAsking] = useState(false);
  const { name, url, host, folder, download } = item;
  if (download?.status === "running" || download?.status === "checking")
    return <DownloadBar session={session} name={name} download={download} />;
  if (!asking) return <DownloadButton download={download} onClick={() => setAsking(true)} />;
  const answer = (yes: boolean) => {
    setAsking(false);
    if (yes) session.requestOrNotify("download", { name, url });
  };
  return <Question url={url} host={host} folder={folder} onAnswer={answer} />;
}

interface QuestionProps {
  url: string;
  host: string;
  folder: string;
  onAnswer(yes: boolean): void;
}

/** Asks for a yes to the address; the focus is on it, because the button that was pressed is gone. */
function Question({ url, host, folder, onAnswer }: QuestionProps) {
  const yes = useRef<HTMLButtonElement>(null);
  useEffect(() => yes.current?.focus(), []);
  return (
    <div class="ck-line">
      <span>
        Download {url} into models/{folder}?
      </span>
      <button type="button" class="ck-button" ref={yes} onClick={() => onAnswer(true)}>
        Yes, download from {host}
      </button>
      <button type="button" class="ck-button" onClick={() => onAnswer(false)}>
        No
      </button>
    </div>
  );
}

function DownloadButton({ download, onClick }: { download: Download | null; onClick(): void }) {
  const begun = download?.status === "cancelled" || Boolean(download?.received);
  return (
    <>
      <button type="button" class="ck-link" onClick={onClick}>
        {begun ? "Continue the download" : "Download"}
      </button>
      {download?.message && <span class="ck-error">{download.message}</span>}
      {download?.status === "completed" && <span>{download.verified ? "Downloaded" : "Downloaded, not verified"}</span>}
    </>
  );
}

function DownloadBar({ session, name, download }: { session: Session; name: string; download: Download }) {
  const { status, received, total, host } = download;
  const size = total === null ? "Asking" : `${formatBytes(received)} of ${formatBytes(total)}`;
  return (
    <>
      <progress aria-label={`Download of ${name}`} max={total ?? 1} value={total === null ? undefined : received} />
      <span class="ck-muted">
        {status === "checking" ? "Checking" : size}
        {host && ` from ${host}`}
      </span>
      <button type="button" class="ck-link" onClick={() => session.requestOrNotify("stop_download", { name })}>
        Cancel
      </button>
    </>
  );
}

/** Return whether the form still has the value that is missing. */
function isNeeded(session: Session, { kind, name, parameter }: Missing): boolean {
  if (kind === "node") return true;
  const value = session.values.get(parameter);
  return value === undefined || isEqual(value, name);
}
