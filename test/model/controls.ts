/**
 * The controls: shipped code with one safeguard taken out, which the model must notice. A model that does not notice
 * proves nothing about the safeguard.
 *
 * Nothing shipped is imported here, but as types: a fault must be planted before its module is loaded, and while the model
 * runs nothing is awaited but what it has chosen.
 */
import type { AlreadyDecided } from '#reservation/reservation.store.ts';
import {
  acknowledgedOnArrival,
  capIgnored,
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
  takenForGranted,
  ticketGivenWhenDecided,
  unreadableAcknowledged,
  windowJudgedWhenDecided,
} from '../support/faults.ts';
import { asId } from '../support/ids.ts';
import { inLua, inModule, type Planted } from '../support/plant.ts';

export interface Control {
  readonly name: string;
  /** What is broken, in a sentence. */
  readonly description: string;
  readonly faults: readonly Planted[];
  /** A CHECK constraint that would hide the fault, taken away with it. */
  readonly without?: { readonly table: string; readonly constraint: string };
  /** The invariants that may notice. */
  readonly caughtBy: readonly string[];
  /** Where to look first: small cases by name. */
  readonly cases?: readonly string[];
  /** How many requests the episodes have that come next; small ones fail soonest, if they can. */
  readonly sizes?: readonly number[];
}

