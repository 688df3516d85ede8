/** Plays several videos in step. */

/** In seconds: how far a video may be off the first one, from where a user has moved it, and one frame. */
const MAX_OFF = 0.08;
const FAR_OFF = 0.6;
const FRAME = 1 / 24;

/**
 * Keep all videos in an element in step with the first one, also when a user controls another one.
 *
 * Return a function that stops this.
 */
export function followFirst(element: HTMLElement): () => void {
  const controller = new AbortController();
  const follow = ({ target }: Event) => {
    const [first, ...others] = element.querySelectorAll("video");
    if (!first) return;
    if (target !== first) lead(target as HTMLVideoElement, first);
    for (const video of others) keepUp(video, first);
  };
  for (const type of ["timeupdate", "play", "pause", "seeking"])
    element.addEventListener(type, follow, { capture: true, signal: controller.signal });
  return () => controller.abort();
}

/** Apply a user's change of another video to the first one. */
function lead(video: HTMLVideoElement, first: HTMLVideoElement): void {
  if (Math.abs(video.currentTime - first.currentTime) > FAR_OFF && !video.ended) first.currentTime = video.currentTime;
  if (video.muted && video.paused !== first.paused && !video.ended) void (video.paused ? first.pause() : play(first));
}

function keepUp(video: HTMLVideoElement, first: HTMLVideoElement): void {
  video.muted = true;
  video.loop = false;
  const time = Math.min(first.currentTime, video.duration || 0);
  if (Math.abs(video.currentTime - time) > MAX_OFF) video.currentTime = time;
  if (first.paused) video.pause();
  else if (video.paused && time < video.duration) void play(video);
}

/** Step by some frames; 0 plays or pauses. */
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
