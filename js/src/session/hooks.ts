/** Renders components again when the session changes, or the kernel answers. */

import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { Answer } from "./channel";
import type { MediaRef, MediaState } from "./media";
import type { Session, Topic } from "./session";

const NO_MEDIA: MediaState = { fraction: 0 };

/** Render a component again when one of the topics changes; return an object that is another one then. */
export function useTopics(session: Session, ...topics: Topic[]): object {
  const [turn, render] = useState({});
  // A layout effect, because an effect that runs later would miss changes in between.
  useLayoutEffect(() => {
    const unsubscribe = topics.map((topic) => session.subscribe(topic, () => render({})));
    return () => {
      for (const each of unsubscribe) each();
    };
  }, [session, ...topics]);
  return turn;
}

/** Request optional data from the kernel. Return the newest answer, or undefined before the first one. */
export function useAnswer(
  { channel }: Session,
  kind: string,
  body: Record<string, unknown>,
): Answer["content"] | undefined {
  const [content, setContent] = useState<Answer["content"]>();
  useEffect(() => {
    let isCurrent = true;
    channel.request(kind, body).then(
      (answer) => isCurrent && setContent(answer.content),
      () => {}, // Then it is not shown.
    );
    return () => {
      isCurrent = false;
    };
  }, [channel, JSON.stringify(body)]);
  return content;
}

/**
 * Hold a media file as long as the component is mounted, and return its state. Null fetches nothing.
 *
 * What failed is fetched again when the kernel is connected again, and with another `attempt`.
 */
export function useMedia(session: Session, ref: MediaRef | null, attempt = 0): MediaState {
  const [state, setState] = useState(NO_MEDIA);
  const [turn, retry] = useState({});
  const id = ref && JSON.stringify(ref);
  useLayoutEffect(() => {
    setState(NO_MEDIA);
    if (!ref) return;
    const held = session.media.hold(ref, () => setState(held.getState()));
    setState(held.getState());
    let { closed } = session.channel;
    const unsubscribe = session.subscribe("state", () => {
      if (closed && !session.channel.closed && held.getState().error !== undefined) retry({});
      closed = session.channel.closed;
    });
    return () => {
      unsubscribe();
      held.release();
    };
  }, [session, id, attempt, turn]);
  return state;
}
