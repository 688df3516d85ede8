/** Starts the widget as anywidget does, and finds and uses its parts as a person does. */

import { afterEach, beforeEach } from "vitest";
import widget from "../src/index";
import type { Traits } from "../src/session/protocol";
import { countUrls, settled, TestModel } from "./model";

export interface Stand {
  /** The model of the widget started last. */
  model: TestModel;
  views: HTMLElement[];
  urls: ReturnType<typeof countUrls>;
  /** Starts the widget, once more if need be, with `count` views and returns the first; `host` is what its manager has. */
  start(traits: Partial<Traits>, count?: number, host?: Record<string, unknown>): Promise<HTMLElement>;
}

/** A stand for the tests of a file, cleared after each. */
export function stand(): Stand {
  const endings: (() => void)[] = [];
  const here: Stand = {
    model: new TestModel(),
    views: [],
    urls: countUrls(),
    async start(traits, count = 1, host = {}) {
      here.model = new TestModel(traits);
      Object.assign(here.model.widget_manager, host);
      here.views = [];
      const { initialize, render } = widget();
      endings.push(initialize({ model: here.model.asModel }));
      for (let index = 0; index < count; index++) {
        const el = document.createElement("div");
        document.body.append(el);
        here.views.push(el);
        endings.push(render({ model: here.model.asModel, el }));
      }
      await settled();
      return here.views[0] as HTMLElement;
    },
  };
  here.urls.restore();

  beforeEach(() => {
    here.urls = countUrls();
    here.views = [];
  });
  afterEach(() => {
    for (const end of endings.splice(0).reverse()) end();
    here.urls.restore();
    document.body.replaceChildren();
  });
  return here;
}

/** The control that a label names. */
export function control(el: HTMLElement, name: string): HTMLInputElement {
  const label = [...el.querySelectorAll("label")].find((each) => each.textContent === name);
  const found = label && el.querySelector(`[id="${label.getAttribute("for")}"]`);
  if (!found) throw new Error(`no control ${name}`);
  return found as HTMLInputElement;
}

export function button(el: HTMLElement, name: string): HTMLButtonElement | undefined {
  const named = (each: HTMLButtonElement) => each.getAttribute("aria-label") ?? each.textContent;
  return [...el.querySelectorAll("button")].find((each) => named(each) === name);
}

export async function type(input: HTMLInputElement, text: string) {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await settled();
  input.dispatchEvent(new Event("change", { bubbles: true }));
  await settled();
}

export async function press(target: HTMLElement, key: string, more: KeyboardEventInit = {}) {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  await settled();
}
