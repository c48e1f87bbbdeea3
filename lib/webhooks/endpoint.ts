/** Endpoints as operators manage them: created, read, changed, deleted, and given another secret. */
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newId } from '#platform/kernel/ids.ts';
import { checkAddress } from './address.ts';
import {
  type Endpoint,
  type EndpointId,
  findEndpoint,
  insertEndpoint,
  listEndpoints,
  lockEndpoint,
  updateEndpoint,
} from './endpoint.store.ts';
import { currentSecret } from './secret.ts';
import type { EndpointChange, EndpointView, NewEndpoint, RotateSecret } from './webhooks.shapes.ts';

/** Every event is held against each of them, so there are not many. */
export const endpointsAtMost = 50;

export const noSuchEndpoint = refuse('not_found', 'There is no such endpoint.');

/** What is kept of an answer that shows a secret: which one it is. */
export interface EndpointAnswer extends EndpointView {
  readonly secretNumber: number;
}

/** The answer with the secret, which is the same as often as it is asked for under one Idempotency-Key. */
export function withSecret(
  { secretNumber, ...view }: EndpointAnswer,
  deps: Needs<'registry'>,
): EndpointView & { secret: string } {
  return { ...view, secret: currentSecret(deps, { endpointId: view.endpointId, secretNumber }) };
}

/** Creates an endpoint. Refuses an address that is not public, and one endpoint too many. */
export async function createEndpoint(
  deps: Needs<'db' | 'clock' | 'registry'>,
  { url, events, description }: NewEndpoint,
  keep: Keep = keepNothing,
): Promise<EndpointAnswer | Refusal> {
  const address = checkAddress(deps, url);
  if (isRefusal(address)) return address;
  const nowMs = deps.clock();
  const endpoint: Endpoint = {
    ...{ endpointId: newId<'webhook endpoint'>(nowMs), url: address, events, description, state: 'active' },
    ...{ secretNumber: 1, overlapUntilMs: 0, failingSinceMs: null, switchedOffAtMs: null },
    ...{ createdAtMs: nowMs, updatedAtMs: nowMs },
  };
  return deps.db.transaction(async (tx) => {
    if ((await listEndpoints(tx)).length >= endpointsAtMost) {
      return refuse('illegal_state', `There can be ${endpointsAtMost} endpoints; delete one first.`);
    }
    await insertEndpoint(tx, endpoint);
    return keep(tx, answerOf(endpoint, nowMs), changeOf(endpoint.endpointId, null, viewOf(endpoint, nowMs)));
  });
}

/** All endpoints, the newest first. */
export async function readEndpoints({ db, clock }: Needs<'db' | 'clock'>): Promise<{ items: EndpointView[] }> {
  return { items: (await listEndpoints(db)).map((endpoint) => viewOf(endpoint, clock())) };
}

/** One endpoint. */
export async function readEndpoint(
  { db, clock }: Needs<'db' | 'clock'>,
  id: EndpointId,
): Promise<EndpointView | Refusal> {
  const endpoint = await findEndpoint(db, id);
  return endpoint ? viewOf(endpoint, clock()) : noSuchEndpoint;
}

/**
 * Changes the given fields. An endpoint that becomes active, also after it was switched off, begins without failures, and gets
 * what waits within a minute.
 */
export async function changeEndpoint(
  deps: Needs<'db' | 'clock' | 'registry'>,
  id: EndpointId,
  change: EndpointChange,
  keep: Keep = keepNothing,
): Promise<EndpointView | Refusal> {
  const address = change.url === undefined ? undefined : checkAddress(deps, change.url);
  if (isRefusal(address)) return address;
  return deps.db.transaction(async (tx) => {
    const endpoint = await lockEndpoint(tx, id);
    if (!endpoint) return noSuchEndpoint;
    const nowMs = deps.clock();
    const isRestarted = change.state === 'active' && endpoint.state !== 'active';
    const next: Endpoint = {
      ...endpoint,
      url: address ?? endpoint.url,
      events: change.events ?? endpoint.events,
      description: change.description ?? endpoint.description,
      state: change.state ?? endpoint.state,
      ...(isRestarted ? { failingSinceMs: null, switchedOffAtMs: null } : {}),
      updatedAtMs: nowMs,
    };
    await updateEndpoint(tx, next);
    const after = viewOf(next, nowMs);
    return keep(tx, after, changeOf(id, viewOf(endpoint, nowMs), after));
  });
}

/** Deletes an endpoint: nothing is sent to it any more. Its log is deleted in the minutes after. */
export async function deleteEndpoint(
  { db, clock }: Needs<'db' | 'clock'>,
  id: EndpointId,
  keep: Keep = keepNothing,
): Promise<Refusal | null> {
  return db.transaction(async (tx) => {
    const endpoint = await lockEndpoint(tx, id);
    if (!endpoint) return noSuchEndpoint;
    const nowMs = clock();
    await updateEndpoint(tx, { ...endpoint, state: 'deleted', updatedAtMs: nowMs });
    return keep(tx, null, changeOf(id, viewOf(endpoint, nowMs), null));
  });
}

/** Gives an endpoint another secret; messages are signed with the old one as well for a while. */
export async function rotateSecret(
  { db, clock }: Needs<'db' | 'clock'>,
  id: EndpointId,
  { overlapSeconds }: RotateSecret,
  keep: Keep = keepNothing,
): Promise<EndpointAnswer | Refusal> {
  return db.transaction(async (tx) => {
    const endpoint = await lockEndpoint(tx, id);
    if (!endpoint) return noSuchEndpoint;
    const nowMs = clock();
    const secretNumber = endpoint.secretNumber + 1;
    const overlapUntilMs = nowMs + overlapSeconds * 1_000;
    const next = { ...endpoint, secretNumber, overlapUntilMs, updatedAtMs: nowMs };
    await updateEndpoint(tx, next);
    return keep(tx, answerOf(next, nowMs), changeOf(id, viewOf(endpoint, nowMs), viewOf(next, nowMs)));
  });
}

function answerOf(endpoint: Endpoint, nowMs: number): EndpointAnswer {
  return { ...viewOf(endpoint, nowMs), secretNumber: endpoint.secretNumber };
}

function viewOf(endpoint: Endpoint, nowMs: number): EndpointView {
  const { endpointId, url, events, description, state, failingSinceMs, switchedOffAtMs, overlapUntilMs } = endpoint;
  if (state === 'deleted') throw new Error('an endpoint that is deleted is not shown');
  return {
    ...{ endpointId, url, events: [...events], description, state },
    failingSince: timeOf(failingSinceMs),
    switchedOffAt: timeOf(switchedOffAtMs),
    secretOverlapUntil: timeOf(overlapUntilMs > nowMs ? overlapUntilMs : null),
    createdAt: toIso(endpoint.createdAtMs),
    updatedAt: toIso(endpoint.updatedAtMs),
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : toIso(ms);
}
