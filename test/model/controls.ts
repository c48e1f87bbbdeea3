/**
 * The controls: shipped code with one safeguard taken out, which the model must notice. A model that does not notice
 * proves nothing about the safeguard.
 *
 * Shipped code is imported here only as types: a fault must be planted before its module is loaded. While the model
 * runs, a fault may await only calls of the model.
 */
import type { SaleId } from '#platform/kernel/ids.ts';
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
  /** A CHECK constraint that would hide the fault, removed with it. */
  readonly without?: { readonly table: string; readonly constraint: string };
  /** The invariants that may notice. */
  readonly caughtBy: readonly string[];
  /** Where to look first: small cases by name. */
  readonly cases?: readonly string[];
  /** How many requests the episodes have that come next; small ones fail soonest, if they can. */
  readonly sizes?: readonly number[];
}

/** What ends so is not offered by the transaction that ends it. */
function endedWithoutOffers(end: 'cancelled' | 'expired'): Planted {
  return inModule(() => import('#reservation/release.ts'), {
    endAndOffer: (real) => (tx, sale, rows, to, reason, nowMs) =>
      real(tx, to === end && rows.length > 0 ? { ...sale, waitlisted: 0 } : sale, rows, to, reason, nowMs),
  });
}

export const controls: readonly Control[] = [
  {
    name: 'no-guard-in-update',
    description: 'The stock update lacks its guard that enough is available, and the table its CHECK.',
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
    description: 'An insert that met a reservation of another batch is taken as a success.',
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
    description: 'Earlier decisions are never looked up, not even after a duplicate key.',
    faults: [
      inModule(() => import('#reservation/allocate.ts'), {
        attempt: (real) => (tx, claims, nowMs, mode) =>
          real(tx, claims, nowMs, { ...mode, mayBeDecided: [], mayBeUnderWay: new Set() }),
      }),
    ],
    caughtBy: ['I9'],
    cases: ['last-unit'],
  },
  {
    name: 'others-never-looked-up',
    description: "A customer's other reservations are never looked up, not even after a duplicate key.",
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
    name: 'labels-not-written',
    description: 'What a shop notes on a reservation is not written with its decision.',
    faults: [inModule(() => import('#labels/label.store.ts'), { insertLabelsOnce: () => async () => undefined })],
    caughtBy: ['I2'],
    sizes: [12, 40],
  },
  {
    name: 'unreadable-acknowledged',
    description: 'An unreadable message is acknowledged instead of becoming a dead letter.',
    faults: [unreadableAcknowledged],
    caughtBy: ['I2'],
    cases: ['poison'],
  },
  {
    name: 'given-up-without-a-dead-letter',
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
    description: "The last writer of the mirror's stock wins, however old its version is.",
    faults: [stockMirroredInAnyOrder],
    caughtBy: ['I6'],
    cases: ['three-workers', 'cancel-twice'],
  },
  {
    name: 'terms-overtaken-by-stock',
    description: 'Terms are mirrored only if no newer stock has come, whatever terms that came with.',
    faults: [inLua('lib/mirror/mirror.lua', { areCurrentTerms: 'return false' })],
    caughtBy: ['I6'],
    cases: ['resume-and-ask'],
  },
  {
    name: 'claims-without-compare-and-set',
    description: 'The last writer of a reservation in the mirror wins, however old its version is.',
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
    name: 'line-never-left',
    description: 'Who no longer waits keeps a bit in the line, so those behind are told a place too far back.',
    faults: [
      inLua('lib/mirror/mirror.lua', {
        noteWaiting: "if waits and not wasWaiting and position ~= '0' then redis.call('SETBIT', line, position, 1) end",
      }),
    ],
    caughtBy: ['I6'],
    cases: ['cancel-and-offer'],
  },
  {
    name: 'shown-without-its-reason',
    description: 'The mirror has a refusal without its reason, and shows it so.',
    faults: [inModule(() => import('#mirror/claims.ts'), { pack: (real) => (row) => real({ ...row, reason: null }) })],
    caughtBy: ['I6'],
    cases: ['last-unit'],
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
    description: 'The cap per customer is not checked when a request is decided.',
    faults: [capIgnored],
    caughtBy: ['I4'],
    cases: ['cap'],
  },
  {
    name: 'standing-ignored',
    description: 'What a sale asks of who reserves is not checked when a request is decided.',
    faults: [inModule(() => import('#sale/eligibility.ts'), { isEntitled: () => () => true })],
    caughtBy: ['I4'],
    cases: ['contact'],
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
    name: 'hidden-sale-decided',
    description: 'Whether a sale is public, and its code, are not checked when a request is decided.',
    faults: [inModule(() => import('#sale/visibility.ts'), { isThereFor: () => () => true })],
    caughtBy: ['I8'],
    cases: ['hidden'],
  },
  {
    name: 'window-judged-when-decided',
    description: 'The window is checked at the time of the decision, not at the time of acceptance.',
    faults: [windowJudgedWhenDecided],
    caughtBy: ['I8'],
  },
  {
    name: 'window-not-judged',
    description: 'A request that was accepted after the close, while the gate was unavailable, is served.',
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
    description: 'The ticket is issued when the message is processed, so a redelivery moves the request back in line.',
    faults: [ticketGivenWhenDecided],
    caughtBy: ['I3', 'I6', 'order'],
  },
  {
    name: 'nothing-offered',
    description: 'Released units are not offered to the waitlist.',
    faults: [inModule(() => import('#reservation/offer.ts'), { decideOffers: () => () => [] })],
    caughtBy: ['I9', 'I11'],
    cases: ['cancel-and-offer'],
  },
  {
    name: 'grant-without-its-row',
    description: 'An operator serves somebody out of turn, and nothing says so.',
    faults: [inModule(() => import('#launch/grant.store.ts'), { insertGrant: () => async () => undefined })],
    caughtBy: ['order'],
    cases: ['grant-and-offer'],
  },
  {
    name: 'grant-not-announced',
    description: 'A grant is committed without the event that tells its customer.',
    faults: [
      inModule(() => import('#reservation/release.ts'), {
        movedChange: (real) => (row) =>
          row.reason === 'granted' ? { ...real(row), version: row.version + 7 } : real(row),
      }),
    ],
    caughtBy: ['I5'],
    cases: ['grant-and-offer'],
  },
  {
    name: 'newcomers-pass-the-line',
    description: 'A request gets what is available, although somebody waits whom that can serve.',
    faults: [
      inModule(() => import('#reservation/decide.ts'), {
        decide: (real) => (claims, sales, held, nowMs) => real(claims, sales, held, nowMs, new Set()),
      }),
    ],
    caughtBy: ['I11'],
    cases: ['ask-in-a-pause'],
  },
  {
    name: 'offered-by-the-next-rule',
    description: 'What came free in a pause is not offered when the sale is resumed.',
    faults: [
      inModule(() => import('#reservation/release.ts'), {
        offerAndMove:
          (real) =>
          async (...args) => {
            const [, , ended, deltas] = args;
            const resumes = ended.length === 0 && Object.values(deltas).every((delta) => delta === 0);
            return resumes ? { stocks: [], reservations: [], events: [] } : real(...args);
          },
      }),
    ],
    caughtBy: ['I11'],
    cases: ['resume-and-ask'],
  },
  {
    name: 'cancelled-units-not-offered',
    description: 'What a customer gives back waits for the next rule, and newcomers get it.',
    faults: [endedWithoutOffers('cancelled')],
    caughtBy: ['I11'],
    cases: ['cancel-and-ask'],
  },
  {
    name: 'expired-units-not-offered',
    description: 'What an offer leaves at its end waits for the next rule.',
    faults: [endedWithoutOffers('expired')],
    caughtBy: ['I11'],
    cases: ['offer-ends'],
  },
  {
    name: 'refunded-units-not-offered',
    description: 'What a refund brings back waits for the next rule.',
    faults: [
      inModule(() => import('#reservation/release.ts'), {
        endAndOffer: (real) => (tx, sale, rows, to, reason, nowMs) =>
          real(tx, rows.length === 0 ? { ...sale, waitlisted: 0 } : sale, rows, to, reason, nowMs),
      }),
    ],
    caughtBy: ['I11'],
    cases: ['refund'],
  },
  {
    name: 'added-units-not-offered',
    description: 'Units that an operator adds wait for the next rule.',
    faults: [
      inModule(() => import('#reservation/release.ts'), {
        offerAndMove: (real) => (tx, sale, ended, deltas, nowMs) =>
          real(tx, deltas.allotment === undefined ? sale : { ...sale, waitlisted: 0 }, ended, deltas, nowMs),
      }),
    ],
    caughtBy: ['I11'],
    cases: ['cancel-twice'],
    sizes: [40, 12],
  },
  {
    name: 'hidden-behind-the-first',
    description: 'Whoever needs more than is available hides those who wait behind.',
    faults: [
      inModule(() => import('#reservation/reservation.store.ts'), {
        readWaiting: (real) => (tx, saleId, _, part) =>
          real(tx, saleId, 1, part && { ...part, atLeastUpTo: Number.MAX_SAFE_INTEGER }),
        readFitting: () => async () => undefined,
      }),
    ],
    caughtBy: ['I9', 'I11'],
    cases: ['hidden-demand'],
  },
  {
    name: 'offers-out-of-order',
    description: 'The waitlist is served last in, first out.',
    faults: [
      inModule(() => import('#reservation/offer.ts'), {
        decideOffers: (real) => (sale, available, waiting, nowMs) => {
          const turned = <One extends { ticket: number }>(one: One) => ({ ...one, ticket: -one.ticket });
          const offers = real(sale, available, waiting.map(turned), nowMs);
          return offers.map((offer) => ({ ...offer, waiting: turned(offer.waiting) }));
        },
      }),
      // Otherwise no more of them are read than the units can serve.
      inModule(() => import('#reservation/reservation.store.ts'), { readFitting: () => async () => undefined }),
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
        readEndedOffers: (real) => (sql, sale, nowMs, limit) => real(sql, sale, nowMs + 60_000, limit),
        lockEndedOffers: (real) => (tx, sale, nowMs, ids) => real(tx, sale, nowMs + 60_000, ids),
      }),
    ],
    caughtBy: ['I8'],
    cases: ['offer-ends'],
  },
  {
    name: 'pause-not-given-back',
    description: 'Resuming a sale leaves its times and deadlines as they were before the pause.',
    faults: [
      inModule(() => import('#launch/change-sale.ts'), {
        resumeSale: (real) => async (deps, saleId) => {
          const refused = await real(deps, saleId, { keepTimes: true });
          const confirmation = 'refused' in refused ? String(refused.facts?.confirmation) : undefined;
          return confirmation === undefined ? refused : real(deps, saleId, { keepTimes: true, confirmation });
        },
      }),
    ],
    caughtBy: ['I12'],
  },
  {
    name: 'change-not-told',
    description: 'Those who hold units or wait are not told that the times of their sale have changed.',
    faults: [inModule(() => import('#launch/announce.ts'), { announce: () => async () => ({ events: [] }) })],
    caughtBy: ['I12'],
  },
  {
    name: 'moved-deadlines-not-told',
    description: 'A move of times is made, and nobody is told.',
    faults: [
      inModule(() => import('#launch/move-plan.ts'), {
        planMove:
          (real) =>
          async (...args) => {
            const plan = await real(...args);
            return plan && 'isTold' in plan ? { ...plan, isTold: false } : plan;
          },
      }),
    ],
    caughtBy: ['I12'],
    cases: ['move-among-offers'],
    sizes: [12, 40],
  },
  {
    name: 'deadline-after-the-close',
    description: 'Who gets an offer is told its whole life, even beyond the close.',
    faults: [
      inModule(() => import('#reservation/offer.ts'), {
        offerDeadlineMs: (real) => (sale, nowMs) =>
          real({ ...sale, purchaseClosesAtMs: Number.MAX_SAFE_INTEGER }, nowMs),
      }),
    ],
    caughtBy: ['I12'],
    sizes: [40, 12],
  },
  {
    name: 'opening-not-announced-again',
    description:
      'A sale whose opening moves away stays open by its stored phase, so that the new opening is not announced.',
    faults: [
      inModule(() => import('#sale/sale-clock.ts'), {
        moveTimes: (real) => (sale, wanted, nowMs, shiftMs) => ({
          ...real(sale, wanted, nowMs, shiftMs),
          phase: sale.phase,
          remindedAtMs: sale.remindedAtMs,
        }),
      }),
    ],
    caughtBy: ['I12'],
    sizes: [12, 40],
  },
  {
    name: 'deadlines-stand-still',
    description: 'Offers are ended by the wall clock, as if no pause had been given back.',
    faults: [
      inModule(() => import('#reservation/reservation.store.ts'), {
        readEndedOffers: (real) => (sql, sale, nowMs, limit) => real(sql, { ...sale, clockOffsetMs: 0 }, nowMs, limit),
        lockEndedOffers: (real) => (tx, sale, nowMs, ids) => real(tx, { ...sale, clockOffsetMs: 0 }, nowMs, ids),
      }),
    ],
    caughtBy: ['I8'],
  },
  {
    name: 'release-without-ledger',
    description: 'Released units are not written to the ledger.',
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
    description: 'Cancelling does not check whether the reservation has ended already.',
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
    description: 'When the window closes, reservations that are being paid for expire too.',
    faults: [expiryIgnoresPurchase],
    caughtBy: ['I7'],
    cases: ['expiry-and-purchase'],
  },
  {
    name: 'paid-for-shown-as-free',
    description: 'The mirror goes on showing a reservation whole while a purchase is paying for it.',
    faults: [
      inModule(() => import('#mirror/claims.ts'), {
        pack: (real) => (row) => real({ ...row, purchaseId: null }),
      }),
    ],
    caughtBy: ['I6'],
    cases: ['two-purchases'],
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
    description: 'A payment without an answer is taken for declined, and its units are released.',
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
    description: 'A capture settles a purchase even if its reservations have ended or belong to another purchase.',
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
      // Given up at once, although the last attempt may still be on its way.
      inModule(() => import('#purchase/provider.ts'), {
        askProvider: (real) => (provider, purchase, nowMs, hasTime) =>
          real(provider, { ...purchase, createdAtMs: 0, updatedAtMs: 0 }, nowMs, hasTime),
      }),
    ],
    caughtBy: ['I7'],
    cases: ['payment'],
  },
  {
    name: 'charged-under-a-new-key',
    description: 'A second attempt does not query the first charge, and charges under a new idempotency key.',
    faults: [
      inModule(() => import('#purchase/provider.ts'), {
        askProvider: (real) => (provider, purchase, nowMs, hasTime) => {
          const digit = purchase.attempts.toString(16).slice(-1);
          const keyed: typeof provider = {
            find: (purchaseId) => provider.find(purchaseId),
            cancel: (purchaseId, reason) => provider.cancel(purchaseId, reason),
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
    name: 'refund-of-another-amount',
    description: 'The provider is asked to refund less than was ordered back, and the books say that it was all.',
    faults: [
      inModule(() => import('#purchase/provider.ts'), {
        askProvider: (real) => (provider, purchase, nowMs, hasTime) =>
          real(
            {
              find: (purchaseId) => provider.find(purchaseId),
              cancel: (purchaseId, reason) => provider.cancel(purchaseId, reason),
              charge: (order) => provider.charge(order),
              refund: (order) => provider.refund({ ...order, amountMinor: order.amountMinor - 1 }),
            },
            purchase,
            nowMs,
            hasTime,
          ),
      }),
    ],
    caughtBy: ['I13'],
    cases: ['refund'],
  },
  {
    name: 'ends-before-they-are-told',
    description: 'What a shorter time ends does not wait until everybody has been told of that time.',
    faults: [inModule(() => import('#sale/sale-clock.ts'), { isShorter: () => () => false })],
    caughtBy: ['I12'],
    cases: ['closed-earlier-while-announced'],
  },
  {
    name: 'rest-of-an-announcement-forgotten',
    description: 'An announcement tells its first page, and leaves no job for the rest.',
    faults: [inModule(() => import('#launch/job.store.ts'), { insertJob: () => async () => undefined })],
    caughtBy: ['I12', 'I9'],
    cases: ['announced-in-steps'],
  },
  {
    name: 'pause-not-told-after-a-move',
    description: 'A move in a pause takes the place of the announcement of the pause, which it does not say.',
    faults: [inModule(() => import('#launch/announce.ts'), { supersedes: () => () => true })],
    caughtBy: ['I12'],
    cases: ['two-announcements'],
    sizes: [12, 40],
  },
  {
    name: 'change-told-to-whose-time-is-over',
    description: 'A pause is told to holders whose own time was over before it, as if that time went on.',
    faults: [inModule(() => import('#launch/announce.ts'), { isOver: () => () => false })],
    caughtBy: ['I12'],
    cases: ['pause-and-offer-end'],
  },
  {
    name: 'reduced-units-not-offered',
    description: 'What a customer gives back by taking fewer units waits for the next rule.',
    faults: [
      inModule(() => import('#reservation/release.ts'), {
        offerAndMove: (real) => (tx, sale, moved, deltas, nowMs) =>
          real(tx, moved.some(({ isSilent }) => isSilent) ? { ...sale, waitlisted: 0 } : sale, moved, deltas, nowMs),
      }),
    ],
    caughtBy: ['I11'],
    cases: ['reduce-and-buy'],
  },
  {
    name: 'demand-falls-and-is-not-served',
    description: 'Someone who waits and takes fewer units is not served with what is there.',
    faults: [
      inModule(() => import('#reservation/release.ts'), {
        offerAndMove: (real) => (tx, sale, moved, deltas, nowMs) => {
          const asksLess = moved.some(({ from, state }) => from === 'waitlisted' && state === 'waitlisted');
          return real(tx, asksLess ? { ...sale, waitlisted: 0 } : sale, moved, deltas, nowMs);
        },
      }),
    ],
    caughtBy: ['I11'],
    cases: ['reduce-while-waiting'],
  },
  {
    name: 'rest-kept-twice',
    description: 'The units that are not bought become a reservation of their own, and stay with the first one too.',
    faults: [
      inModule(() => import('#reservation/split.ts'), {
        writeSplit: (real) => (tx, before, split) =>
          real(tx, before, { ...split, whole: { ...split.whole, units: before.units, quantity: before.quantity } }),
      }),
    ],
    caughtBy: ['I1', 'I3', 'I5'],
    cases: ['buy-fewer'],
  },
  {
    name: 'more-bought-than-paid',
    description: 'Who buys fewer units pays for these, and gets all that were set aside.',
    faults: [
      inModule(() => import('#purchase/request.ts'), {
        judge:
          (real) =>
          (...args) => {
            const order = real(...args);
            return 'items' in order ? { ...order, inPart: [] } : order;
          },
      }),
    ],
    caughtBy: ['I13'],
    cases: ['buy-fewer'],
  },
  {
    name: 'let-go-before-the-deadline',
    description: 'Units that wait for the action of their customer are let go before its time is over.',
    faults: [
      inModule(() => import('#purchase/provider.ts'), {
        askProvider:
          (real) =>
          async (...args) => {
            const [, { state, actionDeadlineMs }, nowMs] = args;
            const isEarly = state === 'requires_action' && nowMs < (actionDeadlineMs ?? 0);
            return isEarly ? { outcome: 'overdue', reason: 'early' } : real(...args);
          },
      }),
    ],
    caughtBy: ['I7'],
    cases: ['action-ends'],
  },
  {
    name: 'stopped-before-the-deadline',
    description: 'A payment that waits for its customer is stopped at the provider before the time that was told.',
    faults: [
      inModule(() => import('#purchase/action.ts'), {
        reasonToStop: (real) => (purchase, nowMs) => real(purchase, nowMs + 120_000),
      }),
    ],
    caughtBy: ['I12'],
    cases: ['action-ends'],
  },
  {
    name: 'action-never-stopped',
    description: 'A payment whose time for the customer is over is declined, and goes on at the provider.',
    faults: [
      inModule(() => import('#purchase/provider.ts'), {
        askProvider: (real) => async (provider, purchase, nowMs, hasTime) => {
          const cancel: typeof provider.cancel = async () => ({ outcome: 'declined', reason: 'not asked' });
          const keyed: typeof provider = {
            cancel,
            find: (purchaseId) => provider.find(purchaseId),
            charge: (order) => provider.charge(order),
            refund: (order) => provider.refund(order),
          };
          return real(keyed, purchase, nowMs, hasTime);
        },
      }),
    ],
    caughtBy: ['I7'],
    cases: ['action-ends'],
  },
  {
    name: 'late-confirmation-kept',
    description: 'What a customer confirms after the units were let go is kept.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) => {
          const settlement = real(purchase, items, reservations, answer, known);
          return settlement.kind === 'give back' && settlement.reason === 'reservation_gone'
            ? { kind: 'capture', capture: settlement.capture, calledOff: [] }
            : settlement;
        },
      }),
    ],
    caughtBy: ['I5', 'I7', 'I9'],
    cases: ['action-ends'],
    sizes: [40, 12],
  },
  {
    name: 'kept-after-calling-off',
    description: 'A payment that is captured after its sale was called off is kept.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) =>
          real(purchase, items, reservations, answer, { ...known, calledOff: new Set() }),
      }),
    ],
    caughtBy: ['I7', 'I9', 'I13'],
    cases: ['called-off-unpaid'],
  },
  {
    name: 'called-off-and-not-refunded',
    description: 'A sale is called off with refunds, and nothing is ordered back.',
    faults: [inModule(() => import('#purchase/refund.ts'), { orderSharesBack: () => async () => [] })],
    caughtBy: ['I13'],
    cases: ['called-off-twice'],
  },
  {
    name: 'share-not-made-up',
    description: 'What a called-off sale is owed, and had no room beside a refund that is refused then, is forgotten.',
    faults: [inModule(() => import('#purchase/refund-rules.ts'), { missingShares: () => () => [] })],
    caughtBy: ['I13'],
    cases: ['share-made-up'],
  },
  {
    name: 'refunds-not-summed',
    description: 'What was given back already does not count for what is left to give back.',
    faults: [
      inModule(() => import('#purchase/refund-rules.ts'), { leftToRefund: (real) => (purchase) => real(purchase, []) }),
    ],
    caughtBy: ['I9', 'I13'],
    cases: ['refund-in-parts'],
  },
  {
    name: 'mismatch-bought',
    description: 'A capture of another amount than was ordered counts as paid.',
    faults: [inModule(() => import('#purchase/settle.ts'), { mismatchOf: () => () => undefined })],
    caughtBy: ['I13'],
    sizes: [40, 12],
  },
  {
    name: 'refusal-of-a-refund-forgotten',
    description: 'That the provider refuses a refund is not recorded, and it is asked the same for ever.',
    faults: [
      inModule(() => import('#purchase/settle.ts'), {
        decideSettlement: (real) => (purchase, items, reservations, answer, known) =>
          answer.outcome === 'refused' ? { kind: 'nothing' } : real(purchase, items, reservations, answer, known),
      }),
    ],
    caughtBy: ['I9'],
    sizes: [40, 12],
  },
  {
    name: 'refund-without-release',
    description: 'A purchase is refunded, but its units stay sold.',
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
    description: 'The publisher after a commit deletes events that the bus has not accepted.',
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
    description: 'The sweep deletes events that the bus has refused.',
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
      inModule(() => import('#launch/advance-sale.ts'), {
        advanceSale: (real) => (deps, saleId, deadlineMs) => real(deps, saleId, deadlineMs, 'everything'),
      }),
    ],
    caughtBy: ['I9'],
    sizes: [600],
  },
  {
    name: 'round-passes-over-every-sale',
    description: "The minute's rule takes every sale for one in which nothing is due.",
    faults: [inModule(() => import('#launch/round.ts'), { findDue: () => async () => new Set<SaleId>() })],
    caughtBy: ['I9'],
    sizes: [40, 600],
  },
  {
    name: 'reconcile-repairs-nothing',
    description: 'Reconcile reports reservations that are missing in the mirror, but does not write them.',
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
    description: 'Reconcile reports orphaned claims, but leaves them at the gate.',
    faults: [inModule(() => import('#mirror/gate.ts'), { returnForgottenClaim: () => async () => false })],
    caughtBy: ['I9'],
  },
];

/** What the controls plant, all of it. */
export const allFaults = controls.flatMap(({ faults }) => faults);
