/**
 * Accepts events: finds the rules that select an event, creates a delivery for each of their targets, and commits them.
 *
 * Invariant: an event is accepted, and its delivery begins, only after its deliveries are in the store. An event that no
 * rule selects is accepted and dropped, as in AWS.
 * Called by api.ts (PutEvents) and scheduler.ts (firings).
 */
import { randomUUID } from 'node:crypto';
import type { Target } from '@aws-sdk/client-eventbridge';
import type { Deliverer } from './delivery.ts';
import type { Faults } from './faults.ts';
import type { RegisteredRule, Registry } from './registry.ts';
import type { Delivery, Rule, Store } from './store.ts';

/** Retry policy of a target that sets none. */
export const defaultMaxAgeS = 86_400;
export const defaultMaxRetries = 185;

export interface AcceptDeps {
  store: Store;
  registry: Registry;
  deliverer: Deliverer;
  faults: Faults;
  region: string;
  account: string;
  now: () => number;
}

export interface IncomingEvent {
  source: string;
  detailType: string;
  timeMs: number;
  resources: string[];
  /** The detail as JSON text; targets get it unchanged. */
  detailText: string;
}

interface Envelope {
  id: string;
  /** The event as targets receive it. */
  text: string;
  /** The same as an object, for patterns. */
  event: Record<string, unknown>;
}

/** Accepts events of one bus together and returns their ids in order. `details` are the parsed detail texts. */
export async function acceptEvents(
  deps: AcceptDeps,
  events: { bus: string; event: IncomingEvent; detail: unknown }[],
): Promise<string[]> {
  const added: Delivery[] = [];
  const ids = events.map(({ bus, event, detail }) => {
    const envelope = envelopeOf(deps, event);
    envelope.event.detail = detail;
    for (const registered of deps.registry.rulesFor(bus, envelope.event)) {
      added.push(...deliveriesOf(deps, registered, envelope.text));
    }
    return envelope.id;
  });
  await commitAndDeliver(deps, added);
  return ids;
}

/**
 * Fires a scheduled rule: its targets get a "Scheduled Event" of the time it was due. With `next`, the rule's new
 * firing time is stored in the same transaction, so that a crash neither loses nor repeats a firing.
 */
export async function acceptFiring(
  deps: AcceptDeps,
  registered: RegisteredRule,
  dueMs: number,
  next?: Rule,
): Promise<void> {
  const { text } = envelopeOf(deps, {
    source: 'aws.events',
    detailType: 'Scheduled Event',
    timeMs: dueMs,
    resources: [registered.rule.arn],
    detailText: '{}',
  });
  await commitAndDeliver(deps, deliveriesOf(deps, registered, text), next);
}

async function commitAndDeliver(deps: AcceptDeps, added: Delivery[], fired?: Rule): Promise<void> {
  if (added.length > 0 || fired) await deps.store.commit({ added, fired });
  deps.deliverer.deliver(added);
}

function envelopeOf(deps: AcceptDeps, event: IncomingEvent): Envelope {
  const envelope = {
    version: '0',
    id: randomUUID(),
    'detail-type': event.detailType,
    source: event.source,
    account: deps.account,
    time: `${new Date(event.timeMs).toISOString().slice(0, 19)}Z`,
    region: deps.region,
    resources: event.resources,
  };
  const text = `${JSON.stringify(envelope).slice(0, -1)},"detail":${event.detailText}}`;
  return { id: envelope.id, text, event: envelope };
}

function deliveriesOf(deps: AcceptDeps, { rule, targets }: RegisteredRule, text: string): Delivery[] {
  const acceptedMs = deps.now();
  return targets.flatMap((target) => {
    const copies = deps.faults.duplicates() ? 2 : 1;
    return Array.from({ length: copies }, () => ({
      seq: deps.store.nextSeq(),
      route: routeOf(rule, target),
      body: text,
      acceptedMs,
      failures: 0,
      dueMs: acceptedMs + deps.faults.delayMs(),
    }));
  });
}

function routeOf(rule: Rule, target: Target) {
  return {
    ruleArn: rule.arn,
    targetArn: target.Arn ?? '',
    deadLetterArn: target.DeadLetterConfig?.Arn,
    maxAgeMs: (target.RetryPolicy?.MaximumEventAgeInSeconds ?? defaultMaxAgeS) * 1000,
    maxRetries: target.RetryPolicy?.MaximumRetryAttempts ?? defaultMaxRetries,
  };
}
