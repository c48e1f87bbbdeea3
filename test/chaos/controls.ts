/**
 * The controls: code with one safeguard taken out, and the row that must notice.
 *
 * Invariant: what is planted is named by module and function, and must be there; a control that is not caught means that
 * its row proves nothing. Each row has at least one (controls.test.ts). Loaded by the driver, and by `steps.ts` in the
 * processes in which a fault is planted, so nothing shipped is imported here but within a fault.
 */
import * as z from 'zod';
import {
  acknowledgedOnArrival,
  capIgnored,
  captureWithoutReservation,
  duplicateOnlyAcknowledged,
  eventsNotRecorded,
  expiryIgnoresPurchase,
  failuresAcknowledged,
  mirroredBeforeCommit,
  moveBeyondAvailable,
  noInbox,
  reservationsMirroredInAnyOrder,
  sendFailureTakenAsSuccess,
  stockMirroredInAnyOrder,
  ticketGivenWhenDecided,
  unreadableAcknowledged,
  windowJudgedWhenDecided,
} from '../support/faults.ts';
import { inLua, inModule, type Planted } from '../support/plant.ts';

export interface Control {
  readonly name: string;
  /** The row that must fail. */
  readonly row: string;
  readonly faults: readonly Planted[];
  /** Whether the fault is in what the HTTP host runs. */
  readonly http?: boolean;
  /** A constraint of a table that would hide the fault, dropped while it is planted. */
  readonly without?: { readonly table: string; readonly constraint: string; readonly check: string };
}

/** Faults that more than one row must notice. */
const nothingRebuilt = inModule(() => import('#mirror/mirror.ts'), { requestRebuild: () => async () => undefined });
const newKeyForEachCharge = inModule(() => import('#purchase/payment-gateway.ts'), {
  chargeKey: (real) => (purchaseId) => real(purchaseId) + Math.random(),
});
const gateErrorsAnswered = inModule(() => import('#reservation/request.ts'), {
  judge:
    (real) =>
    async (...args) => {
      const verdict = await real(...args);
      if (verdict === 'gate unavailable') throw new Error('the gate cannot be asked');
      return verdict;
    },
});

/** An answer of the provider that settles nothing is taken for a decline. */
function declinedFor(outcome: 'unknown' | 'unsent'): Planted {
  return inModule(() => import('#purchase/payment-gateway.ts'), {
    openPaymentGateway: (real) => (options) => {
      const payments = real(options);
      const declined = (answer: Awaited<ReturnType<typeof payments.find>>): typeof answer =>
        answer.outcome === outcome ? { outcome: 'declined', reason: 'timeout' } : answer;
      return {
        ...payments,
        charge: async (order) => declined(await payments.charge(order)),
        find: async (purchaseId) => declined(await payments.find(purchaseId)),
        refund: async (order) => declined(await payments.refund(order)),
      };
    },
  });
}

/** What webhooks of Toss have said, by their order. */
const saidByToss = new Map<string, { status: string; paymentKey: string; totalAmount: number }>();

/** An unsigned webhook of Toss is believed instead of Toss. */
const tossWebhookBelieved = inModule(() => import('#purchase/toss-webhook.ts'), {
  orderIn: (real) => (event) => {
    const { data } = (event ?? {}) as { data?: { orderId: string; status: string } };
    if (data) saidByToss.set(data.orderId, data as never);
    return real(event);
  },
  askedAtToss: (real) => async (deps, orderId, address) => {
    const asked = await real(deps, orderId, address);
    const said = saidByToss.get(orderId ?? '');
    if (!asked || 'refused' in asked || said?.status !== 'DONE') return asked;
    const { paymentKey: chargeId, totalAmount: amountMinor } = said;
    const reference = asked.purchaseId;
    return { ...asked, answers: [{ outcome: 'captured', chargeId, amountMinor, currency: 'KRW', reference }] };
  },
});

/** Reconcile of a small sale takes as many steps as that of a large one. */
const smallSteps = inModule(() => import('#reconcile/reconcile.ts'), {
  reconcileOnTrigger: (real) => (deps, batch, deadlineMs) =>
    real(deps, batch, deadlineMs, {
      ...{ rowsPerPage: 20, fieldsPerPage: 200, rowsInOneSum: 50_000, rowsPerSum: 5_000 },
      ...{ workPerStep: 40, stepMs: 1_500 },
    }),
});

