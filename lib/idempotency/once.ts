/**
 * Customers' calls under an Idempotency-Key: carried out once, and answered the same while the answer is kept. What operators call
 * is recorded besides (`kept-answer.ts`).
 *
 * A verb looks for its answer only after its limits have let it pass, so who is too often asks MySQL nothing. Where a request or an
 * answer holds a secret, the route says so and the answer is kept sealed (`platform/security/seal.ts`).
 */

import { type Call, Reply, replayedHeader } from '#platform/handlers/http.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { carryOutOnce, type KeyedRoute, nameOf } from './kept-answer.ts';
import { sealUnder } from './sealing.ts';

/** Keeps an answer and returns it: in the transaction of the call's effect, or after an effect that comes twice to the same. */
export type KeepAnswer = <Answer>(sql: Tx | Sql, answer: Answer) => Promise<Answer>;

/**
 * Gives the answer that is kept, or lets `work` carry the call out, which must keep every answer that is no refusal. An answer that
 * no longer `holds` is not given: the call is judged as one without a key.
 */
export type Once = <Answer>(
  work: (keep: KeepAnswer) => Promise<Answer | Refusal>,
  holds?: (answer: Answer) => Promise<boolean>,
) => Promise<Answer | Refusal>;

/** Carries out each call, and keeps nothing. */
export const eachTime: Once = (work) => work(async (_sql, answer) => answer);

/** A verb that is carried out once under a key, and each time without one. Its route declares `idempotent: 'optional'`. */
export function underKey<C extends Call<unknown, unknown, unknown>, Answer>(
  route: KeyedRoute,
  verb: (call: C, once: Once) => Promise<Answer | Refusal>,
): (call: C) => Promise<Answer | Reply<Answer> | Refusal> {
  return async (call) => {
    const name = call.idempotencyKey === '' ? undefined : nameOf(route, call, sealUnder);
    let isReplay = false;
    const heard = () => {
      isReplay = true;
    };
    const answer = await verb(call, (work, holds) => carryOutOnce(call.deps, name, work, { heard, holds }));
    if (isRefusal(answer)) return answer;
    // What has no reply is kept as null.
    const given = (answer ?? undefined) as Answer;
    return isReplay ? new Reply(given, replayedHeader) : given;
  };
}

/** The same for a verb that comes to the same however often it is carried out: its answer is kept after it. */
export function keptAfter<C extends Call<unknown, unknown, unknown>, Answer>(
  route: KeyedRoute,
  verb: (call: C) => Promise<Answer | Refusal>,
): (call: C) => Promise<Answer | Reply<Answer> | Refusal> {
  return underKey<C, Answer>(route, (call, once) =>
    once(async (keep) => {
      const answer = await verb(call);
      return isRefusal(answer) ? answer : keep(call.deps.db, answer);
    }),
  );
}
