/** One LoRA of a stack: on or off, its file, its strengths, its place, and its trigger words. */

import type { ComponentType } from "preact";
import { useState } from "preact/hooks";
import { Button, IconButton } from "../buttons";
import { Combobox } from "../controls/combobox";
import { createNumberStepper, NumberInput } from "../controls/numeric";
import { Switch } from "../controls/toggle";
import { getFileName } from "../format";
import { CloseIcon, ListIcon, UpIcon } from "../icons";
import type { Field } from "../session/protocol";
import type { Session } from "../session/session";
import { isSameFile, type Row, STACK } from "./stack";
import { Words } from "./words";

/** What the arrow keys add to a strength. */
const STEP = 0.05;

/** The names of the server's LoRAs, read each time that a list opens. */
export interface LoraNames {
  /** Null until they are loaded. */
  loaded: string[] | null;
  /** Those in the stack. */
  taken: string[];
  onOpen(): void;
}

interface NameProps {
  id: string;
  label: string;
  value: string;
  loraNames: LoraNames;
  focused?: boolean;
  onChoose(name: string): void;
}

/** The file of a LoRA. */
export function NameInput({ id, label, value, loraNames, focused = false, onChoose }: NameProps) {
  const { loaded, taken, onOpen } = loraNames;
  const attributes = { id, "aria-invalid": false, "aria-label": label };
  const isTaken = (file: string) => taken.some((name) => name !== value && isSameFile(name, file));
  return (
    <Combobox
      choices={loaded?.filter((file) => !isTaken(file)) ?? null}
      count={0}
      value={value}
      missing={false}
      attributes={attributes}
      focused={focused}
      onOpen={onOpen}
      onChoose={(name) => onChoose(name as string)}
      onSeveral={undefined}
    />
  );
}

interface LoraRowProps {
  session: Session;
  id: string;
  /** The field of the stack. */
  field: Field;
  row: Row;
  isFirst: boolean;
  isLast: boolean;
  loraNames: LoraNames;
  onSet(row: Row, delay?: number): void;
  onMove(by: number): void;
  onRemove(): void;
}

/** The row. */
export function LoraRow({
  session,
  id,
  field,
  row,
  isFirst,
  isLast,
  loraNames,
  onSet,
  onMove,
  onRemove,
}: LoraRowProps) {
  const [name, model, clip, on] = row;
  const file = getFileName(name);
  const renderButton = (icon: ComponentType, kind: string, label: string, disabled: boolean, onClick: () => void) => (
    <IconButton icon={icon} class="ck-quiet" id={`${id}-${kind}`} label={label} disabled={disabled} onClick={onClick} />
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a grid in all browsers
    <div class="ck-lora" role="group" aria-label={file}>
      <div class="ck-line">
        <Switch
          on={on}
          attributes={{ "aria-label": `Use ${file}` }}
          onToggle={(next) => onSet([name, model, clip, next])}
        />
        <div class="ck-grow">
          <NameInput
            id={`${id}-name`}
            label="LoRA"
            value={name}
            loraNames={loraNames}
            onChoose={(next) => onSet([next, model, clip, on])}
          />
        </div>
        {renderButton(UpIcon, "up", `Move ${file} up`, isFirst, () => onMove(-1))}
        {renderButton(ListIcon, "down", `Move ${file} down`, isLast, () => onMove(1))}
        {renderButton(CloseIcon, "remove", `Remove ${file}`, false, onRemove)}
      </div>
      {on && <Strengths session={session} id={id} field={field} row={row} onSet={onSet} />}
      {on && field.own?.some((own) => isSameFile(name, own)) && <p class="ck-note">Sets the workflow's own loader</p>}
      {on && (
        <Words
          session={session}
          name={name}
          prompt={session.get("fields").find((each) => each.name === field.prompt)}
        />
      )}
    </div>
  );
}

type StrengthsProps = Pick<LoraRowProps, "session" | "id" | "field" | "row" | "onSet">;

/** One strength for model and CLIP, or two. The first takes a list of values, too, which is for both. */
function Strengths({ session, id, field, row, onSet }: StrengthsProps) {
  const [name, model, clip, on] = row;
  const list = `${STACK}/${name}`;
  const isSeveral = list in session.get("lists");
  const [isApart, setApart] = useState(false);
  const hasTwo = !isSeveral && field.has_clip && (isApart || model !== clip);
  const renderInput = (suffix: string, value: number, set: (value: number, delay: number) => void) => {
    const inputId = suffix ? `${id}-clip` : id;
    const numeric: Field = { ...field, name: list + suffix, kind: "number", default: 1, step: STEP };
    return (
      <>
        <label class="ck-muted" for={inputId}>
          {suffix || (hasTwo ? "Model" : "Strength")}
        </label>
        <div class="ck-control">
          <NumberInput
            session={session}
            field={numeric}
            id={inputId}
            value={value}
            error={session.getError(numeric.name)}
            stepper={createNumberStepper(numeric)}
            isSingle={suffix !== ""}
            onSet={(next, delay) => set(next as number, delay)}
          />
        </div>
      </>
    );
  };
  return (
    <div class="ck-line ck-strengths">
      {renderInput("", model, (next, delay) => {
        if (isSeveral) session.submitter.setList(list);
        onSet([name, next, hasTwo ? clip : next, on], delay);
      })}
      {hasTwo && renderInput(" CLIP", clip, (next, delay) => onSet([name, model, next, on], delay))}
      {field.has_clip && !isSeveral && (
        <Button
          class="ck-quiet ck-word"
          title="A strength for CLIP alone"
          onClick={() => {
            setApart(!hasTwo);
            if (hasTwo) onSet([name, model, model, on]);
          }}
        >
          {hasTwo ? "− CLIP" : "+ CLIP"}
        </Button>
      )}
    </div>
  );
}
