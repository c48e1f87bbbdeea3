/**
 * The order of live pushes: whoever pushes to an audience does so alone, and in order of version.
 *
 * Several processes have news of one sale or one customer at once, and a process that has looked whether its news is the
 * newest may be overtaken before it has sent it. So news is admitted and put in line by one script, and who finds nobody at
 * it takes the turn to send what stands in line; the others leave theirs to whoever has the turn. A turn whose owner died
 * ends by itself, and the next pusher sends what was left. Only a call that the gateway answers after its limit can still
 * come late, so each message carries its version.
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

/** A message that is to be put in line. */
export interface Versioned {
  /** What the version counts: a reservation, a purchase, or the stock or the phase of a sale. */
  readonly subject: string;
  readonly epoch: number;
  readonly version: number;
  readonly body: object;
}

/** A message whose turn it is. */
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
 * Puts messages in line unless something newer of their subject was before them, and takes the turn where nobody has it.
 * Returns what stands in line there, by audience; the caller sends it, and then asks for what came meanwhile.
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
 * What came into line meanwhile, by audience; where there is nothing, the turn ends. Without time for `more`, every turn
 * ends, and what stands in line waits for the next who pushes there.
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
