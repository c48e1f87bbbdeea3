/**
 * Waiting for something to be decided: a push says that it may be, and asking says whether it is. Without a push, as while
 * the connection is away, it is asked for by itself.
 */
import { pause } from './calls.ts';
import { Problem } from './problem.ts';

export interface Waiting<View> {
  /** Asks how it stands. */
  read(signal?: AbortSignal): Promise<View>;
  isOver(view: View): boolean;
  /** Sees every answer. */
  saw?(view: View): void;
  /** Calls back whenever it is worth asking; gives what ends that. */
  listen(wake: () => void): () => void;
  /** Whether changes arrive by themselves at the moment. */
  isLive(): boolean;
  signal?: AbortSignal | undefined;
}

/** How long nothing is asked: at first, at most, and at most while changes arrive by themselves. */
const firstMs = 1_000;
const longestMs = 10_000;
const longestLiveMs = 20_000;

/** Faults of the server and of the way there end; refusals do not. */
const isPassing = (error: unknown) =>
  error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);

/** Resolves with the first answer that says that it is over. Rejects if asking is refused, and with the signal's reason. */
export async function waitUntil<View>({ read, isOver, saw, listen, isLive, signal }: Waiting<View>): Promise<View> {
  let isWoken = false;
  let resting = new AbortController();
  const stop = listen(() => {
    isWoken = true;
    resting.abort();
  });
  try {
    for (let looks = 0; ; looks++) {
      signal?.throwIfAborted();
      isWoken = false;
      try {
        const view = await read(signal);
        saw?.(view);
        if (isOver(view)) return view;
      } catch (error) {
        if (!isPassing(error)) throw error;
      }
      if (isWoken) continue;
      // The second look comes soon in any case: the first may have been too early for a push to follow it.
      const growingMs = Math.min(firstMs * 1.5 ** looks, longestMs);
      const restMs = looks > 0 && isLive() ? longestLiveMs : growingMs;
      resting = new AbortController();
      const ended = signal ? AbortSignal.any([resting.signal, signal]) : resting.signal;
      await pause(restMs * (0.75 + Math.random() / 2), ended).catch(() => undefined);
    }
  } finally {
    stop();
  }
}