/** Waits for some work, and passes over its error if it is of this kind. */
async function ignoring(work: Promise<unknown>, ignored: (error: unknown) => boolean): Promise<void> {
  await work.catch((error) => {
    if (!ignored(error)) throw error;
  });
}

export const controls: readonly Control[] = [
  { name: 'no-inbox', row: 'duplicates', faults: [noInbox] },
  { name: 'acknowledge-before-commit', row: 'mysql-dies', faults: [acknowledgedOnArrival] },
  { name: 'cap-not-checked-by-worker', row: 'redis-slow', faults: [capIgnored] },
  { name: 'mirror-without-compare-and-set', row: 'stale-writer', faults: [stockMirroredInAnyOrder] },
  { name: 'reservations-mirrored-in-any-order', row: 'stale-writer', faults: [reservationsMirroredInAnyOrder] },
  { name: 'duplicate-only-acknowledged', row: 'timeout-mid-batch', faults: [duplicateOnlyAcknowledged] },
  { name: 'cache-before-commit', row: 'commit-reply-lost', faults: [mirroredBeforeCommit] },
  {
    name: 'unknown-commit-taken-as-success',
    row: 'commit-reply-lost',
    faults: [
      inModule(() => import('#platform/mysql/mysql.ts'), {
        commit: (real) => (connection) => real(connection).catch(() => undefined),
      }),
    ],
  },
  { name: 'poison-acknowledged', row: 'poison', faults: [unreadableAcknowledged] },
  {
    name: 'batch-fails-together',
    row: 'one-of-ten-throws',
    faults: [inModule(() => import('#platform/handlers/queue.ts'), { mayDivide: () => () => false })],
  },
  { name: 'no-outbox-row', row: 'put-partly-fails', faults: [eventsNotRecorded] },
  {
    name: 'bus-error-codes-ignored',
    row: 'put-partly-fails',
    faults: [inModule(() => import('#platform/aws/eventbridge.ts'), { isPublished: () => () => true })],
  },
  {
    name: 'no-sweep',
    row: 'two-relays',
    faults: [inModule(() => import('#events/outbox.ts'), { sweepOutbox: () => async () => 0 })],
  },
  { name: 'window-by-the-workers-clock', row: 'clocks', faults: [windowJudgedWhenDecided] },
  { name: 'timeout-taken-as-failure', row: 'provider-misbehaves', faults: [declinedFor('unknown')] },
  { name: 'a-new-key-for-each-charge', row: 'provider-misbehaves', faults: [newKeyForEachCharge] },
  {
    name: 'sale-without-ledger',
    row: 'breaker-open',
    faults: [
      inModule(() => import('#sale/ledger.store.ts'), {
        recordMovements: (real) => (tx, movements, nowMs) =>
          real(
            tx,
            movements.filter(({ kind }) => kind !== 'SELL'),
            nowMs,
          ),
      }),
    ],
  },
  { name: 'failing-provider-declines', row: 'breaker-open', faults: [declinedFor('unsent')] },
  {
    name: 'gate-recount-missing',
    row: 'mirror-falsified',
    faults: [inModule(() => import('#reconcile/check-claims.ts'), { recountGate: () => async () => [] })],
  },
  { name: 'send-failure-answered-202', row: 'queue-dies', http: true, faults: [sendFailureTakenAsSuccess] },
  {
    name: 'failed-entries-ignored',
    row: 'send-partly-fails',
    http: true,
    faults: [
      inModule(() => import('#platform/aws/sqs.ts'), {
        acceptedIds: (real) => (answer) => new Set([...real(answer), ...(answer.Failed ?? []).map(({ Id }) => Id)]),
      }),
    ],
  },
  {
    name: 'returned-claim-loses-its-ticket',
    row: 'send-reply-lost',
    http: true,
    faults: [inLua('lib/mirror/return-claim.lua', { keepTicket: "redis.call('HDEL', bucket, field)" })],
  },
  {
    name: 'reservation-id-at-random',
    row: 'send-reply-lost',
    http: true,
    faults: [
      inModule(() => import('#reservation/reservation-id.ts'), {
        deriveReservationId: (real) => (saleId, customerId, key) => real(saleId, customerId, key + Math.random()),
      }),
    ],
  },
  { name: 'acceptance-needs-redis', row: 'both-stores-down', http: true, faults: [gateErrorsAnswered] },
  { name: 'place-in-line-by-delivery', row: 'duplicates', faults: [ticketGivenWhenDecided] },
  {
    name: 'everybody-waits-for-the-queue',
    row: 'overload',
    http: true,
    faults: [inModule(() => import('#platform/aws/sqs.ts'), { isBacklogged: () => () => false })],
  },
  { name: 'no-rebuild-when-redis-forgot', row: 'flushall', http: true, faults: [nothingRebuilt] },
  {
    name: 'notices-without-inbox',
    row: 'duplicates',
    faults: [
      inModule(() => import('#notification/notification.store.ts'), {
        storeNotices: (real) => (db, notices) =>
          real(
            db,
            notices.map((one) => ({ ...one, version: one.version * 100 + Math.floor(Math.random() * 100) })),
          ),
      }),
    ],
  },
  {
    name: 'statements-without-transaction',
    row: 'crash-points',
    faults: [
      inModule(() => import('#platform/mysql/mysql.ts'), {
        begin: () => async (connection) => {
          await connection.query('SET autocommit = 1');
        },
      }),
    ],
  },
  { name: 'a-new-key-after-a-death', row: 'pay-crash-points', faults: [newKeyForEachCharge] },
  { name: 'acknowledged-on-arrival', row: 'random-deaths', faults: [acknowledgedOnArrival] },
  {
    name: 'failures-taken-as-success',
    row: 'crowd',
    http: true,
    faults: [failuresAcknowledged, sendFailureTakenAsSuccess],
  },
  {
    name: 'no-guard-in-update',
    row: 'holder-pauses',
    faults: [
      moveBeyondAvailable,
      inModule(() => import('#sale/sale.store.ts'), { moveGuards: { fencingToken: '1 = 1', line: '1 = 1' } }),
    ],
    without: {
      table: 'sales',
      constraint: 'sales_stock_not_negative',
      check: 'available >= 0 AND allocated >= 0 AND sold >= 0 AND waitlisted >= 0',
    },
  },
  {
    name: 'duplicates-ignored-by-insert',
    row: 'pause-past-visibility',
    faults: [
      noInbox,
      // One by one, as by INSERT IGNORE: what is there already stays, and the others are written.
      inModule(() => import('#reservation/reservation.store.ts'), {
        insertDecided: (real) => async (tx, decisions) => {
          const { AlreadyDecided } = await import('#reservation/reservation.store.ts');
          for (const one of decisions) await ignoring(real(tx, [one]), (error) => error instanceof AlreadyDecided);
        },
      }),
      inModule(() => import('#sale/ledger.store.ts'), {
        recordMovements: (real) => async (tx, movements, nowMs) => {
          const { isDuplicateKey } = await import('#platform/mysql/mysql.ts');
          for (const one of movements) await ignoring(real(tx, [one], nowMs), (error) => isDuplicateKey(error));
        },
      }),
    ],
  },
  { name: 'redelivery-without-inbox', row: 'malformed-answer', faults: [noInbox] },
  { name: 'nothing-rebuilt-after-a-loss', row: 'redis-dies', http: true, faults: [nothingRebuilt] },
  {
    name: 'reconcile-repairs-no-reservations',
    row: 'redis-stale',
    faults: [inModule(() => import('#reconcile/check-claims.ts'), { isBehind: () => () => false })],
  },
  {
    name: 'redis-waited-for',
    row: 'redis-hangs',
    http: true,
    faults: [inModule(() => import('#platform/redis/redis.ts'), { partOfLimitMs: () => () => 1_500 })],
  },
  { name: 'gate-errors-answered', row: 'redis-full', http: true, faults: [gateErrorsAnswered] },
  {
    name: 'acceptance-asks-mysql',
    row: 'mysql-hangs',
    http: true,
    faults: [
      inModule(() => import('#reservation/request.ts'), {
        judge: (real) => async (deps, applicant) => {
          const { primeMirror } = await import('#mirror/mirror.ts');
          await primeMirror(deps, applicant.saleId).catch(() => undefined);
          return real(deps, applicant);
        },
      }),
    ],
  },
  {
    name: 'no-rollback-after-a-lock-wait',
    row: 'deadlock',
    faults: [
      inModule(() => import('#platform/mysql/mysql.ts'), {
        openDb:
          (real) =>
          (...args) => {
            const db = real(...args);
            const transaction: typeof db.transaction = (work) =>
              db.transaction(async (tx) => {
                const { isRetryable } = await import('#platform/mysql/mysql.ts');
                return work(tx).catch(async (error) => {
                  if (isRetryable(error)) await tx.change('COMMIT');
                  throw error;
                });
              });
            return { ...db, transaction };
          },
      }),
    ],
  },
  { name: 'failed-begin-acknowledged', row: 'begin-fails', faults: [failuresAcknowledged] },
  { name: 'full-disk-acknowledged', row: 'disk-full', faults: [failuresAcknowledged] },
  { name: 'failed-fsync-acknowledged', row: 'fsync-eio', faults: [failuresAcknowledged] },
  {
    name: 'forgotten-before-published',
    row: 'relay-dies',
    faults: [
      inModule(() => import('#events/outbox.ts'), {
        publishEvents: (real) => async (deps, events) => {
          await real({ db: deps.db, bus: { publish: async (all) => all.map(() => true) } }, events);
          await real(deps, events);
        },
      }),
    ],
  },
  {
    name: 'old-events-dropped',
    row: 'consumer-down',
    faults: [
      inModule(() => import('#notification/notify.ts'), {
        notify: (real) => (deps, batch, deadlineMs) =>
          real(
            deps,
            batch.filter(({ sentAtMs }) => Date.now() - sentAtMs < 3_000),
            deadlineMs,
          ),
      }),
    ],
  },
  {
    name: 'window-opened-by-its-trigger',
    row: 'rules-unreliable',
    http: true,
    faults: [
      inModule(() => import('#sale/phase.ts'), {
        purchaseRefusal: (real) => (sale, deadlineMs, nowMs) => {
          const { phase } = sale as { phase?: string };
          const opensAtMs = sale.purchaseOpensAtMs;
          return real(sale, deadlineMs, phase === 'purchasing' ? Math.max(nowMs, opensAtMs) : opensAtMs - 1);
        },
      }),
    ],
  },
  {
    name: 'expiry-and-capture-both-win',
    row: 'expiry-races-payment',
    faults: [expiryIgnoresPurchase, captureWithoutReservation],
  },
  {
    name: 'any-amount-is-bought',
    row: 'provider-waits-and-refuses',
    faults: [inModule(() => import('#purchase/settle.ts'), { mismatchOf: () => () => undefined })],
  },
  {
    name: 'receipt-not-read',
    row: 'asked-without-redis',
    http: true,
    faults: [inModule(() => import('#reservation/receipt.ts'), { readReceipt: () => () => undefined })],
  },
  {
    name: 'pause-not-given-back',
    row: 'operators-at-work',
    http: true,
    faults: [
      inModule(() => import('#launch/change-sale.ts'), {
        resumeSale: (real) => async (deps, saleId) => {
          const refused = await real(deps, saleId, { keepTimes: true });
          const confirmation = 'refused' in refused ? String(refused.facts?.confirmation) : undefined;
          return confirmation === undefined ? refused : real(deps, saleId, { keepTimes: true, confirmation });
        },
      }),
    ],
  },
  {
    name: 'called-off-and-kept',
    row: 'operators-at-work',
    faults: [inModule(() => import('#purchase/refund.ts'), { orderSharesBack: () => async () => [] })],
  },
  {
    name: 'nothing-offered',
    row: 'operators-at-work',
    http: true,
    faults: [inModule(() => import('#reservation/offer.ts'), { decideOffers: () => () => [] })],
  },
  {
    name: 'other-amount-bought',
    row: 'provider-disagrees',
    faults: [inModule(() => import('#purchase/settle.ts'), { mismatchOf: () => () => undefined })],
  },
  {
    name: 'refusal-not-recorded',
    row: 'provider-disagrees',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) =>
          answer.outcome === 'refused' ? { kind: 'nothing' } : real(purchase, items, reservations, answer, known),
      }),
    ],
  },
  { name: 'toss-webhook-believed', row: 'toss-misbehaves', http: true, faults: [tossWebhookBelieved] },
  {
    name: 'a-new-key-for-each-refund',
    row: 'toss-misbehaves',
    faults: [
      inModule(() => import('#purchase/payment-gateway.ts'), {
        refundIdempotencyKey: (real) => (order) => `${real(order)}:${Math.random()}`,
      }),
    ],
  },
  { name: 'a-new-key-for-each-charge-at-stripe', row: 'stripe-misbehaves', faults: [newKeyForEachCharge] },
  {
    name: 'stripes-signature-not-checked',
    row: 'stripe-misbehaves',
    http: true,
    faults: [
      inModule(() => import('#platform/payments/stripe.ts'), {
        stripeEvent: (real) => (secrets, message, nowMs) =>
          real(secrets, message, nowMs) ?? JSON.parse(message.rawBody),
      }),
    ],
  },
  {
    name: 'one-breaker-for-all-providers',
    row: 'one-provider-down',
    faults: [
      inModule(() => import('#platform/redis/shared-circuit-breaker.ts'), {
        sharedBreaker: (real) => (deps, _, options) => real(deps, 'payments', options),
      }),
    ],
  },
  {
    name: 'a-customer-for-each-first-call',
    row: 'issuer-away',
    http: true,
    faults: [
      inModule(() => import('#identity/person-key.ts'), {
        claimKey: (real) => (deps, tx, kind, key, customerId) =>
          real(deps, tx, kind, kind === 'external' ? key + Math.random() : key, customerId),
      }),
    ],
  },
  {
    name: 'keys-of-an-issuer-forgotten-when-read',
    row: 'issuer-away',
    faults: [
      inModule(() => import('#identity/issuer-keys.ts'), {
        readIssuerKeys: (real) => async (deps) => {
          await deps.db.change('DELETE FROM issuer_keys');
          return real(deps);
        },
      }),
    ],
  },
  {
    name: 'labels-written-anew',
    row: 'labels-under-kills',
    faults: [
      inModule(() => import('#labels/label.store.ts'), {
        insertLabelsOnce: (real) => async (tx, labelled, nowMs) => {
          const { toBytes } = await import('#platform/kernel/ids.ts');
          const ids = labelled.map(({ subjectId }) => toBytes(subjectId));
          if (ids.length > 0) await tx.change('DELETE FROM labels WHERE subject_id IN (?)', [ids]);
          await real(tx, labelled, nowMs);
        },
      }),
    ],
  },
  {
    name: 'command-without-its-label',
    row: 'labels-under-kills',
    http: true,
    faults: [
      inModule(() => import('#reservation/request.ts'), {
        commandFor:
          (real) =>
          (...args) => {
            const { label: _, ...command } = real(...args);
            return command;
          },
      }),
    ],
  },
  {
    name: 'webhook-given-up-at-once',
    row: 'webhook-receivers',
    faults: [
      inModule(() => import('#webhooks/retry.ts'), {
        afterAttempt: (real) => (delivery, outcome, nowMs, random) => {
          const changed = real(delivery, outcome, nowMs, random);
          return outcome.kind === 'not-taken' ? { ...changed, state: 'failed' } : changed;
        },
      }),
    ],
  },
  {
    name: 'redirects-of-webhooks-followed',
    row: 'webhook-receivers',
    faults: [
      inModule(() => import('#platform/security/outside-post.ts'), {
        openOutside: (real) => (options) => ({
          ...real(options),
          post: async (url, headers, body, limitMs) =>
            (await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(limitMs) })).status,
        }),
      }),
    ],
  },
  {
    name: 'read-only-taken-for-a-failure',
    row: 'mysql-read-only',
    faults: [
      inModule(() => import('#platform/resilience/outage.ts'), {
        mysqlErrorNumber: (real) => (error) => ([1290, 1792, 1836].includes(real(error)) ? 1064 : real(error)),
      }),
    ],
  },
  {
    name: 'demoted-primary-kept',
    row: 'redis-demoted',
    http: true,
    faults: [inModule(() => import('#platform/redis/redis.ts'), { isDemoted: () => () => false })],
  },
  {
    name: 'job-without-its-rest',
    row: 'long-job-killed',
    http: true,
    faults: [
      inModule(() => import('#launch/job.store.ts'), {
        insertJob: (real) => (tx, job) => real(tx, { ...job, finishedAtMs: job.startedAtMs }),
      }),
    ],
  },
  {
    name: 'opening-without-its-rest',
    row: 'opening-killed',
    faults: [
      inModule(() => import('#launch/job.store.ts'), {
        insertJob: (real) => (tx, job) => real(tx, { ...job, finishedAtMs: job.startedAtMs }),
      }),
    ],
  },
  {
    name: 'reconcile-over-after-one-step',
    row: 'reconcile-killed',
    faults: [
      smallSteps,
      inModule(() => import('#reconcile/reconciliation.store.ts'), {
        updateReconciliation: (real) => (tx, run) =>
          real(tx, { ...run, state: 'done', finishedAtMs: run.finishedAtMs ?? run.movedAtMs }),
      }),
    ],
  },
  {
    name: 'sweep-over-after-one-step',
    row: 'long-jobs-at-once',
    faults: [
      inModule(() => import('#launch/cancellation.store.ts'), {
        updateCancellation: (real) => (tx, cancellation) =>
          real(tx, { ...cancellation, sweptAtMs: cancellation.sweptAtMs ?? cancellation.calledOffAtMs }),
      }),
    ],
  },
  {
    name: 'everybody-in-one-step',
    row: 'small-limits',
    http: true,
    faults: [inModule(() => import('#launch/announce.ts'), { rowsPerStep: () => () => 1_000_000 })],
  },
  {
    name: 'ends-left-to-the-minute',
    row: 'offers-run-out',
    faults: [inModule(() => import('#launch/boundaries.ts'), { sendBoundaries: () => async () => undefined })],
  },
  { name: 'window-judged-a-day-later', row: 'queue-a-day-behind', faults: [windowJudgedWhenDecided] },
  { name: 'lost-connections-acknowledged', row: 'packet-loss', faults: [failuresAcknowledged] },
  {
    name: 'messages-must-be-known-to-the-letter',
    row: 'two-builds',
    faults: [
      inModule(() => import('#platform/handlers/queue.ts'), {
        queueHandler: (real) => (consumer) => real(strictly(consumer)),
      }),
    ],
  },
];

