/** Paints on a canvas over an image, at the resolution of the screen, and looks closer or elsewhere. */

import { measurePinch, measureWheel, type Point } from "../gestures";
import { clamp } from "../number";
import { addStep, findSteps, type Stroke, type Strokes, undo } from "./strokes";

const MAX_ZOOM = 32;
/** The colour of the mask; the canvas as a whole is half transparent. */
const COLOUR = "#eb006e";
/** Parts of a pixel that a point of a stroke is rounded to, so that it is short as text. */
const FINEST = 8;
/** The buttons of a pointer, as `PointerEvent.button`; the last one is the other end of a pen. */
const MIDDLE = 1;
const RIGHT = 2;
const ERASER = 5;

const round = (value: number) => Math.round(value * FINEST) / FINEST;

/** One image with its mask, in an element that it fills. */
export class Board {
  erase = false;
  /** The diameter of the brush, in pixels of the image. */
  size: number;
  /** Where the keys paint. */
  cursor: [number, number];
  /** Whether the keys paint as they move. */
  isDown = false;
  readonly strokes: Strokes;
  readonly #stage: HTMLElement;
  readonly #image: HTMLElement;
  readonly #canvas: HTMLCanvasElement;
  readonly #ring: HTMLElement;
  readonly #onChange: () => void;
  #base: CanvasImageSource | null = null;
  #zoom = 1;
  #x = 0;
  #y = 0;
  #stroke: Stroke | null = null;
  #frame = 0;
  readonly #pointers = new Map<number, Point>();
  #isPanning = false;

  constructor(stage: HTMLElement, strokes: Strokes, onChange: () => void) {
    const [image, canvas, ring] = stage.children;
    this.#stage = stage;
    this.#image = image as HTMLElement;
    this.#canvas = canvas as HTMLCanvasElement;
    this.#ring = ring as HTMLElement;
    this.#onChange = onChange;
    this.strokes = strokes;
    this.size = Math.max(4, Math.round(Math.min(strokes.width, strokes.height) / 12));
    this.cursor = [strokes.width / 2, strokes.height / 2];
    this.fit();
  }

  setBase(base: CanvasImageSource | null): void {
    this.#base = base;
    this.render();
  }

