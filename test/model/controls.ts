/**
 * The controls: shipped code with one safeguard taken out, which the model must notice. A model that does not notice
 * proves nothing about the safeguard.
 */
import type { Edit } from '../support/mutate.ts';

export interface Control {
  readonly name: string;
  /** What is broken, in a sentence. */
  readonly description: string;
  readonly edits: readonly Edit[];
  /** The invariants that may notice. */
  readonly caughtBy: readonly string[];
  /** Where to look first: small cases by name. */
  readonly cases?: readonly string[];
  /** How many requests the episodes have that come next; small ones fail soonest, if they can. */
  readonly sizes?: readonly number[];
}

const allocate = 'lib/reservation/allocate.ts';
const decide = 'lib/reservation/decide.ts';
const mirrorLua = 'lib/mirror/mirror.lua';
const stock = 'lib/sale/stock.ts';
const inventoryStore = 'lib/reservation/release.store.ts';
const release = 'lib/reservation/release.ts';
const outbox = 'lib/events/outbox.ts';
const queue = 'lib/platform/handlers/queue.ts';
const request = 'lib/reservation/request.ts';
const settle = 'lib/purchase/settle.ts';
const migration = 'lib/migrations/0000_first.sql';

export const controls: readonly Control[] = [
  {
    name: 'no-guard-in-update',
    description: 'The stock update does not say that enough must be available, and neither does the table.',
    edits: [
      { file: stock, find: 's.available + m.available >= 0 AND', replace: '' },
      { file: migration, find: 'CHECK(`sales`.`available` >= 0 and', replace: 'CHECK(1 = 1 and' },
    ],
    caughtBy: ['I1'],
    cases: ['last-unit'],
  },
  {
    name: 'no-inbox',
    description: 'A request that was decided before is decided again.',
    edits: [
      {
        file: allocate,
        find: 'const fresh = claims.filter((claim) => !decided.has(claim.reservationId));',
        replace: 'const fresh = claims;',
      },
    ],
    caughtBy: ['I2', 'I3', 'I9'],
    cases: ['last-unit'],
  },
  {
    name: 'duplicate-key-ignored',
    description: 'A reservation that somebody else has written in the meantime is taken for written.',
    edits: [
      {
        file: 'lib/reservation/store.ts',
        find: "if (isDuplicateKey(error)) throw new AlreadyDecided('reservation', error);",
        replace: 'if (isDuplicateKey(error)) return;',
      },
    ],
    caughtBy: ['I1', 'I3', 'I5', 'I9'],
    cases: ['last-unit'],
  },
  {
    name: 'repeats-left-and-forgotten',
    description: 'A request that another batch decides is acknowledged although that batch failed.',
    edits: [{ file: allocate, find: 'failed.add(reservationId)', replace: 'undefined' }],
    caughtBy: ['I2', 'I6', 'I9'],
    cases: ['one-environment'],
  },
  {
    name: 'repeats-never-looked-up',
    description: 'Nobody looks up what is decided already, not even after being refused for it.',
    edits: [
      { file: allocate, find: 'mayBeDecided: claims', replace: 'mayBeDecided: []' },
      { file: allocate, find: 'mayBeDecided: [...mayBeDecided, ...repeats]', replace: 'mayBeDecided: []' },
    ],
    caughtBy: ['I9'],
    cases: ['last-unit'],
  },
  {
    name: 'others-never-looked-up',
    description: 'Nobody looks up what else a customer has in a sale, not even after being refused for it.',
    edits: [
      { file: allocate, find: 'mayHaveOthers: claims', replace: 'mayHaveOthers: []' },
      { file: allocate, find: 'mayHaveOthers, fences };', replace: 'mayHaveOthers: [], fences };' },
    ],
    caughtBy: ['I9'],
    cases: ['cap'],
  },
  {
    name: 'acknowledge-before-commit',
    description: 'A batch is acknowledged while it is still being decided.',
    edits: [
      {
        file: queue,
        find: 'for (const messageId of await consumer.run(deps, batch, deadlineMs)) failures.set(messageId, askedAgain);',
        replace: 'void Promise.resolve(consumer.run(deps, batch, deadlineMs)).catch(() => undefined);',
      },
    ],
    caughtBy: ['I2', 'I6', 'I9'],
    cases: ['unknown-commit'],
  },
  {
    name: 'failed-batch-acknowledged',
    description: 'A batch whose transaction failed is acknowledged.',
    edits: [{ file: queue, find: 'for (const { messageId } of batch) failures.set(messageId, cause);', replace: '' }],
    caughtBy: ['I2', 'I9'],
    cases: ['unknown-commit'],
  },
  {
    name: 'unreadable-acknowledged',
    description: 'A message that cannot be read is acknowledged, and nobody ever sees it.',
    edits: [
      {
        file: queue,
        find: "else failures.set(record.messageId, { kind: 'unreadable', detail: problem });",
        replace: '',
      },
    ],
    caughtBy: ['I2'],
    cases: ['poison'],
  },
  {
    name: 'given-up-without-a-dead-letter',
    description: 'A message that is given up is acknowledged although it could not be put among the dead letters.',
    edits: [
      {
        file: queue,
        find: 'for (const messageId of deadLettered) failures.delete(messageId);',
        replace:
          "for (const { messageId, cause } of failed) if (cause.kind === 'unreadable') failures.delete(messageId);",
      },
    ],
    caughtBy: ['I2'],
    cases: ['poison'],
  },
  {
    name: 'cache-before-commit',
    description: 'The mirror is written before the transaction commits.',
    edits: [
      {
        file: allocate,
        find: '{ seen, clock, store }: AllocationPorts',
        replace: '{ seen, clock, store, mirror }: AllocationPorts',
      },
      {
        file: allocate,
        find: 'return await store.transaction((tx) => attempt(tx, claims, clock(), mode));',
        replace:
          'return await store.transaction((tx) => attempt(tx, claims, clock(), mode).then(async (early) => { await mirror(early.stocks, early.reservations); return early; }));',
      },
    ],
    caughtBy: ['I6'],
    cases: ['last-unit'],
  },
  {
    name: 'duplicate-only-acknowledged',
    description: 'A duplicate is acknowledged without refreshing the mirror.',
    edits: [
      {
        file: allocate,
        find: 'return { stocks, reservations: [...decided.values(), ...decisions], events };',
        replace: 'return { stocks: moved, reservations: decisions, events };',
      },
    ],
    caughtBy: ['I6'],
    cases: ['last-unit'],
  },
  {
    name: 'duplicate-with-stale-stock',
    description: 'A duplicate refreshes the mirror with stock that was read before the first delivery committed.',
    edits: [
      {
        file: allocate,
        find: 'const levels = mode.hold || decided.size === 0 ? sales : await tx.stock(unmoved);',
        replace: 'const levels = sales;',
      },
    ],
    caughtBy: ['I6'],
    cases: ['accept'],
  },
  {
    name: 'mirror-without-compare-and-set',
    description: 'Whoever comes last writes the stock in the mirror, however old it is.',
    edits: [{ file: mirrorLua, find: 'tonumber(version) >= tonumber(known[2])', replace: 'tonumber(version) >= 0' }],
    caughtBy: ['I6'],
    cases: ['three-workers', 'cancel-twice'],
  },
  {
    name: 'claims-without-compare-and-set',
    description: 'Whoever comes last writes a reservation in the mirror, however old it is.',
    edits: [{ file: mirrorLua, find: 'if tonumber(version) <= tonumber(oldVersion) then', replace: 'if false then' }],
    caughtBy: ['I6'],
    cases: ['cancel-and-offer'],
  },
  {
    name: 'gate-never-counts-down',
    description: 'A decided request stays counted as undecided at the gate.',
    edits: [
      {
        file: mirrorLua,
        find: "if pendingUnits > 0 then redis.call('HINCRBY', saleKey, 'pendingUnits', -pendingUnits) end",
        replace: '',
      },
    ],
    caughtBy: ['I6'],
    cases: ['accept', 'gate'],
  },
  {
    name: 'claim-not-returned',
    description: 'A request that could not be queued keeps its claim at the gate.',
    edits: [
      {
        file: request,
        find: "await ports.returnClaim(applicant).catch((cause) => log.warn('a claim could not be returned', { error: cause }));",
        replace: '',
      },
    ],
    caughtBy: ['I6'],
    cases: ['accept-once'],
  },
  {
    name: 'send-failure-taken-as-success',
    description: 'A request that could not be queued is answered with 202.',
    edits: [
      {
        file: request,
        find: "log.warn('a claim could not be returned', { error: cause }));\n    throw error;",
        replace: "log.warn('a claim could not be returned', { error: cause }));",
      },
    ],
    caughtBy: ['I2'],
    cases: ['accept'],
  },
  {
    name: 'later-tickets-first',
    description: 'A batch is decided in the wrong order of tickets.',
    edits: [{ file: decide, find: 'return a.ticket - b.ticket ||', replace: 'return b.ticket - a.ticket ||' }],
    caughtBy: ['order'],
  },
  {
    name: 'cap-ignored',
    description: 'The cap per customer is not looked at when a request is decided.',
    edits: [
      {
        file: decide,
        find: 'if (before.units + claim.quantity > sale.capPerCustomer)',
        replace: 'if (before.units < 0)',
      },
    ],
    caughtBy: ['I4'],
    cases: ['cap'],
  },
  {
    name: 'reservations-not-numbered',
    description: 'Requests of one customer that are decided at the same time do not collide.',
    edits: [
      {
        file: 'lib/reservation/store.ts',
        find: '    decision.nth,\n',
        replace: '    decision.ticket % 1_000_003,\n',
      },
    ],
    caughtBy: ['I4'],
    cases: ['cap'],
  },
  {
    name: 'window-judged-when-decided',
    description: 'A request is refused for the time at which it is decided, not at which it was accepted.',
    edits: [
      {
        file: decide,
        find: 'if (claim.acceptedAtMs >= sale.reserveClosesAtMs)',
        replace: 'if (nowMs >= sale.reserveClosesAtMs)',
      },
    ],
    caughtBy: ['I8'],
  },
  {
    name: 'window-not-judged',
    description: 'A request that was accepted after the close, while the gate was away, is served.',
    edits: [{ file: decide, find: "return 'sale_closed';", replace: 'return undefined;' }],
    caughtBy: ['I8'],
  },
  {
    name: 'ticket-given-when-decided',
    description: 'The place in line is given when the message is worked on, so that a redelivery moves it back.',
    edits: [
      {
        file: allocate,
        find: 'ticket: ticket ?? sentAtMs * 1000,',
        replace: 'ticket: Date.now() * 1000 + (sentAtMs % 2),',
      },
    ],
    caughtBy: ['I3', 'I6', 'order'],
  },
  {
    name: 'nothing-offered',
    description: 'Units that come back are offered to nobody.',
    edits: [
      {
        file: release,
        find: 'const offers = decideOffers(sale, sale.available, waiting, nowMs);',
        replace: 'const offers = decideOffers(sale, 0, waiting, nowMs);',
      },
    ],
    caughtBy: ['I9'],
    cases: ['cancel-and-offer'],
  },
  {
    name: 'offers-out-of-order',
    description: 'Whoever joined the waitlist last is offered units first.',
    edits: [
      {
        file: 'lib/reservation/offer.ts',
        find: '[...waiting].sort((a, b) => a.ticket - b.ticket',
        replace: '[...waiting].sort((a, b) => b.ticket - a.ticket',
      },
    ],
    caughtBy: ['order'],
  },
  {
    name: 'offer-bought-after-its-end',
    description: 'An offer can be bought after its deadline.',
    edits: [
      {
        file: 'lib/sale/phase.ts',
        find: 'if (deadlineMs !== null && nowMs >= deadlineMs) {',
        replace: 'if (deadlineMs !== null && nowMs < 0) {',
      },
    ],
    caughtBy: ['I8'],
    cases: ['offer-ends'],
  },
  {
    name: 'offer-ends-early',
    description: 'Offers are ended a minute before their deadline.',
    edits: [
      {
        file: release,
        find: 'await tx.offersEnded(saleId, nowMs, rowsPerTransaction)',
        replace: 'await tx.offersEnded(saleId, nowMs + 60_000, rowsPerTransaction)',
      },
    ],
    caughtBy: ['I8'],
    cases: ['offer-ends'],
  },
  {
    name: 'release-without-ledger',
    description: 'Units that come back are not written into the ledger.',
    edits: [
      {
        file: release,
        find: "kind: 'RELEASE', saleId: row.saleId, units: row.units }",
        replace: "kind: 'RELEASE', saleId: row.saleId, units: 0 }",
      },
    ],
    caughtBy: ['I1'],
    cases: ['cancel-twice'],
  },
  {
    name: 'release-twice',
    description: 'Cancelling does not look whether the reservation has ended already.',
    edits: [
      { file: release, find: "if (row.state === 'cancelled') return nothing;", replace: '' },
      { file: release, find: "if (!mayMove(row.state, 'cancelled'))", replace: "if (row.state === 'purchased')" },
      {
        file: inventoryStore,
        find: 'WHERE id IN (?) AND state IN (?) AND purchase_id IS NULL`,\n    [to, reason, ids, statesBefore(to)],',
        replace: 'WHERE id IN (?) AND purchase_id IS NULL`,\n    [to, reason, ids],',
      },
    ],
    caughtBy: ['I1', 'I3', 'I5'],
    cases: ['cancel-twice'],
  },
  {
    name: 'expiry-ignores-purchase',
    description: 'When the window closes, what is being paid for expires too.',
    edits: [
      {
        file: inventoryStore,
        find: "WHERE id > ? AND id <= ? AND sale_id = ? AND state = 'allocated' AND purchase_id IS NULL ORDER BY id LIMIT ?",
        replace: "WHERE id > ? AND id <= ? AND sale_id = ? AND state = 'allocated' ORDER BY id LIMIT ?",
      },
      { file: inventoryStore, find: 'AND state IN (?) AND purchase_id IS NULL`', replace: 'AND state IN (?)`' },
    ],
    caughtBy: ['I7'],
    cases: ['expiry-and-purchase'],
  },
  {
    name: 'bought-twice',
    description: 'A reservation that one purchase is paying for can be bought by another.',
    edits: [
      { file: 'lib/purchase/accept.ts', find: 'return row.purchaseId === null', replace: 'return row.units > 0' },
      {
        file: 'lib/purchase/store.ts',
        find: "WHERE id IN (?) AND customer_id = ? AND state = 'allocated' AND purchase_id IS NULL`",
        replace: "WHERE id IN (?) AND customer_id = ? AND state = 'allocated'`",
      },
    ],
    caughtBy: ['I7', 'I9'],
    cases: ['two-purchases'],
  },
  {
    name: 'timeout-taken-as-failure',
    description: 'A payment that was not answered is taken for declined, and its units are given away.',
    edits: [
      {
        file: settle,
        find: "return purchase.state === 'requested' ? { kind: 'await' } : { kind: 'nothing' };",
        replace: "return awaited ? { kind: 'decline', reason: 'no answer' } : { kind: 'nothing' };",
      },
    ],
    caughtBy: ['I7', 'I9'],
    cases: ['payment'],
  },
  {
    name: 'capture-unconditional',
    description: 'A capture is taken for a purchase even if what it was for is gone, or is another purchase’s.',
    edits: [
      {
        file: settle,
        find: "return row?.state === 'allocated' && row.purchaseId === purchase.purchaseId;",
        replace: 'return row !== undefined;',
      },
      { file: settle, find: "if (!awaited) return { kind: 'nothing' };", replace: '' },
    ],
    caughtBy: ['I5', 'I7', 'I9'],
    cases: ['payment'],
  },
  {
    name: 'late-capture-kept',
    description: 'A payment that is captured after it was given up is kept.',
    edits: [
      {
        file: settle,
        find: "if (purchase.state === 'declined') return { kind: 'give back', chargeId, reason: 'captured_after_decline' };",
        replace: '',
      },
      {
        file: 'lib/purchase/provider.ts',
        find: 'export const giveUpAfterMs = 24 * 60 * 60_000;',
        replace: 'export const giveUpAfterMs = -1;',
      },
    ],
    caughtBy: ['I7'],
    cases: ['payment'],
  },
  {
    name: 'charged-under-a-new-key',
    description: 'A second attempt does not ask what became of the first, and charges under a key of its own.',
    edits: [
      {
        file: 'lib/purchase/provider.ts',
        find: 'if (purchase.attempts > 0) {',
        replace: 'if (purchase.attempts > 100) {',
      },
      {
        file: 'lib/purchase/provider.ts',
        find: 'return provider.charge({ purchaseId, amountMinor,',
        replace:
          'return provider.charge({ purchaseId: purchaseId.slice(0, -1) + purchase.attempts.toString(16).slice(-1), amountMinor,',
      },
    ],
    caughtBy: ['I7', 'I9'],
    cases: ['payment'],
  },
  {
    name: 'refund-without-release',
    description: 'A purchase is given back, but its units stay sold.',
    edits: [{ file: settle, find: "plan.refunded.push(...held('purchased'));", replace: '' }],
    caughtBy: ['I7'],
    cases: ['refund'],
  },
  {
    name: 'open-purchases-forgotten',
    description: 'The settle job sends nothing for purchases whose message was lost.',
    edits: [
      {
        file: 'lib/purchase/resend-open.ts',
        find: 'if (open.length === 0) return 0;',
        replace: 'if (open.length >= 0) return 0;',
      },
    ],
    caughtBy: ['I9'],
    cases: ['payment'],
  },
  {
    name: 'events-not-recorded',
    description: 'A decision is committed without the events that tell of it.',
    edits: [{ file: allocate, find: 'await tx.recordEvents(events, nowMs);', replace: '' }],
    caughtBy: ['I5'],
  },
  {
    name: 'published-taken-for-granted',
    description: 'Whoever publishes after a commit forgets events that the bus has not taken.',
    edits: [
      {
        file: outbox,
        find: 'const published = events.filter((_, index) => taken[index]);',
        replace: 'const published = events;',
      },
    ],
    caughtBy: ['I5'],
    cases: ['unknown-commit'],
  },
  {
    name: 'relay-forgets-refused',
    description: 'The relay forgets events that the bus has refused.',
    edits: [
      {
        file: outbox,
        find: 'const gone = events.filter((_, index) => accepted[index]);',
        replace: 'const gone = events;',
      },
    ],
    caughtBy: ['I5'],
    cases: ['relays'],
  },
  {
    name: 'boundaries-multiply',
    description: 'Each boundary message sends all that follow it.',
    edits: [
      {
        file: 'lib/launch/advance.ts',
        find: "advanceSale(deps, ports, id, deadlineMs, 'new offers')",
        replace: "advanceSale(deps, ports, id, deadlineMs, 'everything')",
      },
    ],
    caughtBy: ['I9'],
    sizes: [600],
  },
  {
    name: 'reconcile-repairs-nothing',
    description: 'Reconcile reports reservations that the mirror has lost, and does not write them.',
    edits: [
      {
        file: 'lib/reconcile/reconcile.ts',
        find: 'await writeMirror(deps.redis, [stock], behind);',
        replace: 'await writeMirror(deps.redis, [stock], []);',
      },
    ],
    caughtBy: ['I6'],
    cases: ['redis-lost'],
  },
  {
    name: 'forgotten-claims-kept',
    description: 'Reconcile reports claims that nobody is going to decide, and leaves them at the gate for ever.',
    edits: [
      {
        file: 'lib/reconcile/reconcile.ts',
        find: '(await returnForgottenClaim(deps.redis, place, field, owner))',
        replace: 'place === undefined',
      },
    ],
    caughtBy: ['I9'],
  },
];
