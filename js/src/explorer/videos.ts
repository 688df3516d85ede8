/** Plays several videos in step. */

/** Seconds by which a video may be off the first one, and of a frame. */
const MAX_OFF = 0.06;
const FRAME = 1 / 24;

/** Let the videos in an element follow the first one, its clock and its buttons; return a function that stops this. */
export function followFirst(element: HTMLElement): () => void {
  const controller = new AbortController();
  const follow = ({ target }: Event) => {
    const [first, ...others] = element.querySelectorAll("video");
    if (target === first) for (const video of others) followClock(first as HTMLVideoElement, video);
    else (target as HTMLVideoElement).muted = true;
  };
  for (const type of ["timeupdate", "play", "playing", "pause", "seeked", "ratechange"])
    element.addEventListener(type, follow, { capture: true, signal: controller.signal });
  return () => controller.abort();
}

function followClock(first: HTMLVideoElement, video: HTMLVideoElement): void {
  video.loop = false;
  video.playbackRate = first.playbackRate;
  const time = Math.min(first.currentTime, video.duration || 0);
  if (Math.abs(video.currentTime - time) > MAX_OFF) video.currentTime = time;
  if (first.paused) video.pause();
  else if (video.paused && time < video.duration) void play(video);
}

/** Go on by some frames; by 0 to play, or pause. */
export function stepFrames(element: HTMLElement | null, by: number): void {
  const first = element?.querySelector("video");
  if (!first) return;
  if (by === 0 && first.paused) return void play(first);
  first.pause();
  first.currentTime = Math.max(0, first.currentTime + by * FRAME);
}

async function play(video: HTMLVideoElement): Promise<void> {
  await video.play().catch(() => {});
}