export const controls: readonly Control[] = [
  {
    name: 'no-guard-in-update',
    description: 'The stock update does not say that enough must be available, and neither does the table.',
    faults: [moveBeyondAvailable],
    without: { table: 'sales', constraint: 'sales_stock_not_negative' },
    caughtBy: ['I1'],
    cases: ['last-unit'],
  },
  {
    name: 'no-inbox',
    description: 'A request that was decided before is decided again.',
    faults: [noInbox],
    caughtBy: ['I2', 'I3', 'I9'],
    cases: ['last-unit'],
  },
  {
    name: 'duplicate-key-ignored',
    description: 'A reservation that somebody else has written in the meantime is taken for written.',
    faults: [
      inModule(() => import('#reservation/reservation.store.ts'), {
        insertDecided: (real) => (tx, decisions) =>
          real(tx, decisions).catch((error: Partial<AlreadyDecided>) => {
            if (error.what !== 'reservation') throw error;
          }),
      }),
    ],
    caughtBy: ['I1', 'I3', 'I5', 'I9'],
    cases: ['last-unit'],
  },
  {
    name: 'repeats-never-looked-up',
    description: 'Nobody looks up what is decided already, not even after being refused for it.',
    faults: [
      inModule(() => import('#reservation/allocate.ts'), {
        attempt: (real) => (tx, claims, nowMs, mode) => real(tx, claims, nowMs, { ...mode, mayBeDecided: [] }),
      }),
    ],
    caughtBy: ['I9'],
    cases: ['last-unit'],
  },
  {
    name: 'others-never-looked-up',
    description: 'Nobody looks up what else a customer has in a sale, not even after being refused for it.',
    faults: [
      inModule(() => import('#reservation/allocate.ts'), {
        attempt: (real) => (tx, claims, nowMs, mode) => real(tx, claims, nowMs, { ...mode, mayHaveOthers: [] }),
      }),
    ],
    caughtBy: ['I9'],
    cases: ['cap'],
  },
  {
    name: 'acknowledge-before-commit',
    description: 'A batch is acknowledged while it is still being decided.',
    faults: [acknowledgedOnArrival],
    caughtBy: ['I2', 'I6', 'I9'],
    cases: ['unknown-commit'],
  },
  {
    name: 'failed-batch-acknowledged',
    description: 'A batch whose transaction failed is acknowledged.',
    faults: [failuresAcknowledged],
    caughtBy: ['I2', 'I9'],
    cases: ['unknown-commit'],
  },
  {
    name: 'unreadable-acknowledged',
    description: 'A message that cannot be read is acknowledged, and nobody ever sees it.',
    faults: [unreadableAcknowledged],
    caughtBy: ['I2'],
    cases: ['poison'],
  },
  {
    name: 'buried-without-a-letter',
    description: 'A message that is given up is acknowledged although it could not be put among the dead letters.',
    faults: [
      inModule(() => import('#platform/handlers/queue.ts'), {
        settleFailures: (real) => async (deps, queue, records, failures) => {
          await real(deps, queue, records, failures);
          for (const [messageId, cause] of failures) if (cause.kind === 'unreadable') failures.delete(messageId);
        },
      }),
    ],
    caughtBy: ['I2'],
    cases: ['poison'],
  },
  {
    name: 'cache-before-commit',
    description: 'The mirror is written before the transaction commits.',
    faults: [mirroredBeforeCommit],
    caughtBy: ['I6'],
    cases: ['last-unit'],
  },
  {
    name: 'duplicate-only-acknowledged',
    description: 'A duplicate is acknowledged without refreshing the mirror.',
    faults: [duplicateOnlyAcknowledged],
    caughtBy: ['I6'],
    cases: ['last-unit'],
  },
  {
    name: 'duplicate-with-stale-stock',
    description: 'A duplicate refreshes the mirror with stock that was read before the first delivery committed.',
    faults: [
      inModule(() => import('#reservation/allocate.ts'), {
        unmovedStock: (real) => (tx, saleIds, sales) => real(tx, saleIds, sales, false),
      }),
    ],
    caughtBy: ['I6'],
    cases: ['accept'],
  },
  {
    name: 'mirror-without-compare-and-set',
    description: 'Whoever comes last writes the stock in the mirror, however old it is.',
    faults: [stockMirroredInAnyOrder],
    caughtBy: ['I6'],
    cases: ['three-workers', 'cancel-twice'],
  },
  {
    name: 'claims-without-compare-and-set',
    description: 'Whoever comes last writes a reservation in the mirror, however old it is.',
    faults: [reservationsMirroredInAnyOrder],
    caughtBy: ['I6'],
    cases: ['cancel-and-offer'],
  },
  {
    name: 'gate-never-counts-down',
    description: 'A decided request stays counted as undecided at the gate.',
    faults: [inLua('lib/mirror/mirror.lua', { countDecided: '' })],
    caughtBy: ['I6'],
    cases: ['accept', 'gate'],
  },
  {
    name: 'claim-not-returned',
    description: 'A request that could not be queued keeps its claim at the gate.',
    faults: [inModule(() => import('#mirror/gate.ts'), { returnClaim: () => async () => undefined })],
    caughtBy: ['I6'],
    cases: ['accept-once'],
  },
  {
    name: 'send-failure-taken-as-success',
    description: 'A request that could not be queued is answered with 202.',
    faults: [sendFailureTakenAsSuccess],
    caughtBy: ['I2'],
    cases: ['accept'],
  },
  {
    name: 'later-tickets-first',
    description: 'A batch is decided in the wrong order of tickets.',
    faults: [inModule(() => import('#reservation/decide.ts'), { byTicket: (real) => (a, b) => real(b, a) })],
    caughtBy: ['order'],
  },
  {
    name: 'cap-ignored',
    description: 'The cap per customer is not looked at when a request is decided.',
    faults: [capIgnored],
    caughtBy: ['I4'],
    cases: ['cap'],
  },
  {
    name: 'reservations-not-numbered',
    description: 'Requests of one customer that are decided at the same time do not collide.',
    faults: [
      inModule(() => import('#reservation/reservation.store.ts'), {
        insertDecided: (real) => (tx, decisions) =>
          real(
            tx,
            decisions.map((decision) => ({ ...decision, nth: decision.ticket % 1_000_003 })),
          ),
      }),
    ],
    caughtBy: ['I4'],
    cases: ['cap'],
  },
  {
    name: 'window-judged-when-decided',
    description: 'A request is refused for the time at which it is decided, not at which it was accepted.',
    faults: [windowJudgedWhenDecided],
    caughtBy: ['I8'],
  },
  {
    name: 'window-not-judged',
    description: 'A request that was accepted after the close, while the gate was away, is served.',
    faults: [
      inModule(() => import('#reservation/decide.ts'), {
        refusalByTerms:
          (real) =>
          (...args) => {
            const refusal = real(...args);
            return refusal === 'sale_closed' ? undefined : refusal;
          },
      }),
    ],
    caughtBy: ['I8'],
  },
  {
    name: 'ticket-given-when-decided',
    description: 'The place in line is given when the message is worked on, so that a redelivery moves it back.',
    faults: [ticketGivenWhenDecided],
    caughtBy: ['I3', 'I6', 'order'],
  },
  {
    name: 'nothing-offered',
    description: 'Units that come back are offered to nobody.',
    faults: [inModule(() => import('#reservation/offer.ts'), { decideOffers: () => () => [] })],
    caughtBy: ['I9'],
    cases: ['cancel-and-offer'],
  },
  {
    name: 'offers-out-of-order',
    description: 'Whoever joined the waitlist last is offered units first.',
    faults: [
      inModule(() => import('#reservation/offer.ts'), {
        decideOffers: (real) => (sale, available, waiting, nowMs) => {
          const turned = <One extends { ticket: number }>(one: One) => ({ ...one, ticket: -one.ticket });
          const offers = real(sale, available, waiting.map(turned), nowMs);
          return offers.map((offer) => ({ ...offer, waiting: turned(offer.waiting) }));
        },
      }),
    ],
    caughtBy: ['order'],
  },
  {
    name: 'offer-bought-after-its-end',
    description: 'An offer can be bought after its deadline.',
    faults: [
      inModule(() => import('#sale/phase.ts'), {
        purchaseRefusal: (real) => (sale, _, nowMs) => real(sale, null, nowMs),
      }),
    ],
    caughtBy: ['I8'],
    cases: ['offer-ends'],
  },
  {
    name: 'offer-ends-early',
    description: 'Offers are ended a minute before their deadline.',
    faults: [
      inModule(() => import('#reservation/reservation.store.ts'), {
        lockEndedOffers: (real) => (tx, saleId, nowMs, limit) => real(tx, saleId, nowMs + 60_000, limit),
      }),
    ],
    caughtBy: ['I8'],
    cases: ['offer-ends'],
  },
  {
    name: 'release-without-ledger',
    description: 'Units that come back are not written into the ledger.',
    faults: [
      inModule(() => import('#sale/ledger.store.ts'), {
        recordMovements: (real) => (tx, movements, nowMs) =>
          real(
            tx,
            movements.map((movement) => (movement.kind === 'RELEASE' ? { ...movement, units: 0 } : movement)),
            nowMs,
          ),
      }),
    ],
    caughtBy: ['I1'],
    cases: ['cancel-twice'],
  },
  {
    name: 'release-twice',
    description: 'Cancelling does not look whether the reservation has ended already.',
    faults: [
      inModule(() => import('#reservation/cancel.ts'), {
        judgeCancellation: (real) => (row) => (row.purchaseId === null ? 'cancel' : real(row)),
      }),
      inModule(() => import('#state/reservation-state.ts'), {
        mayMove: (real) => (from, to) => to === 'cancelled' || real(from, to),
      }),
    ],
    caughtBy: ['I1', 'I3', 'I5'],
    cases: ['cancel-twice'],
  },
  {
    name: 'expiry-ignores-purchase',
    description: 'When the window closes, what is being paid for expires too.',
    faults: [expiryIgnoresPurchase],
    caughtBy: ['I7'],
    cases: ['expiry-and-purchase'],
  },
  {
    name: 'bought-twice',
    description: 'A reservation that one purchase is paying for can be bought by another.',
    faults: [
      inModule(() => import('#purchase/request.ts'), {
        refusalByState: (real) => (row) => (row.state === 'allocated' ? undefined : real(row)),
      }),
      inModule(() => import('#reservation/reservation.store.ts'), { bindGuards: { free: '1 = 1' } }),
    ],
    caughtBy: ['I7', 'I9'],
    cases: ['two-purchases'],
  },
  {
    name: 'timeout-taken-as-failure',
    description: 'A payment that was not answered is taken for declined, and its units are given away.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) =>
          real(
            purchase,
            items,
            reservations,
            answer.outcome === 'unknown' ? { outcome: 'declined', reason: 'no answer' } : answer,
            known,
          ),
      }),
    ],
    caughtBy: ['I7', 'I9'],
    cases: ['payment'],
  },
  {
    name: 'capture-unconditional',
    description: 'A capture is taken for a purchase even if what it was for is gone, or is another purchase’s.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) => {
          const exist = items.every(({ reservationId }) => reservations.has(reservationId));
          return answer.outcome === 'captured' && purchase.state !== 'declined' && exist
            ? { kind: 'capture', capture: answer, calledOff: [] }
            : real(purchase, items, reservations, answer, known);
        },
      }),
    ],
    caughtBy: ['I5', 'I7', 'I9'],
    cases: ['payment'],
  },
  {
    name: 'late-capture-kept',
    description: 'A payment that is captured after it was given up is kept.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) =>
          answer.outcome === 'captured' && purchase.state === 'declined'
            ? { kind: 'nothing' }
            : real(purchase, items, reservations, answer, known),
      }),
      inModule(() => import('#purchase/provider.ts'), { isGivenUp: () => () => true }),
    ],
    caughtBy: ['I7'],
    cases: ['payment'],
  },
  {
    name: 'charged-under-a-new-key',
    description: 'A second attempt does not ask what became of the first, and charges under a key of its own.',
    faults: [
      inModule(() => import('#purchase/provider.ts'), {
        askProvider: (real) => (provider, purchase, nowMs, hasTime) => {
          const digit = purchase.attempts.toString(16).slice(-1);
          const keyed: typeof provider = {
            find: (purchaseId) => provider.find(purchaseId),
            refund: (order) => provider.refund(order),
            charge: (order) => provider.charge({ ...order, purchaseId: asId(order.purchaseId.slice(0, -1) + digit) }),
          };
          return real(keyed, { ...purchase, attempts: 0 }, nowMs, hasTime);
        },
      }),
    ],
    caughtBy: ['I7', 'I9'],
    cases: ['payment'],
  },
  {
    name: 'refund-without-release',
    description: 'A purchase is given back, but its units stay sold.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        planFor:
          (real) =>
          (...args) => ({ ...real(...args), refunded: [] }),
      }),
    ],
    caughtBy: ['I7'],
    cases: ['refund'],
  },
  {
    name: 'open-purchases-forgotten',
    description: 'The settle job sends nothing for purchases whose message was lost.',
    faults: [inModule(() => import('#purchase/resend-open.ts'), { resendOpenPurchases: () => async () => 0 })],
    caughtBy: ['I9'],
    cases: ['payment'],
  },
  {
    name: 'events-not-recorded',
    description: 'A decision is committed without the events that tell of it.',
    faults: [eventsNotRecorded],
    caughtBy: ['I5'],
  },
  {
    name: 'published-taken-for-granted',
    description: 'Whoever publishes after a commit forgets events that the bus has not taken.',
    faults: [
      inModule(() => import('#events/outbox.ts'), {
        publishEvents: (real) => (deps, events) => real({ db: deps.db, bus: takenForGranted(deps.bus) }, events),
      }),
    ],
    caughtBy: ['I5'],
    cases: ['unknown-commit'],
  },
  {
    name: 'relay-forgets-refused',
    description: 'The relay forgets events that the bus has refused.',
    faults: [
      inModule(() => import('#events/outbox.ts'), {
        sweepOutbox:
          (real) =>
          ({ db, bus, clock }, deadlineMs) =>
            real({ db, clock, bus: takenForGranted(bus) }, deadlineMs),
      }),
    ],
    caughtBy: ['I5'],
    cases: ['relays'],
  },
  {
    name: 'boundaries-multiply',
    description: 'Each boundary message sends all that follow it.',
    faults: [
      inModule(() => import('#launch/advance.ts'), {
        advanceSale: (real) => (deps, saleId, deadlineMs) => real(deps, saleId, deadlineMs, 'everything'),
      }),
    ],
    caughtBy: ['I9'],
    sizes: [600],
  },
  {
    name: 'reconcile-repairs-nothing',
    description: 'Reconcile reports reservations that the mirror has lost, and does not write them.',
    faults: [
      inModule(() => import('#reconcile/check-claims.ts'), {
        repairReservations: (real) => (deps, stock) => real(deps, stock, []),
      }),
    ],
    caughtBy: ['I6'],
    cases: ['redis-lost'],
  },
  {
    name: 'forgotten-claims-kept',
    description: 'Reconcile reports claims that nobody is going to decide, and leaves them at the gate for ever.',
    faults: [inModule(() => import('#mirror/gate.ts'), { returnForgottenClaim: () => async () => false })],
    caughtBy: ['I9'],
  },
];

/** What the controls plant, all of it. */
export const allFaults = controls.flatMap(({ faults }) => faults);
