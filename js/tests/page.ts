/** Starts the widget as anywidget does, and uses it as a person does. */

import { afterEach, beforeEach } from "vitest";
import createWidget from "../src/index";
import type { Traits } from "../src/session/protocol";
import { settle, TestModel, trackUrls } from "./model";

export interface Page {
  /** The model of the widget that was started last. */
  model: TestModel;
  views: HTMLElement[];
  urls: ReturnType<typeof trackUrls>;
  /** Start a new widget with `count` views and return the first; `host` is added to its widget manager. */
  start(traits: Partial<Traits>, count?: number, host?: Record<string, unknown>): Promise<HTMLElement>;
}

/** Set up a page for the tests of a file. It is cleared after each test. */
export function setUpPage(): Page {
  const cleanups: (() => void)[] = [];
  const page: Page = {
    model: new TestModel(),
    views: [],
    urls: trackUrls(),
    async start(traits, count = 1, host = {}) {
      page.model = new TestModel(traits);
      Object.assign(page.model.widget_manager, host);
      page.views = [];
      const { initialize, render } = createWidget();
      cleanups.push(initialize({ model: page.model.asModel }));
      for (let index = 0; index < count; index++) {
        const el = document.createElement("div");
        document.body.append(el);
        page.views.push(el);
        cleanups.push(render({ model: page.model.asModel, el }));
      }
      await settle();
      return page.views[0] as HTMLElement;
    },
  };
  page.urls.restore();

  beforeEach(() => {
    page.urls = trackUrls();
    page.views = [];
  });
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup();
    page.urls.restore();
    document.body.replaceChildren();
  });
  return page;
}

/** Find the control of a label. */
export function findControl(el: HTMLElement, name: string): HTMLInputElement {
  const label = [...el.querySelectorAll("label")].find((each) => each.textContent === name);
  const found = label && el.querySelector(`[id="${label.getAttribute("for")}"]`);
  if (!found) throw new Error(`there is no control ${name}`);
  return found as HTMLInputElement;
}

/** Find a button by its accessible name. */
export function findButton(el: HTMLElement, name: string): HTMLButtonElement | undefined {
  const getName = (each: HTMLButtonElement) => each.getAttribute("aria-label") ?? each.textContent;
  return [...el.querySelectorAll("button")].find((each) => getName(each) === name);
}

/** Type a text in place of the one in an input, and stay there. */
export async function typeOver(input: HTMLInputElement, text: string): Promise<void> {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await settle();
}

/** Type a text and leave the input. */
export async function typeText(input: HTMLInputElement, text: string): Promise<void> {
  await typeOver(input, text);
  input.dispatchEvent(new Event("change", { bubbles: true }));
  await settle();
}

/** Press a key on an element. */
export async function pressKey(target: HTMLElement, key: string, more: KeyboardEventInit = {}): Promise<void> {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  await settle();
}

/** Choose what happens to a seed after each run. */
export async function chooseMode(el: HTMLElement, mode: string): Promise<void> {
  const radio = findMode(el, mode);
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
  await settle();
}

/** Return what happens to a seed after each run. */
export function getMode(el: HTMLElement): string | undefined {
  return ["random", "fixed", "increment"].find((mode) => findMode(el, mode).checked);
}

function findMode(el: HTMLElement, mode: string): HTMLInputElement {
  return el.querySelector(`.ck-modes [aria-label="${mode}"]`) as HTMLInputElement;
}