/** A consumer that refuses fields it does not know. */
function strictly<Consumer extends { message: z.ZodType }>(consumer: Consumer): Consumer {
  const { message } = consumer;
  const inner = message instanceof z.ZodReadonly ? message.unwrap() : message;
  return inner instanceof z.ZodObject ? { ...consumer, message: inner.strict() } : consumer;
}

/** Nothing is planted; what a control is given to fail with must not itself make its row fail. */
const placebo = [inModule(() => import('#reservation/allocate.ts'), { allocateBatch: (real) => real })];

/** What the next build says more than this one: fields that the other must pass over. */
const nextBuild = [
  inModule(() => import('#reservation/request.ts'), {
    commandFor:
      (real) =>
      (...args) => ({ ...real(...args), channel: 'shop' }),
  }),
  inModule(() => import('#events/outbox.ts'), {
    newEvent: (real) => (name, detail, nowMs) => {
      const event = real(name, detail, nowMs);
      return { ...event, detail: JSON.stringify({ ...JSON.parse(event.detail), build: 'next' }) };
    },
  }),
];

const others: Readonly<Record<string, readonly Planted[]>> = {
  placebo,
  'next-build': nextBuild,
  'small-steps': [smallSteps],
};

/** What is planted under a name: that of a control, `placebo`, `next-build` or `small-steps`. */
export function faultsOf(name: string): readonly Planted[] {
  const known = controls.find((control) => control.name === name)?.faults ?? others[name];
  if (!known) throw new Error(`nothing is planted under the name ${name}`);
  return known;
}

/** Everything that is planted. */
export const allFaults = [...controls.flatMap(({ faults }) => faults), ...placebo, ...nextBuild];
