/**
 * A turn at an endpoint, which is a lease on it: one worker at a time sends it what is due, a few calls at once, for a bounded
 * time.
 *
 * Invariants. An attempt is counted and committed before the call, and its outcome after it: a worker that dies in between leaves
 * the delivery due again, so an endpoint may get a message twice, under the same id, and none is lost. An endpoint has
 * one turn, so however slow it is it takes one worker and `callsInFlight` connections, and its breaker, which all processes
 * share, ends even that. The end of a turn asks for the next: at once if more is due, or when the next retry is.
 */
import pLimit from 'p-limit';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import { webhookCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { sharedBreaker } from '#platform/redis/shared-circuit-breaker.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { type Breaker, BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { AddressNotPublic, type Outside, openOutside } from '#platform/security/outside-post.ts';
import { signedHeaders } from '#platform/security/webhook-signature.ts';
import { allowsLoopback } from './address.ts';
import { longestDelayMs, sendEndpoints } from './commands.ts';
import { claimDue, type Delivery, nextDueAt, noteAttempt } from './delivery.store.ts';
import {
  type Endpoint,
  type EndpointId,
  endTurn,
  findEndpoint,
  lockEndpoint,
  noteWake,
  takeTurn,
  updateEndpoint,
} from './endpoint.store.ts';
import { readMessages, type WebhookMessage } from './message.store.ts';
import { afterAttempt, goneStatus, isAlive, isHopeless, isTaken, type Outcome } from './retry.ts';
import { signingSecrets } from './secret.ts';

/** What delivering needs. */
export type TurnNeeds = Needs<'db' | 'redis' | 'queue' | 'clock' | 'random' | 'registry' | 'breakers' | 'once'>;

/** How many calls an endpoint gets at once. */
export const callsInFlight = 5;
/** How many deliveries are claimed at a time. */
const deliveriesPerPage = 20;
/** Time kept back after the last call, to write its outcome. */
const settleReserveMs = 700;
/** After so long an attempt without an outcome is taken to have died: longer than any invocation. */
export const attemptDiesAfterMs = 60_000;
/** How long a turn outlasts its invocation before another worker may take it. */
const turnReserveMs = 1_000;
/** How long the breaker of an endpoint fails fast before it lets one call through. */
export const breakerResetMs = 30_000;
const breakerOptions = { resetTimeoutMs: breakerResetMs, volumeThreshold: callsInFlight, isTheirs: true };

/** What a turn has come to. */
interface Tally {
  taken: number;
  notTaken: number;
  isGone: boolean;
  /** Whether the breaker refused a call. */
  isOpen: boolean;
}

/** Sends an endpoint what is due, unless another worker does, or it is not active. */
export async function serveEndpoint(deps: TurnNeeds, endpointId: EndpointId, deadlineMs: number): Promise<void> {
  const turnUntilMs = deadlineMs + turnReserveMs;
  if (!(await takeTurn(deps.db, endpointId, deps.clock(), turnUntilMs))) return;
  const tally: Tally = { taken: 0, notTaken: 0, isGone: false, isOpen: false };
  try {
    while (hasTime(deps, deadlineMs) && !tally.isOpen && !tally.isGone) {
      const endpoint = await findEndpoint(deps.db, endpointId);
      if (endpoint?.state !== 'active' || !(await sendPage(deps, endpoint, tally, deadlineMs))) break;
    }
    await noteHealth(deps, endpointId, tally);
  } finally {
    await endTurn(deps.db, endpointId, turnUntilMs);
  }
  if (tally.taken + tally.notTaken > 0) measure({ WebhooksDelivered: tally.taken, WebhooksFailed: tally.notTaken });
  if (!tally.isGone) await askForNext(deps, endpointId, tally.isOpen);
}

function hasTime({ clock }: Needs<'clock'>, deadlineMs: number): boolean {
  return clock() + webhookCallTimeoutMs + settleReserveMs <= deadlineMs;
}

/** Sends one page of what is due; returns whether there was anything. */
async function sendPage(deps: TurnNeeds, endpoint: Endpoint, tally: Tally, deadlineMs: number): Promise<boolean> {
  const { endpointId } = endpoint;
  const nowMs = deps.clock();
  const claimed = await deps.db.transaction((tx) =>
    claimDue(tx, endpointId, nowMs, nowMs + attemptDiesAfterMs, deliveriesPerPage),
  );
  if (claimed.length === 0) return false;
  const messages = await readMessages(
    deps.db,
    claimed.map(({ messageId }) => messageId),
  );
  const guard = sharedBreaker(deps, `webhooks:${endpointId}`, breakerOptions);
  const settle = batched<Delivery, undefined>((settled) => noteAttempts(deps, settled), {
    maxBatchSize: deliveriesPerPage,
    maxInFlight: 1,
  });
  await pLimit(callsInFlight).map(claimed, async (delivery) => {
    const message = messages.get(delivery.messageId);
    const outcome = !message
      ? tooOld
      : hasTime(deps, deadlineMs)
        ? await attempt(deps, endpoint, message, guard)
        : later;
    count(tally, outcome);
    await settle({ ...delivery, ...afterAttempt(delivery, outcome, deps.clock(), deps.random) });
  });
  return true;
}

/** Only a delivery that was ordered again just before its message was deleted has none. */
const tooOld: Outcome = { kind: 'impossible', error: 'message_too_old' };
const later: Outcome = { kind: 'postponed', delayMs: 0 };

function count(tally: Tally, outcome: Outcome): void {
  if (outcome.kind === 'taken') tally.taken++;
  if (outcome.kind === 'not-taken') tally.notTaken++;
  if (outcome.kind === 'not-taken' && outcome.status === goneStatus) tally.isGone = true;
  if (outcome.kind === 'postponed' && outcome.delayMs > 0) tally.isOpen = true;
}

/** Writes the outcomes that have come meanwhile, in one transaction. */
async function noteAttempts({ db }: Needs<'db'>, settled: readonly Delivery[]): Promise<undefined[]> {
  await db.transaction(async (tx) => {
    for (const delivery of settled) await noteAttempt(tx, delivery);
  });
  return settled.map(() => undefined);
}

/** Thrown so that the breaker counts an answer which says that the endpoint does not work. */
class NotAlive extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the endpoint answered ${status}`);
    this.status = status;
  }
}

/** One call, signed for this attempt. Never throws. */
async function attempt(deps: TurnNeeds, endpoint: Endpoint, message: WebhookMessage, guard: Breaker): Promise<Outcome> {
  const startedAt = performance.now();
  const nowMs = deps.clock();
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'Holdfast-Webhooks/1',
    ...signedHeaders(signingSecrets(deps, endpoint, nowMs), message.messageId, message.body, nowMs),
  };
  try {
    const status = await guard.run(async () => {
      const answered = await outsideOf(deps).post(new URL(endpoint.url), headers, message.body, webhookCallTimeoutMs);
      if (!isAlive(answered)) throw new NotAlive(answered);
      return answered;
    });
    const tookMs = Math.round(performance.now() - startedAt);
    return isTaken(status) ? { kind: 'taken', status, tookMs } : notTaken(status, tookMs);
  } catch (error) {
    const tookMs = Math.round(performance.now() - startedAt);
    if (error instanceof BreakerOpen) return { kind: 'postponed', delayMs: breakerResetMs };
    if (error instanceof NotAlive) return notTaken(error.status, tookMs);
    return { kind: 'not-taken', status: null, error: reasonOf(error), tookMs };
  }
}

function notTaken(status: number, tookMs: number): Outcome {
  // A redirect is not followed: it could lead anywhere.
  return { kind: 'not-taken', status, error: status >= 300 && status < 400 ? 'redirect' : 'refused', tookMs };
}

/** Why there was no answer, in a word for the log. */
function reasonOf(error: unknown): string {
  if (error instanceof AddressNotPublic) return 'address_not_public';
  const { name, code } = error as { name?: unknown; code?: unknown };
  if (name === 'AbortError' || name === 'TimeoutError') return 'no_answer_in_time';
  return String(code ?? name).slice(0, 64);
}

/** The way outside of an environment, which keeps its connections. */
export function outsideOf(deps: Pick<Deps, 'once'>): Outside {
  return deps.once(openWebhooksOut);
}

const openWebhooksOut = (deps: Needs<'registry'>): Outside => openOutside({ loopback: allowsLoopback(deps) });

/** Notes since when an endpoint fails, and switches it off after days of it, or because it wants no more. */
async function noteHealth(deps: TurnNeeds, endpointId: EndpointId, { taken, notTaken, isGone }: Tally): Promise<void> {
  if (taken + notTaken === 0) return;
  const off = await deps.db.transaction(async (tx) => {
    const endpoint = await lockEndpoint(tx, endpointId);
    if (endpoint?.state !== 'active') return undefined;
    const nowMs = deps.clock();
    const failingSinceMs = taken > 0 ? null : (endpoint.failingSinceMs ?? nowMs);
    const isOver = isGone || (failingSinceMs !== null && isHopeless(failingSinceMs, nowMs));
    if (!isOver && failingSinceMs === endpoint.failingSinceMs) return undefined;
    const switched = isOver ? { state: 'switched_off' as const, switchedOffAtMs: nowMs } : {};
    await updateEndpoint(tx, { ...endpoint, failingSinceMs, ...switched });
    return isOver ? endpoint : undefined;
  });
  if (!off) return;
  log.error('an endpoint of webhooks was switched off', { endpointId, isGone, failingSinceMs: off.failingSinceMs });
  measure({ WebhooksSwitchedOff: 1 }, { facts: { endpointId } });
}

/**
 * Asks for the next turn, since this one may have missed what was written meanwhile. A retry that is further in the future than
 * a message can be delayed is found by the minute's rule.
 */
async function askForNext(deps: TurnNeeds, endpointId: EndpointId, isOpen: boolean): Promise<void> {
  const dueAtMs = await nextDueAt(deps.db, endpointId);
  if (dueAtMs === undefined) return;
  const nowMs = deps.clock();
  const atMs = Math.max(dueAtMs, isOpen ? nowMs + breakerResetMs : nowMs);
  if (atMs === nowMs) return sendEndpoints(deps, [endpointId]);
  const isNear = atMs - nowMs <= longestDelayMs;
  if (isNear && (await noteWake(deps.db, endpointId, nowMs, atMs)))
    await sendEndpoints(deps, [endpointId], atMs - nowMs);
}
