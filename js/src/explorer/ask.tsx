/** A button that asks the kernel to do something with a point, and says what it did. */

import type { ComponentType } from "preact";
import { useState } from "preact/hooks";
import { IconButton } from "../buttons";
import { copyText } from "../clipboard";
import { formatValue } from "../format";
import { CheckIcon } from "../icons";
import { Menu } from "./menu";
import type { Explorer } from "./state/explorer";

/** Characters of copied code that are shown. */
const CODE_LENGTH = 40;

interface AskProps {
  explorer: Explorer;
  point: number;
  kind: "form" | "use" | "code";
  icon: ComponentType;
  label: string;
  title: string;
  disabled?: boolean;
}

interface Target {
  form: string;
  title: string;
  field: string;
}

/** The button. Where there are several fields for an output it becomes a menu; what can't be done is copied as code. */
export function Ask({ explorer, point, kind, label, disabled = false, ...props }: AskProps) {
  const [said, setSaid] = useState<[number, string]>([-1, ""]);
  const [targets, setTargets] = useState<Target[]>([]);
  const ask = async (near: HTMLElement | null, target?: Target) => {
    const answer = await explorer.requestOrNotify(kind, {
      points: [point],
      ...(target && { form: target.form, field: target.field }),
    });
    if (!answer) return;
    setTargets(Array.isArray(answer.targets) ? (answer.targets as Target[]) : []);
    if (answer.used) setSaid([point, `used as ${answer.used}`]);
    else if (answer.form) setSaid([point, `the form “${answer.form}” has these values`]);
    else if (answer.code && near && (await copyText(String(answer.code), near)))
      setSaid([point, `copied: ${formatValue(String(answer.code), CODE_LENGTH)}`]);
  };
  if (targets.length > 0)
    return (
      <Menu
        label={label}
        none="Use as …"
        options={targets.map(({ title, field }, index) => [`${index}`, `${title}: ${field}`])}
        onChoose={(index) => void ask(null, targets[Number(index)])}
      />
    );
  const isDone = said[0] === point;
  return (
    <>
      {isDone && (
        <span class="ck-muted ck-name" role="status">
          {said[1]}
        </span>
      )}
      <IconButton
        {...props}
        {...(isDone && { icon: CheckIcon })}
        label={label}
        disabled={disabled || explorer.channel.closed}
        onClick={(event) => void ask(event.currentTarget)}
      />
    </>
  );
}