  /** Pixels of the screen for one of the image, without zoom. */
  get #fitted(): number {
    const { clientWidth, clientHeight } = this.#stage;
    return Math.min(clientWidth / this.strokes.width, clientHeight / this.strokes.height) || 1;
  }

  get #scale(): number {
    return this.#fitted * this.#zoom;
  }

  /** Show the whole image. */
  fit(): void {
    this.#zoom = 1;
    this.#x = this.#y = 0;
    this.render();
  }

  /** Zoom around a point of the stage; by default around the middle. */
  zoomBy(factor: number, x = this.#stage.clientWidth / 2, y = this.#stage.clientHeight / 2): void {
    const before = this.toImage(x, y);
    this.#zoom = clamp(this.#zoom * factor, 0.5, MAX_ZOOM);
    const after = this.toImage(x, y);
    this.#x += (after[0] - before[0]) * this.#scale;
    this.#y += (after[1] - before[1]) * this.#scale;
    this.render();
  }

  #pan(dx: number, dy: number): void {
    this.#x += dx;
    this.#y += dy;
    this.render();
  }

  get #left(): number {
    return (this.#stage.clientWidth - this.strokes.width * this.#scale) / 2 + this.#x;
  }

  get #top(): number {
    return (this.#stage.clientHeight - this.strokes.height * this.#scale) / 2 + this.#y;
  }

  /** Return the point of the image at a point of the stage. */
  toImage(x: number, y: number): [number, number] {
    return [(x - this.#left) / this.#scale, (y - this.#top) / this.#scale];
  }

  /** Return the point of the stage at a point of the image. */
  #toStage([x, y]: [number, number]): [number, number] {
    return [this.#left + x * this.#scale, this.#top + y * this.#scale];
  }

  setSize(size: number): void {
    this.size = clamp(Math.round(size), 1, Math.max(this.strokes.width, this.strokes.height));
    this.#placeRing();
    this.#onChange();
  }

  apply(step: "invert" | "clear"): void {
    addStep(this.strokes, step);
    this.#handleSteps();
  }

  undo(again: boolean): void {
    if (undo(this.strokes, again)) this.#handleSteps();
  }

  #handleSteps(): void {
    this.render();
    this.#onChange();
  }

  /** Render everything before the next frame. */
  render(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#renderNow();
    });
  }

  destroy(): void {
    cancelAnimationFrame(this.#frame);
  }

  #renderNow(): void {
    const { width, height } = this.strokes;
    const scale = this.#scale;
    Object.assign(this.#image.style, {
      width: `${width * scale}px`,
      height: `${height * scale}px`,
      transform: `translate(${this.#left}px, ${this.#top}px)`,
    });
    const density = devicePixelRatio || 1;
    const canvas = this.#canvas;
    canvas.width = Math.round(this.#stage.clientWidth * density);
    canvas.height = Math.round(this.#stage.clientHeight * density);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(density * scale, 0, 0, density * scale, density * this.#left, density * this.#top);
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    const { steps, base } = findSteps(this.strokes);
    if (base && this.#base) {
      context.drawImage(this.#base, 0, 0, width, height);
      context.globalCompositeOperation = "source-in";
      context.fillStyle = COLOUR;
      context.fillRect(0, 0, width, height);
    }
    for (const step of steps) {
      if (step === "invert") {
        context.globalCompositeOperation = "xor";
        context.fillStyle = COLOUR;
        context.fillRect(0, 0, width, height);
      } else if (step !== "clear") drawStroke(context, step, 0);
    }
    this.#placeRing();
  }

  /** Begin a stroke, or add a point to it; what is new of it is drawn at once. */
  #paint(x: number, y: number): void {
    const at = [round(x), round(y)] as const;
    let stroke = this.#stroke;
    if (stroke) {
      const [lastX = 0, lastY = 0] = stroke.points.slice(-2);
      if (Math.hypot(at[0] - lastX, at[1] - lastY) < Math.min(1 / this.#scale, this.size / 4)) return;
      stroke.points.push(...at);
    } else {
      stroke = this.#stroke = { erase: this.erase, size: this.size, points: [...at] };
      addStep(this.strokes, stroke);
    }
    const context = this.#canvas.getContext("2d");
    if (context && !this.#frame) drawStroke(context, stroke, Math.max(0, stroke.points.length - 4));
  }

  #end(): void {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#onChange();
  }

  /** Move the brush of the keys by parts of its size, and paint if it is down. */
  moveBy(dx: number, dy: number): void {
    const step = Math.max(1, this.size / 4);
    const [x, y] = this.cursor;
    this.cursor = [clamp(x + dx * step, 0, this.strokes.width), clamp(y + dy * step, 0, this.strokes.height)];
    if (this.isDown) this.#paint(...this.cursor);
    // The brush stays in sight.
    const { clientWidth, clientHeight } = this.#stage;
    const [left, top] = this.#toStage(this.cursor);
    this.#pan(clamp(left, 0, clientWidth) - left, clamp(top, 0, clientHeight) - top);
  }

  /** Put the brush of the keys down, or lift it. */
  setDown(isDown: boolean): void {
    this.isDown = isDown;
    if (isDown) this.#paint(...this.cursor);
    else this.#end();
    this.#placeRing();
    this.#onChange();
  }

  #placeRing(): void {
    const size = this.size * this.#scale;
    const [x, y] = this.#toStage(this.cursor);
    Object.assign(this.#ring.style, {
      width: `${size}px`,
      height: `${size}px`,
      transform: `translate(${x - size / 2}px, ${y - size / 2}px)`,
    });
  }

  #locate(event: PointerEvent | WheelEvent): Point {
    const box = this.#stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  handlePointerDown(event: PointerEvent, isSpaceDown: boolean): void {
    if (this.isDown) this.setDown(false);
    this.#stage.setPointerCapture?.(event.pointerId);
    const at = this.#locate(event);
    this.#pointers.set(event.pointerId, at);
    if (this.#pointers.size === 2) {
      // The second finger zooms: what the first one has begun was no stroke.
      if (this.#stroke) this.strokes.steps.pop();
      this.#stroke = null;
      this.render();
      return;
    }
    this.#isPanning = isSpaceDown || event.button === MIDDLE;
    if (this.#isPanning || this.#pointers.size > 1 || event.button === RIGHT) return;
    const { erase } = this;
    if (event.button === ERASER) this.erase = true;
    this.cursor = this.toImage(at.x, at.y);
    this.#paint(...this.cursor);
    this.erase = erase;
  }

  handlePointerMove(event: PointerEvent): void {
    // Only a pressed pointer has been somewhere before.
    const before = this.#pointers.get(event.pointerId);
    const at = this.#locate(event);
    if (before) this.#pointers.set(event.pointerId, at);
    if (before && this.#pointers.size === 2) this.#pinch(event.pointerId, before, at);
    else if (before && this.#isPanning) this.#pan(at.x - before.x, at.y - before.y);
    else {
      if (before && this.#stroke) this.#paintEvents(event);
      if (!this.isDown) this.cursor = this.toImage(at.x, at.y);
      this.#placeRing();
    }
  }

  /** Paint all places of a pointer since the last frame. */
  #paintEvents(event: PointerEvent): void {
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) {
      const { x, y } = this.#locate(each);
      this.#paint(...this.toImage(x, y));
    }
  }

  /** Zoom and move with two fingers, of which one has moved. */
  #pinch(id: number, before: Point, at: Point): void {
    const other = [...this.#pointers].find(([each]) => each !== id)?.[1] ?? at;
    const { factor, center, move } = measurePinch(before, at, other);
    this.zoomBy(factor, center.x, center.y);
    this.#pan(move.x, move.y);
  }

  handlePointerUp(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    if (this.#pointers.size === 0) this.#isPanning = false;
    this.#end();
  }

  handleWheel(event: WheelEvent): void {
    event.preventDefault();
    const { x, y } = this.#locate(event);
    this.zoomBy(measureWheel(event), x, y);
  }
}

/** Draw a stroke from a point of it on. */
function drawStroke(context: CanvasRenderingContext2D, { erase, size, points }: Stroke, from: number): void {
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  context.strokeStyle = COLOUR;
  context.lineWidth = size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(points[from] as number, points[from + 1] as number);
  for (let at = from; at < points.length; at += 2) context.lineTo(points[at] as number, points[at + 1] as number);
  context.stroke();
}
