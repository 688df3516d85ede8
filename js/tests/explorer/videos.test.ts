import { beforeEach, describe, expect, it } from "vitest";
import { followFirst, stepFrames } from "../../src/explorer/videos";

/** A video without a decoder. */
function makeVideo(duration: number): HTMLVideoElement {
  const video = document.createElement("video");
  let paused = true;
  const setPaused = (next: boolean) => {
    if (paused === next) return;
    paused = next;
    act(video, next ? "pause" : "play");
  };
  Object.defineProperties(video, {
    duration: { value: duration },
    currentTime: { value: 0, writable: true },
    paused: { get: () => paused },
    ended: { get: () => video.currentTime >= duration },
    play: { value: async () => setPaused(false) },
    pause: { value: () => setPaused(true) },
  });
  return video;
}

function act(video: HTMLVideoElement, kind: string): void {
  video.dispatchEvent(new Event(kind));
}

describe("videos that are compared", () => {
  let box: HTMLElement;
  let first: HTMLVideoElement;
  let second: HTMLVideoElement;
  let stop: () => void;

  beforeEach(() => {
    box = document.createElement("div");
    [first, second] = [makeVideo(4), makeVideo(2)];
    box.append(first, second);
    stop = followFirst(box);
  });

  it("play, pause and go on together, by the clock of the first one", async () => {
    await first.play();
    expect(second.paused).toBe(false);
    expect(second.muted).toBe(true);
    first.currentTime = 1.5;
    act(first, "timeupdate");
    expect(second.currentTime).toBe(1.5);
    first.pause();
    expect(second.paused).toBe(true);
  });

  it("follow what is done to another one", async () => {
    await first.play();
    second.pause();
    expect(first.paused).toBe(true);
    second.currentTime = 1.2;
    act(second, "seeking");
    expect(first.currentTime).toBe(1.2);
  });

  it("wait at their end for a longer one", async () => {
    await first.play();
    first.currentTime = 3;
    act(first, "timeupdate");
    expect(second.currentTime).toBe(2);
    act(second, "pause");
    expect(first.paused).toBe(false);
    expect(first.currentTime).toBe(3);
  });

  it("go by frames, and are left alone at the end", async () => {
    await first.play();
    stepFrames(box, 1);
    expect(first.paused).toBe(true);
    expect(first.currentTime).toBeCloseTo(1 / 24);
    stop();
    await first.play();
    expect(second.paused).toBe(true);
  });
});
