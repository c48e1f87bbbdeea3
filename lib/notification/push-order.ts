/**
 * The order of live pushes: one process at a time pushes to an audience, in order of version.
 *
 * Several processes may have news of one sale or one customer at once, and a process that has checked that its news is the
 * newest may be overtaken before it has sent it. So one script admits and queues news, and a process that finds no other at
 * work takes the turn to send the queue; the others leave theirs to the process that has the turn. The turn of a process
 * that died expires, and the next pusher sends what was left. Only a call that the gateway answers after its time limit can
 * still arrive late, so each message carries its version.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { newId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { defineScript, luaSource } from '#platform/redis/redis.ts';
import { connectionLifeMs } from './connections.ts';

const takeScript = defineScript('holdfastNewest', luaSource('lib/notification/newest-version.lua'));
const nextScript = defineScript('holdfastNextPushes', luaSource('lib/notification/next-pushes.lua'));

/** How long a turn outlives the time that its pushes may take. */
const turnMarginMs = 2_000;

/** A message to be queued. */
export interface Versioned {
  /** What the version counts: a reservation, a purchase, or the stock or the phase of a sale. */
  readonly subject: string;
  readonly epoch: number;
  readonly version: number;
  readonly body: object;
}

/** A queued message that may be sent now. */
export interface InLine {
  readonly subject: string;
  readonly body: object;
}

/** The turn of one process at some audiences. */
export interface Turn {
  readonly owner: string;
  readonly limitMs: number;
}

/** A turn for pushes that take at most `limitMs` at a time. */
export function newTurn(limitMs: number): Turn {
  return { owner: newId(), limitMs };
}

/**
 * Queues messages unless something newer of their subject was queued before, and takes the turn if no process has it.
 * Returns the queue of each audience whose turn it has; the caller sends it, and then asks for what came meanwhile.
 */
export async function takeTurns(
  deps: Needs<'redis'>,
  { owner, limitMs }: Turn,
  messages: ReadonlyMap<string, readonly Versioned[]>,
): Promise<Map<string, InLine[]>> {
  const calls = [...messages].map(([audienceId, list]) => ({
    keys: [keys.pushed(audienceId), keys.pushesInLine(audienceId), keys.pushTurn(audienceId)],
    args: [
      connectionLifeMs,
      owner,
      limitMs + turnMarginMs,
      ...list.flatMap(({ subject, epoch, version, body }) => [
        subject,
        epoch,
        version,
        JSON.stringify({ subject, body } satisfies InLine),
      ]),
    ],
  }));
  return byAudience([...messages.keys()], await deps.redis.guarded(() => takeScript.runAll(deps.redis, calls)));
}

/**
 * What was queued meanwhile, by audience; the turn ends where there is nothing. Without time for `more`, every turn ends,
 * and the queue waits for the next process that pushes there.
 */
export async function nextPushes(
  deps: Needs<'redis'>,
  { owner, limitMs }: Turn,
  audienceIds: readonly string[],
  more: boolean,
): Promise<Map<string, InLine[]>> {
  const calls = audienceIds.map((audienceId) => ({
    keys: [keys.pushesInLine(audienceId), keys.pushTurn(audienceId)],
    args: [owner, more ? limitMs + turnMarginMs : 0],
  }));
  return byAudience(audienceIds, await deps.redis.guarded(() => nextScript.runAll(deps.redis, calls)));
}

function byAudience(audienceIds: readonly string[], answers: readonly unknown[]): Map<string, InLine[]> {
  const found = new Map<string, InLine[]>();
  audienceIds.forEach((audienceId, index) => {
    const answer = answers[index];
    if (answer instanceof Error) throw answer;
    const texts = answer as string[];
    if (texts.length > 0)
      found.set(
        audienceId,
        texts.map((text) => JSON.parse(text) as InLine),
      );
  });
  return found;
}
