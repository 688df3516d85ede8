/** Lists what the server lacks for the workflow, before a run: what is most like it, where it comes from, a download. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Button, CopyLink } from "../buttons";
import { formatBytes } from "../format";
import { type Download, isEqual, type Missing } from "../session/protocol";
import type { Session } from "../session/session";

/** The list above the form, or nothing if nothing is missing for the values in the form. */
export function MissingList({ session }: { session: Session }) {
  const items = session.get("missing").filter((item) => isNeeded(session, item));
  if (items.length === 0) return null;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a grid in all browsers
    <div class="ck-lacking" role="group" aria-label="Missing on the server">
      <div class="ck-line">
        <strong role="status" class="ck-grow">
          {countItems(items)} missing on {session.get("server").address || "the server"}
        </strong>
        <Button class="ck-link" onClick={() => session.requestOrNotify("look")}>
          Check again
        </Button>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard */}
      <ul tabIndex={0} aria-label="What is missing">
        {items
          .filter(({ kind }) => kind !== "node")
          .map((item) => (
            <MissingItem key={`${item.name} ${item.parameter}`} session={session} item={item} />
          ))}
        {[...groupNodes(items)].map(([about, names]) => (
          <li key={about} class="ck-lack">
            <span>
              {names.join(", ")} <span class="ck-muted">{about}</span>
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Count files and nodes, with the verb: "2 files and 1 node are". */
function countItems(items: readonly Missing[]): string {
  const nodes = items.filter(({ kind }) => kind === "node").length;
  const format = (count: number, noun: string) => count > 0 && `${count} ${noun}${count > 1 ? "s" : ""}`;
  const counts = [format(items.length - nodes, "file"), format(nodes, "node")].filter(Boolean);
  return `${counts.join(" and ")} ${items.length > 1 ? "are" : "is"}`;
}

function MissingItem({ session, item }: { session: Session; item: Missing }) {
  const [asking, setAsking] = useState(false);
  const { name, parameter, label, folder, nearest, url, host, download } = item;
  const about = [label, folder && `models/${folder}`].filter(Boolean).join(" · ");
  const isRunning = download?.status === "running" || download?.status === "checking";
  const answer = (yes: boolean) => {
    setAsking(false);
    if (yes) session.requestOrNotify("download", { name, url });
  };
  return (
    <li class="ck-lack">
      <span>
        {name || "(no file)"} <span class="ck-muted">{about}</span>
      </span>
      <div class="ck-line">
        {nearest && (
          <Button class="ck-link" onClick={() => session.values.set(parameter, nearest)}>
            Use {nearest}
          </Button>
        )}
        {url && (
          <a class="ck-link" href={url} target="_blank" rel="noopener noreferrer" title={url}>
            {host}
          </a>
        )}
        {url && <CopyLink label="Copy command" text={buildCommand(item)} title={buildCommand(item)} />}
        {item.downloadable && !asking && !isRunning && (
          <DownloadButton download={download} onClick={() => setAsking(true)} />
        )}
      </div>
      {download?.message && !isRunning && <p class="ck-error">{download.message}</p>}
      {download && isRunning && <DownloadBar session={session} name={name} download={download} />}
      {asking && !isRunning && <Question url={url} host={host} folder={folder} onAnswer={answer} />}
    </li>
  );
}

/** Group the names of nodes by what to do about them. */
function groupNodes(items: readonly Missing[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { kind, name, nearest, pack } of items) {
    if (kind !== "node") continue;
    const about = nearest ? `is ${nearest} meant?` : describeNodes(pack);
    groups.set(about, [...(groups.get(about) ?? []), name]);
  }
  return groups;
}

/** Say what to do about nodes that the server lacks. */
function describeNodes(pack: string): string {
  if (pack === "comfy-core") return "of a newer ComfyUI: update it";
  return pack ? `of ${pack}: install it` : "of an unknown package";
}

/** Return a shell command, to be typed in ComfyUI's folder. */
export function buildCommand({ name, folder, url }: Missing): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  return `curl -L --create-dirs -o ${quote(`models/${folder ? `${folder}/` : ""}${name}`)} ${quote(url)}`;
}

interface QuestionProps {
  url: string;
  host: string;
  folder: string;
  onAnswer(yes: boolean): void;
}

/** Asks for a yes to the address. It has the focus, because the button that was pressed is gone. */
function Question({ url, host, folder, onAnswer }: QuestionProps) {
  const yes = useRef<HTMLButtonElement>(null);
  useEffect(() => yes.current?.focus(), []);
  return (
    <div class="ck-line">
      <span>
        Download {url} into models/{folder}?
      </span>
      <Button ref={yes} onClick={() => onAnswer(true)}>
        Yes, download from {host}
      </Button>
      <Button onClick={() => onAnswer(false)}>No</Button>
    </div>
  );
}

function DownloadButton({ download, onClick }: { download: Download | null; onClick(): void }) {
  if (download?.status === "completed")
    return <span class="ck-muted">{download.verified ? "Downloaded" : "Downloaded, not verified"}</span>;
  return (
    <Button class="ck-link" onClick={onClick}>
      {download?.received ? "Continue the download" : "Download"}
    </Button>
  );
}

/** How far a download is. */
function DownloadBar({ session, name, download }: { session: Session; name: string; download: Download }) {
  const { status, received, total, host } = download;
  const size = total === null ? "Asking" : `${formatBytes(received)} of ${formatBytes(total)}`;
  return (
    <div class="ck-line">
      <progress
        class="ck-upload"
        aria-label={`Download of ${name}`}
        max={total ?? 1}
        value={total === null ? undefined : received}
      />
      <span class="ck-muted">
        {status === "checking" ? "Checking" : size}
        {host && ` from ${host}`}
      </span>
      <Button class="ck-link" onClick={() => session.requestOrNotify("stop_download", { name })}>
        Cancel
      </Button>
    </div>
  );
}

/** Return whether the form still has the value that is missing. */
function isNeeded(session: Session, { kind, name, parameter }: Missing): boolean {
  if (kind === "node") return true;
  const value = session.values.get(parameter);
  return value === undefined || isEqual(value, name);
}
