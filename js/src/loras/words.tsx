/** The trigger words of a LoRA, which its file names: a click puts one into the prompt. */

import { Button } from "../buttons";
import { useAnswer } from "../session/hooks";
import type { Field } from "../session/protocol";
import type { Session } from "../session/session";
import { addWord, getText, hasWord } from "./stack";

/** The words, once they are known. `prompt` is the field that gets them. */
export function Words({ session, name, prompt }: { session: Session; name: string; prompt: Field | undefined }) {
  const words = (useAnswer(session, "lora_words", { name })?.words ?? []) as string[];
  if (words.length === 0) return null;
  const text = prompt ? getText(session, prompt) : "";
  return (
    <div class="ck-line ck-words">
      {words.map((word) => (
        <Button
          key={word}
          class="ck-quiet ck-word"
          aria-pressed={hasWord(text, word)}
          title="Add to the prompt"
          disabled={!prompt}
          onClick={() => prompt && session.values.set(prompt.name, addWord(text, word))}
        >
          {word}
        </Button>
      ))}
    </div>
  );
}
