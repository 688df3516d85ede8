/** The buttons of an output: reuse its values, use it as input, copy its code, show its details, download it. */

import type { ComponentType } from "preact";
import { useState } from "preact/hooks";
import { DoneButton, IconButton } from "../buttons";
import { copyText } from "../clipboard";
import { CheckIcon, CodeIcon, FrameIcon, InfoIcon, InputIcon, LastIcon, SettingsIcon } from "../icons";
import { findMediaFields } from "../session/outputDrag";
import type { Field, Item, Run } from "../session/protocol";
import type { Session } from "../session/session";
import { Download } from "./outputViews";

/** The state of a video that shows a frame. */
const HAVE_CURRENT_DATA = 2;

const SHOWN = "Use this frame";
const LAST = "Use last frame";

interface ActionsProps {
  session: Session;
  run: Run;
  /** Null for a failed run without outputs. */
  item: Item | null;
  /** Whether the buttons show their labels beside their icons. */
  showLabels?: boolean;
  /** Whether the details are open. */
  infoOpen?: boolean;
  onInfo(): void;
  /** Called when an action has changed the form. */
  onFormChange?(): void;
}

/** The buttons of an output, or of a failed run. */
export function Actions(props: ActionsProps) {
  const { session, run, item, showLabels = false, infoOpen, onInfo, onFormChange } = props;
  const hasForm = session.get("view") === "form";
  const request = async (kind: string, body: Record<string, unknown>) => {
    if (await session.requestOrNotify(kind, { run: run.id, ...body })) onFormChange?.();
  };
  const inputs = hasForm && item && item.kind !== "text" ? findMediaFields(item.kind, session.get("fields")) : [];

  return (
    <>
      {hasForm && (
        <IconButton
          icon={SettingsIcon}
          label="Reuse values"
          title="Load the values and seeds of this run into the form"
          showLabel={showLabels}
          onClick={() => request("apply", {})}
        />
      )}
      {inputs.length > 0 && (
        <UseAsInput
          fields={inputs}
          icon={InputIcon}
          label="Use as input"
          title={`Use as ${inputs[0]?.name}`}
          showLabel={showLabels}
          onUse={(_, name) => request("use", { key: item?.key, name })}
        />
      )}
      {hasForm && item?.kind === "video" && showLabels && <UseFrame session={session} run={run} item={item} />}
      {hasForm && (
        <DoneButton
          icon={CodeIcon}
          label="Copy as code"
          done="Copied"
          title="Copy a cell that repeats this run"
          showLabel={showLabels}
          action={async (near) => {
            const answer = await session.requestOrNotify("code", { run: run.id });
            return answer !== undefined && copyText(String(answer.code), near);
          }}
        />
      )}
      {item && (
        <>
          <IconButton
            icon={InfoIcon}
            label="Details"
            title="How this output was made (i)"
            aria-pressed={infoOpen}
            showLabel={showLabels}
            onClick={onInfo}
          />
          <Download session={session} run={run} item={item}>
            {showLabels && "Download"}
          </Download>
        </>
      )}
    </>
  );
}

interface UseAsInputProps {
  fields: readonly Field[];
  icon: ComponentType;
  label: string;
  title: string;
  showLabel: boolean;
  onUse(near: HTMLElement, name: string | undefined): void;
}

/** A button that uses the output as input of a field; with several fields a select asks for one. */
function UseAsInput({ fields, label, onUse, ...button }: UseAsInputProps) {
  return (
    <span class="ck-use">
      <IconButton label={label} onClick={({ currentTarget }) => onUse(currentTarget, fields[0]?.name)} {...button} />
      {fields.length > 1 && (
        // Transparent, over the button: a click on it opens the native list.
        <select aria-label={label} value="" onChange={({ currentTarget }) => onUse(currentTarget, currentTarget.value)}>
          <option value="" disabled hidden />
          {fields.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      )}
    </span>
  );
}

interface UseFrameProps {
  session: Session;
  run: Run;
  item: Item;
}

/** Buttons of the lightbox that use a video's current or last frame as input of a field. */
function UseFrame({ session, run, item }: UseFrameProps) {
  const [used, setUsed] = useState("");
  const fields = session.get("fields").filter(({ kind }) => kind === "image");
  if (!fields.length) return null;
  const body = { run: run.id, key: item.key };
  const useShown = async (near: HTMLElement, name: string | undefined) => {
    const field = fields.find((each) => each.name === name);
    const video = near.closest(".ck-lightbox")?.querySelector("video");
    if (!field || !video || video.readyState < HAVE_CURRENT_DATA)
      return session.showNotice("Play the video first, and pause it at the frame");
    video.pause();
    try {
      await session.channel.request("frame", { ...body, name, at: video.currentTime });
    } catch {
      // A kernel that can't decode it gets what the page shows, whose colours may differ a little.
      const file = await readFrame(video);
      if (file) await session.uploads.start(field, file);
    }
    setUsed(SHOWN);
  };
  const useLast = async (_: HTMLElement, name: string | undefined) => {
    if (await session.requestOrNotify("frame", { ...body, name })) setUsed(LAST);
  };
  const render = (label: string, icon: ComponentType, onUse: UseAsInputProps["onUse"]) => (
    <UseAsInput
      fields={fields}
      label={used === label ? "Frame used" : label}
      icon={used === label ? CheckIcon : icon}
      title={`${label} as ${fields[0]?.name}`}
      showLabel
      onUse={onUse}
    />
  );
  return (
    <>
      {item.mime.startsWith("video/") && render(SHOWN, FrameIcon, useShown)}
      {render(LAST, LastIcon, useLast)}
    </>
  );
}

/** Return the frame that a video shows as a PNG file. */
async function readFrame(video: HTMLVideoElement): Promise<File | undefined> {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve));
  return blob ? new File([blob], `frame at ${video.currentTime.toFixed(2)} s.png`, { type: "image/png" }) : undefined;
}
