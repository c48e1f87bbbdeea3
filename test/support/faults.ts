/**
 * Faults that both the model and chaos plant: each takes one safeguard out of shipped code.
 *
 * Shipped code is imported here only as types and inside faults: a fault must be planted before its module is loaded.
 */
import type { Bus } from '#platform/aws/eventbridge.ts';
import { inLua, inModule } from './plant.ts';

/** A request that was decided before is decided again. */
export const noInbox = inModule(() => import('#reservation/allocate.ts'), {
  withoutDecided: () => (claims) => [...claims],
});

/** A duplicate is acknowledged without refreshing the mirror. */
export const duplicateOnlyAcknowledged = inModule(() => import('#reservation/allocate.ts'), {
  withRepeats: () => (changed) => changed,
});

/** The mirror is written before the transaction commits. */
export const mirroredBeforeCommit = inModule(() => import('#mirror/write-through.ts'), {
  writeThrough: (real) => (deps, work) =>
    real(deps, async (tx, nowMs) => {
      const { refreshMirror } = await import('#mirror/mirror.ts');
      const early = await work(tx, nowMs);
      if ('stocks' in early) {
        const { stocks, reservations } = early;
        await refreshMirror(
          deps,
          stocks.map((stock) => ({ ...stock, version: stock.version + 1 })),
          reservations,
        );
      }
      return early;
    }),
});

/** A batch is acknowledged while it is still being worked on. */
export const acknowledgedOnArrival = inModule(() => import('#platform/handlers/queue.ts'), {
  consume: () => async (consumer, deps, batch, deadlineMs) => {
    void Promise.resolve(consumer.run(deps, batch, deadlineMs)).catch(() => undefined);
  },
});

/** A batch that failed is acknowledged. */
export const failuresAcknowledged = inModule(() => import('#platform/handlers/queue.ts'), {
  consume: (real) => async (consumer, deps, batch, deadlineMs, failures) => {
    const found: typeof failures = new Map();
    await real(consumer, deps, batch, deadlineMs, found);
    for (const [messageId, cause] of found) if (cause.kind === 'repeated') failures.set(messageId, cause);
  },
});

/** An unreadable message is acknowledged instead of becoming a dead letter. */
export const unreadableAcknowledged = inModule(() => import('#platform/handlers/queue.ts'), {
  consumeBatch:
    (real) =>
    async (...args) => {
      const failures = await real(...args);
      return new Map([...failures].filter(([, cause]) => cause.kind !== 'unreadable'));
    },
});

/** The cap per customer is not checked when a request is decided. */
export const capIgnored = inModule(() => import('#reservation/decide.ts'), { isOverCap: () => () => false });

/** The window is checked at the time of the decision, not at the time of acceptance. */
export const windowJudgedWhenDecided = inModule(() => import('#reservation/decide.ts'), {
  refusalByTerms: (real) => (claim, sale, nowMs) => real({ ...claim, acceptedAtMs: nowMs }, sale, nowMs),
});

/** The ticket is issued when the message is processed, so a redelivery moves the request back in line. */
export const ticketGivenWhenDecided = inModule(() => import('#reservation/allocate.ts'), {
  distinctClaims: (real) => (batch) =>
    real(batch).map((claim) => ({ ...claim, ticket: Date.now() * 1000 + (claim.acceptedAtMs % 2) })),
});

/** A request that could not be queued is answered with 202. */
export const sendFailureTakenAsSuccess = inModule(() => import('#reservation/request.ts'), {
  sendAdmitted:
    (real) =>
    (...args) =>
      real(...args).catch(() => undefined),
});

/** Nothing is written into the outbox. */
export const eventsNotRecorded = inModule(() => import('#events/outbox.ts'), {
  recordEvents: () => async () => undefined,
});

/** The last writer of the mirror's stock wins, however old its version is. */
export const stockMirroredInAnyOrder = inLua('lib/mirror/mirror.lua', { isCurrent: 'return true' });

/** The last writer of a reservation in the mirror wins, however old its version is. */
export const reservationsMirroredInAnyOrder = inLua('lib/mirror/mirror.lua', { isKnown: 'return false' });

/** The stock update lacks its guard that enough is available. */
export const moveBeyondAvailable = inModule(() => import('#sale/sale.store.ts'), {
  moveGuards: { available: '1 = 1' },
});

/** When the window closes, reservations that are being paid for expire too. */
export const expiryIgnoresPurchase = inModule(() => import('#reservation/reservation.store.ts'), {
  endGuards: { notBeingPaid: '1 = 1' },
});

/** A capture settles a purchase as long as its reservations exist, in any state. */
export const captureWithoutReservation = inModule(() => import('#purchase/settle.ts'), {
  decideSettlement: (real) => (purchase, items, reservations, answer, known) => {
    const awaited = ['requested', 'unknown', 'requires_action'].includes(purchase.state);
    const exist = items.every(({ reservationId }) => reservations.has(reservationId));
    return answer.outcome === 'captured' && awaited && exist
      ? { kind: 'capture', capture: answer, calledOff: [] }
      : real(purchase, items, reservations, answer, known);
  },
});

/** The bus as seen by a caller that assumes that every event was accepted. */
export function takenForGranted(bus: Bus): Bus {
  return { publish: async (events) => (await bus.publish(events)).map(() => true) };
}
