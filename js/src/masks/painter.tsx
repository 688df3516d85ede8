/** Paints the mask of an image input: with a mouse, a pen, fingers or keys. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "../buttons";
import { Dialog } from "../dialog";
import { joinStops, listen, observeSize } from "../listen";
import { useMedia } from "../session/hooks";
import type { Session } from "../session/session";
import { Board } from "./board";
import { splitMasked } from "./masks";

const LARGER = 1.2;
const HELP =
  "[ ] size · e erase · i invert · arrows move the brush, Space puts it down · Space + drag moves · 0 fit · + − zoom · Ctrl+Z undo · Esc done";
/** Where the brush goes with each arrow. */
const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

interface PainterProps {
  session: Session;
  name: string;
  label: string;
  onClose(): void;
}

/** The painter, as a modal dialog. Closing it keeps the strokes, and sends the mask. */
export function Painter({ session, name, label, onClose }: PainterProps) {
  const [value] = useState(() => session.values.get(name));
  const { image, mask } = splitMasked(value);
  const view = useMedia(session, { run: "input", key: name, size: "view", version: image });
  const base = useMedia(session, { run: "input", key: name, size: "base", version: `${image} ${mask}` });
  const dialog = useRef<HTMLDialogElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const board = useRef<Board | null>(null);
  const space = useRef({ down: false, used: false });
  const before = useRef("");
  const [, render] = useState({});
  const { url, width = 0, height = 0 } = view;

  useLayoutEffect(() => {
    const element = stage.current;
    if (!element || !url || !width || !height) return;
    const strokes = session.masks.get(name, value, width, height);
    before.current = JSON.stringify(strokes.steps);
    const made = new Board(element, strokes, () => render({}));
    board.current = made;
    element.focus();
    render({});
    return joinStops(
      listen(element, "wheel", (event: WheelEvent) => made.handleWheel(event), { passive: false }),
      observeSize(element, () => made.render()),
      () => {
        made.destroy();
        board.current = null;
      },
    );
  }, [url, width, height]);
  useLayoutEffect(() => {
    if (!base.url || !base.total) return;
    const element = new Image();
    element.onload = () => board.current?.setBase(element);
    element.src = base.url;
  }, [base.url, board.current]);

  const current = board.current;
  const close = () => {
    current?.setDown(false);
    if (current && JSON.stringify(current.strokes.steps) !== before.current) session.masks.send(name, current.strokes);
    onClose();
  };
  const update = (action: (board: Board) => void) => () => {
    if (!current) return;
    action(current);
    render({});
  };
  const toggleErase = update((each) => {
    each.erase = !each.erase;
  });
  const zoomIn = update((each) => each.zoomBy(1.25));
  const keys: Record<string, () => void> = {
    "[": update((each) => each.setSize(Math.min(each.size - 1, each.size / LARGER))),
    "]": update((each) => each.setSize(Math.max(each.size + 1, each.size * LARGER))),
    e: toggleErase,
    i: update((each) => each.apply("invert")),
    0: update((each) => each.fit()),
    "+": zoomIn,
    "=": zoomIn,
    "-": update((each) => each.zoomBy(0.8)),
    Escape: close,
  };
  const onStageKey = (event: KeyboardEvent): boolean => {
    const arrow = ARROWS[event.key];
    const times = event.shiftKey ? 4 : 1;
    if (event.target !== stage.current) return false;
    if (arrow) current?.moveBy(arrow[0] * times, arrow[1] * times);
    else if (event.key === " ") space.current = event.repeat ? space.current : { down: true, used: false };
    else return false;
    return true;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // With AltGr or Option some keyboards write [ and ].
    const isCommand = event.metaKey || (event.ctrlKey && !event.altKey);
    const undoing = key === "z" || key === "y" ? update((each) => each.undo(key === "y" || event.shiftKey)) : undefined;
    const action = isCommand ? undoing : keys[key];
    if (!isCommand && onStageKey(event)) event.preventDefault();
    else if (action) {
      event.preventDefault();
      action();
    }
  };
  const onKeyUp = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key !== " " || !space.current.down) return;
    const { used } = space.current;
    space.current.down = false;
    if (!used) update((each) => each.setDown(!each.isDown))();
  };
  const strokes = current?.strokes;
  const largest = Math.max(width, height);
  return (
    <Dialog
      dialog={dialog}
      class="ck-painter"
      label={`Mask of ${label}`}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onKeyDown={onKeyDown}
      onKeyUp={onKeyUp}
    >
      <div class="ck-line ck-head" role="toolbar" aria-label="Mask">
        {current && strokes && (
          <>
            <Button aria-pressed={current.erase} onClick={toggleErase}>
              Erase
            </Button>
            <label class="ck-line">
              <span class="ck-muted">Size</span>
              <input
                type="range"
                value={toSlider(current.size, largest)}
                aria-valuetext={`${current.size} px`}
                onInput={(event) => {
                  const at = Number(event.currentTarget.value) / 100;
                  update((each) => each.setSize(largest ** at))();
                }}
              />
              <span class="ck-muted ck-painter-size">{current.size} px</span>
            </label>
            <Button onClick={keys.i}>Invert</Button>
            <Button disabled={!strokes.steps.length} onClick={update((each) => each.undo(false))}>
              Undo
            </Button>
            <Button disabled={!strokes.undone.length} onClick={update((each) => each.undo(true))}>
              Redo
            </Button>
            <Button onClick={update((each) => each.apply("clear"))}>Clear</Button>
            <Button onClick={keys[0]}>Fit</Button>
          </>
        )}
        <span class={`ck-grow ${view.error ? "ck-error" : "ck-muted"}`} role="status">
          {view.error ??
            (current ? current.isDown && `${current.erase ? "Erasing" : "Painting"} with the keys` : "Loading…")}
        </span>
        <Button onClick={close}>Done</Button>
      </div>
      <div
        ref={stage}
        class="ck-painter-stage"
        role="application"
        aria-label={`Image to paint on. ${HELP}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keys paint here
        tabIndex={0}
        onPointerDown={(event) => {
          space.current.used = true;
          current?.handlePointerDown(event, space.current.down);
        }}
        onPointerMove={(event) => current?.handlePointerMove(event)}
        onPointerUp={(event) => current?.handlePointerUp(event)}
        onPointerCancel={(event) => current?.handlePointerUp(event)}
        onContextMenu={(event) => event.preventDefault()}
      >
        <img src={url} alt="" draggable={false} />
        <canvas />
        <div class="ck-painter-ring" />
      </div>
      <p class="ck-muted ck-painter-help">{HELP}</p>
    </Dialog>
  );
}

/** Return where the slider stands for a size: small sizes have as much room as large ones. */
function toSlider(size: number, most: number): number {
  return (100 * Math.log(size)) / Math.log(Math.max(2, most));
}
