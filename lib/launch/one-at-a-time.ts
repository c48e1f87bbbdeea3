/**
 * Long work on a sale, one process at a time. Several triggers may set the same work going, and the work itself brings more
 * of them: every offer is an event. If each worked for a while and then went on by a message of its own, those of one sale
 * would fill the queue `advance`, and the boundaries of other sales would wait behind them.
 *
 * Nothing depends on it for correctness: two at once only get in each other's way. So without Redis everybody works, and the
 * turn of a process that died, or whose next message was lost, expires.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { newId, type SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import { idleAfterMs } from './job.store.ts';
import { sliceMs } from './jobs.ts';

/** How long a turn outlives its slice: the last step, and its commit. */
const marginMs = 3_000;
const turnLifeMs = sliceMs + marginMs;
/** How long the message that goes on may take. */
const messageLifeMs = idleAfterMs;
/** After how long a trigger that found the turn taken looks again. */
const lookAgainSeconds = 2;

/** Long work that several triggers may set going. */
export interface LongWork {
  readonly kind: 'offers' | 'sweep';
  readonly saleId: SaleId;
  /** The turn that this trigger goes on with; undefined for any other trigger. */
  readonly turn: string | undefined;
  /** Works for a slice (`sliceEndMs`). Resolves to whether something is left. */
  work(): Promise<boolean>;
  /** Sends a message that goes on with a turn, or with none looks again. */
  send(turn: string | undefined, delaySeconds: number): Promise<void>;
}

/**
 * Does long work unless another process is at it, or a message of its own will go on with it. In that case one of all triggers
 * that come meanwhile is sent again later, since its cause may be newer than what the other has seen; the rest are dropped.
 * Throws what `work` or `send` throws.
 */
export async function oneAtATime(deps: Needs<'redis' | 'clock'>, one: LongWork): Promise<void> {
  const { kind, saleId } = one;
  const [key, waiting] = [keys.turn(kind, saleId), keys.waitsForTurn(kind, saleId)];
  const turn = newId();
  const beganAtMs = deps.clock();
  const goesOn = one.turn !== undefined && (await read(deps, key)) === one.turn;
  if (!(await write(deps, key, turn, turnLifeMs, goesOn))) {
    if (await write(deps, waiting, turn, turnLifeMs)) await one.send(undefined, lookAgainSeconds);
    return;
  }
  // Whatever a trigger was about until now is seen by this slice; one that comes later is to look again.
  await remove(deps, waiting);
  let isLeft = false;
  try {
    isLeft = await one.work();
  } finally {
    // A turn that has expired may be another's by now.
    if (!isLeft && deps.clock() - beganAtMs < turnLifeMs) await remove(deps, key);
  }
  if (!isLeft) return;
  await write(deps, key, turn, messageLifeMs, true);
  await one.send(turn, 0);
}

/** Writes a key that expires, and unless it `replaces` only if it is not there. Says whether; true if Redis is unavailable. */
async function write(
  { redis }: Needs<'redis'>,
  key: string,
  value: string,
  lifeMs: number,
  replaces = false,
): Promise<boolean> {
  const written = redis.guarded(() =>
    replaces ? redis.set(key, value, 'PX', lifeMs) : redis.set(key, value, 'PX', lifeMs, 'NX'),
  );
  return (await written.catch(unavailable)) !== null;
}

async function read({ redis }: Needs<'redis'>, key: string): Promise<string | null | undefined> {
  return redis.guarded(() => redis.get(key)).catch(unavailable);
}

async function remove({ redis }: Needs<'redis'>, key: string): Promise<void> {
  await redis.guarded(() => redis.del(key)).catch(unavailable);
}

function unavailable(error: unknown): undefined {
  warnUnlessOutage(error, 'long work goes on without a turn');
  return undefined;
}
