/** The outputs of all runs, the newest first, each run with what made it different. */

import { useRef } from "preact/hooks";
import { alternative, brief, differences, duration } from "./format";
import { CloseIcon, PlayIcon } from "./icons";
import { stagedRun } from "./progress";
import type { Item, Run } from "./protocol";
import { type Session, useTopics } from "./session";
import { Download, Player, type ShowProps, Text, useMedia, useSeen } from "./show";
import { FailureText } from "./stage";

export interface GalleryProps {
  session: Session;
  onOpen(run: Run, item: Item): void;
}

export function Gallery({ session, onOpen }: GalleryProps) {
  useTopics(session, "runs", "status", "view", "fields", "closed");
  const staged = stagedRun(session);
  const runs = session.get("runs").filter((run) => run.items.length > 0 || (run.status === "failed" && run !== staged));
  const alone = session.get("view") === "run" && runs.length === 1 && runs[0]?.items.length === 1;
  if (runs.length === 0 || alone) return null;
  return (
    <section class="ck-gallery" aria-label="Outputs">
      {runs.map((run) => (
        <Group key={run.id} session={session} run={run} onOpen={onOpen} />
      ))}
    </section>
  );
}

function Group({ session, run, onOpen }: GalleryProps & { run: Run }) {
  const fields = session.get("fields");
  const parts = differences(run);
  return (
    <figure class="ck-group">
      <div class="ck-tiles">
        {run.items.map((item) => (
          <Tile
            key={item.key}
            session={session}
            run={run}
            item={item}
            alt={alternative(item, run, fields)}
            onOpen={() => onOpen(run, item)}
          />
        ))}
        {run.error && run.status === "failed" && (
          <div class="ck-tile ck-card">
            <FailureText error={run.error} />
          </div>
        )}
      </div>
      <figcaption title={parts.map(([name, value]) => `${name}: ${value}`).join("\n")}>
        {[
          run.status === "completed" ? duration(run.seconds) : run.status,
          ...parts.map(([name, value]) => `${name} ${brief(value, 60)}`),
        ].join(" · ")}
      </figcaption>
      <button
        type="button"
        class="ck-quiet"
        aria-label="Discard outputs"
        title="Take this out of the gallery"
        disabled={session.channel.closed}
        onClick={() => session.remove(run.id)}
      >
        <CloseIcon />
      </button>
    </figure>
  );
}

function Tile(props: ShowProps & { onOpen(): void }) {
  const { item, run, session } = props;
  switch (item.kind) {
    case "image":
    case "video":
      return <Thumbnail {...props} />;
    case "text":
      return (
        <div class="ck-tile ck-card">
          <Text text={item.text ?? ""} label={item.var || item.node} />
        </div>
      );
    case "audio":
      return (
        <div class="ck-tile ck-card">
          <Player {...props} />
          <Download session={session} run={run} item={item} />
        </div>
      );
    default:
      return (
        <div class="ck-tile ck-card">
          <span class="ck-name">{item.name}</span>
          <Download session={session} run={run} item={item} />
        </div>
      );
  }
}

function Thumbnail({ session, run, item, alt, onOpen }: ShowProps & { onOpen(): void }) {
  const tile = useRef<HTMLButtonElement>(null);
  const seen = useSeen(tile);
  const { url, error } = useMedia(session, seen ? { run: run.id, key: item.key, size: "thumb" } : null);
  return (
    <button ref={tile} type="button" class="ck-tile ck-open" aria-label={alt} title={alt} onClick={onOpen}>
      {url ? (
        <img src={url} alt={alt} />
      ) : (
        <span class="ck-note">{error && (item.kind === "video" ? item.name : error)}</span>
      )}
      {item.kind === "video" && (
        <span class="ck-badge">
          <PlayIcon />
        </span>
      )}
    </button>
  );
}
