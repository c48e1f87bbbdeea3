/**
 * The controls: code with one safeguard taken out, and the row that must notice.
 *
 * Invariant: a fault is planted by replacing texts of the shipped code while it is loaded, and each text must be there; a
 * control that is not caught means that its row proves nothing. Each row has at least one (controls.test.ts).
 */
import type { InvariantName } from '#load/verify/tally.ts';
import type { Edit } from '../support/mutate.ts';
import { matrix } from './matrix.ts';
import { runRow } from './runner.ts';
import type { World } from './world.ts';

export interface Control {
  name: string;
  /** The row that must fail. */
  row: string;
  edits: Edit[];
  /** Whether the fault is in what the HTTP host runs. */
  http?: boolean;
  /** A constraint of a table that would hide the fault, taken away while it is planted. */
  without?: { table: string; constraint: string; check: string };
}

export interface ControlResult {
  name: string;
  row: string;
  caught: boolean;
  /** The invariants and counts that noticed, and how often. */
  violations: Partial<Record<InvariantName | 'count' | 'rest', number>>;
  requests: number;
  seconds: number;
  /** Why its row could not be played here, if so. */
  unavailable?: string;
  /** Why the fault could not be planted, if so. */
  lost?: string;
  examples: string[];
}

const allocate = 'lib/reservation/allocate.ts';
const bus = 'lib/platform/aws/eventbridge.ts';
const db = 'lib/platform/mysql/mysql.ts';
const mirror = 'lib/mirror/mirror.ts';
const mirrorLua = 'lib/mirror/mirror.lua';
const outbox = 'lib/events/outbox.ts';
const payments = 'lib/purchase/payment-gateway.ts';
const queue = 'lib/platform/handlers/queue.ts';
const request = 'lib/reservation/request.ts';
const sqs = 'lib/platform/aws/sqs.ts';
const stock = 'lib/sale/stock.ts';
const store = 'lib/reservation/store.ts';

/** Faults that more than one row must notice. */
const acknowledgedOnArrival: Edit = {
  file: queue,
  find: 'for (const messageId of await consumer.run(deps, batch, deadlineMs)) failures.set(messageId, askedAgain);',
  replace: 'void Promise.resolve(consumer.run(deps, batch, deadlineMs)).catch(() => undefined);',
};
const failuresAcknowledged: Edit = {
  file: queue,
  find: 'for (const { messageId } of batch) failures.set(messageId, cause);',
  replace: '',
};
const noInbox: Edit = {
  file: allocate,
  find: 'const fresh = claims.filter((claim) => !decided.has(claim.reservationId));',
  replace: 'const fresh = claims;',
};
const unknownCommitIsSuccess: Edit = {
  file: db,
  find: "await connection.query({ sql: 'COMMIT', timeout: statementTimeoutMs });",
  replace: "await connection.query({ sql: 'COMMIT', timeout: statementTimeoutMs }).catch(() => undefined);",
};
const sendFailureIsSuccess: Edit = {
  file: request,
  find: '    throw error;\n  }\n  return accepted(applicant, answer.ticket, answer.position);',
  replace: '  }\n  return accepted(applicant, answer.ticket, answer.position);',
};
const nothingRebuilt: Edit = {
  file: mirror,
  find: "if (first === 'OK') await deps.queue('reconcile').send({ body: { saleId } });",
  replace: "if ((first as string) === 'never') await deps.queue('reconcile').send({ body: { saleId } });",
};
const newKeyForEachCharge: Edit = {
  file: payments,
  find: "        '/v1/charges',\n        purchaseId,",
  replace: "        '/v1/charges',\n        purchaseId + Math.random(),",
};

export const controls: Control[] = [
  {
    name: 'no-inbox',
    row: 'duplicates',
    edits: [noInbox],
  },
  {
    name: 'acknowledge-before-commit',
    row: 'mysql-dies',
    edits: [acknowledgedOnArrival],
  },
  {
    name: 'cap-not-checked-by-worker',
    row: 'redis-slow',
    edits: [
      {
        file: 'lib/reservation/decide.ts',
        find: 'if (before.units + claim.quantity > sale.capPerCustomer)',
        replace: 'if (before.units < 0)',
      },
    ],
  },
  {
    name: 'mirror-without-compare-and-set',
    row: 'stale-writer',
    edits: [{ file: mirrorLua, find: 'tonumber(version) >= tonumber(known[2])', replace: 'tonumber(version) >= 0' }],
  },
  {
    name: 'reservations-mirrored-in-any-order',
    row: 'stale-writer',
    edits: [{ file: mirrorLua, find: 'if tonumber(version) <= tonumber(oldVersion) then', replace: 'if false then' }],
  },
  {
    name: 'duplicate-only-acknowledged',
    row: 'timeout-mid-batch',
    edits: [
      {
        file: allocate,
        find: 'return { stocks, reservations: [...decided.values(), ...decisions], events };',
        replace: 'return { stocks: moved, reservations: decisions, events };',
      },
    ],
  },
  {
    name: 'cache-before-commit',
    row: 'commit-reply-lost',
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
          'return await store.transaction((tx) => attempt(tx, claims, clock(), mode).then(async (early) => { await mirror(early.stocks.map((stock) => ({ ...stock, version: stock.version + 1 })), early.reservations); return early; }));',
      },
    ],
  },
  {
    name: 'unknown-commit-taken-as-success',
    row: 'commit-reply-lost',
    edits: [unknownCommitIsSuccess],
  },
  {
    name: 'poison-acknowledged',
    row: 'poison',
    edits: [
      {
        file: queue,
        find: "else failures.set(record.messageId, { kind: 'unreadable', detail: problem });",
        replace: '',
      },
    ],
  },
  {
    name: 'batch-fails-together',
    row: 'one-of-ten-throws',
    edits: [
      {
        file: queue,
        find: 'const divide = !outage && batch.length > 1 &&',
        replace: 'const divide = false && !outage && batch.length > 1 &&',
      },
    ],
  },
  {
    name: 'no-outbox-row',
    row: 'put-partly-fails',
    edits: [{ file: allocate, find: '  await tx.recordEvents(events, nowMs);', replace: '' }],
  },
  {
    name: 'bus-error-codes-ignored',
    row: 'put-partly-fails',
    edits: [
      {
        file: bus,
        find: 'return result !== undefined && !result.ErrorCode && result.EventId !== undefined;',
        replace: 'return result !== null;',
      },
    ],
  },
  {
    name: 'no-sweep',
    row: 'two-relays',
    edits: [
      {
        file: outbox,
        find: 'while (Date.now() < deadlineMs &&',
        replace: 'while (Date.now() < 0 && Date.now() < deadlineMs &&',
      },
    ],
  },
  {
    name: 'window-by-the-workers-clock',
    row: 'clocks',
    edits: [
      {
        file: 'lib/reservation/decide.ts',
        find: "if (claim.acceptedAtMs >= sale.reserveClosesAtMs) return 'sale_closed';",
        replace: "if (nowMs >= sale.reserveClosesAtMs) return 'sale_closed';",
      },
    ],
  },
  {
    name: 'timeout-taken-as-failure',
    row: 'provider-misbehaves',
    edits: [
      {
        file: payments,
        find: "if (!nothingWasDone) return { outcome: 'unknown', reason };",
        replace: "if (!nothingWasDone) return { outcome: 'declined', reason: 'timeout' };",
      },
    ],
  },
  {
    name: 'a-new-key-for-each-charge',
    row: 'provider-misbehaves',
    edits: [newKeyForEachCharge],
  },
  {
    name: 'sale-without-ledger',
    row: 'breaker-open',
    edits: [{ file: 'lib/purchase/settle.ts', find: "...movements(plan.bought, 'SELL'), ", replace: '' }],
  },
  {
    name: 'failing-provider-declines',
    row: 'breaker-open',
    edits: [
      {
        file: payments,
        find: "return { outcome: 'unsent', reason };",
        replace: "return { outcome: 'declined', reason };",
      },
    ],
  },
  {
    name: 'gate-recount-missing',
    row: 'mirror-falsified',
    http: true,
    edits: [
      {
        file: 'lib/reconcile/reconcile.ts',
        find: 'drifts.push(...(await recountGate(deps.redis, saleId, after, bucketsAfter)));',
        replace: '',
      },
    ],
  },
  {
    name: 'send-failure-answered-202',
    row: 'queue-dies',
    http: true,
    edits: [sendFailureIsSuccess],
  },
  {
    name: 'failed-entries-ignored',
    row: 'send-partly-fails',
    http: true,
    edits: [
      {
        file: sqs,
        find: "taken.has(Id) ? undefined : new Fault('queue_unavailable', 'the queue did not take the message'),",
        replace: 'taken.has(Id) ? undefined : undefined,',
      },
    ],
  },
  {
    name: 'returned-claim-loses-its-ticket',
    row: 'send-reply-lost',
    http: true,
    edits: [
      {
        file: 'lib/mirror/return-claim.lua',
        find: "redis.call('HSET', KEYS[2], ARGV[1], 'u' .. rest)",
        replace: "redis.call('HDEL', KEYS[2], ARGV[1])",
      },
    ],
  },
  {
    name: 'reservation-id-at-random',
    row: 'send-reply-lost',
    http: true,
    edits: [
      {
        file: request,
        find: 'reservationId: deriveReservationId(saleId, customerId, idempotencyKey)',
        replace: 'reservationId: deriveReservationId(saleId, customerId, idempotencyKey + Math.random())',
      },
    ],
  },
  {
    name: 'acceptance-needs-redis',
    row: 'both-stores-down',
    http: true,
    edits: [
      {
        file: request,
        find: "    return 'gate away';\n",
        replace: '    throw error;\n',
      },
    ],
  },
  {
    name: 'place-in-line-by-delivery',
    row: 'duplicates',
    edits: [{ file: allocate, find: 'ticket: ticket ?? sentAtMs * 1000,', replace: 'ticket: Date.now() * 1000,' }],
  },
  {
    name: 'everybody-waits-for-the-queue',
    row: 'overload',
    http: true,
    edits: [{ file: sqs, find: 'const longestWaitMs = 1_000;', replace: 'const longestWaitMs = 1_000_000;' }],
  },
  {
    name: 'no-rebuild-when-redis-forgot',
    row: 'flushall',
    http: true,
    edits: [nothingRebuilt],
  },
  {
    name: 'notices-without-inbox',
    row: 'duplicates',
    edits: [
      {
        file: 'lib/notification/notify.ts',
        find: '      one.version,\n',
        replace: '      one.version * 100 + Math.floor(Math.random() * 100),\n',
      },
    ],
  },
  {
    name: 'statements-without-transaction',
    row: 'crash-points',
    edits: [{ file: db, find: "sql: 'START TRANSACTION'", replace: "sql: 'SET autocommit = 1'" }],
  },
  { name: 'a-new-key-after-a-death', row: 'pay-crash-points', edits: [newKeyForEachCharge] },
  { name: 'acknowledged-on-arrival', row: 'random-deaths', edits: [acknowledgedOnArrival] },
  { name: 'failures-taken-as-success', row: 'crowd', http: true, edits: [failuresAcknowledged, sendFailureIsSuccess] },
  {
    name: 'no-guard-in-update',
    row: 'holder-pauses',
    edits: [
      { file: stock, find: 's.available + m.available >= 0 AND', replace: '' },
      { file: stock, find: 'AND (m.fence = 0 OR s.fence <= m.fence)', replace: '' },
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
    edits: [
      noInbox,
      { file: store, find: '`INSERT INTO reservations', replace: '`INSERT IGNORE INTO reservations' },
      { file: store, find: "'INSERT INTO waitlist", replace: "'INSERT IGNORE INTO waitlist" },
      { file: stock, find: "'INSERT INTO ledger", replace: "'INSERT IGNORE INTO ledger" },
    ],
  },
  { name: 'redelivery-without-inbox', row: 'malformed-answer', edits: [noInbox] },
  { name: 'nothing-rebuilt-after-a-loss', row: 'redis-dies', http: true, edits: [nothingRebuilt] },
  {
    name: 'reconcile-repairs-no-reservations',
    row: 'redis-stale',
    http: true,
    edits: [
      {
        file: 'lib/reconcile/reconcile.ts',
        find: 'if (seen && seen.version >= row.version) continue;',
        replace: 'continue;',
      },
    ],
  },
  {
    name: 'redis-waited-for',
    row: 'redis-hangs',
    http: true,
    edits: [
      {
        file: 'lib/platform/kernel/time-limits.ts',
        find: 'export const redisCommandTimeoutMs = 200;',
        replace: 'export const redisCommandTimeoutMs = 12_000;',
      },
    ],
  },
  {
    name: 'gate-errors-answered',
    row: 'redis-full',
    http: true,
    edits: [{ file: request, find: "    return 'gate away';\n", replace: '    throw error;\n' }],
  },
  {
    name: 'acceptance-asks-mysql',
    row: 'mysql-hangs',
    http: true,
    edits: [
      {
        file: request,
        find: '    const first = await ports.gate(applicant);',
        replace:
          '    await ports.primeSale(applicant.saleId).catch(() => undefined);\n    const first = await ports.gate(applicant);',
      },
    ],
  },
  {
    name: 'no-rollback-after-a-lock-wait',
    row: 'deadlock',
    edits: [
      {
        file: db,
        find: "sql: 'ROLLBACK', timeout",
        replace: "sql: isRetryable(error) ? 'COMMIT' : 'ROLLBACK', timeout",
      },
    ],
  },
  { name: 'failed-begin-acknowledged', row: 'begin-fails', edits: [failuresAcknowledged] },
  { name: 'full-disk-acknowledged', row: 'disk-full', edits: [failuresAcknowledged] },
  { name: 'failed-fsync-acknowledged', row: 'fsync-eio', edits: [failuresAcknowledged] },
  {
    name: 'forgotten-before-published',
    row: 'relay-dies',
    edits: [
      {
        file: outbox,
        find: 'const taken = await bus.publish(events);',
        replace: 'await forget(sql, events);\n  const taken = await bus.publish(events);',
      },
    ],
  },
  {
    name: 'old-events-dropped',
    row: 'consumer-down',
    edits: [
      {
        file: 'lib/notification/notify.ts',
        find: 'const rejected = await storeBatch(deps.db, batch);',
        replace:
          'const rejected = await storeBatch(deps.db, batch.filter(({ sentAtMs }) => Date.now() - sentAtMs < 3_000));',
      },
    ],
  },
  {
    name: 'window-opened-by-its-trigger',
    row: 'rules-unreliable',
    http: true,
    edits: [
      {
        file: 'lib/sale/phase.ts',
        find: '  if (nowMs < sale.purchaseOpensAtMs) {',
        replace: "  if ((sale as { phase?: string }).phase !== 'purchasing') {",
      },
    ],
  },
  {
    name: 'expiry-and-capture-both-win',
    row: 'expiry-races-payment',
    edits: [
      {
        file: 'lib/reservation/release.store.ts',
        find: "AND state = 'allocated' AND purchase_id IS NULL ORDER BY id LIMIT ?`,\n        [toBytes(afterId)",
        replace: "AND state = 'allocated' ORDER BY id LIMIT ?`,\n        [toBytes(afterId)",
      },
      {
        file: 'lib/reservation/release.store.ts',
        find: 'AND state IN (?) AND purchase_id IS NULL`',
        replace: 'AND state IN (?)`',
      },
      {
        file: 'lib/purchase/settle.ts',
        find: "return row?.state === 'allocated' && row.purchaseId === purchase.purchaseId;",
        replace: 'return row !== undefined;',
      },
    ],
  },
  { name: 'lost-connections-acknowledged', row: 'packet-loss', edits: [failuresAcknowledged] },
  {
    name: 'messages-must-be-known-to-the-letter',
    row: 'two-builds',
    edits: [
      {
        file: 'lib/reservation/reservation.shapes.ts',
        find: 'isObject(value) && wrongField(value) === undefined',
        replace: 'isObject(value) && wrongField(value) === undefined && Object.keys(value).length <= 7',
      },
    ],
  },
];

/** Nothing is planted; what a control is given to fail with must not itself make its row fail. */
export const placebo: Edit = {
  file: allocate,
  find: 'export async function allocateBatch(',
  replace: 'export async function allocateBatch(',
};

/** A control's world never comes to rest, or does at once. */
const restMs = 9_000;

/** Runs a control's row against its planted fault, or with nothing planted and otherwise the same. */
export async function runControl(
  world: World,
  control: Control,
  seed: number,
  { planted = true } = {},
): Promise<ControlResult> {
  const fault = matrix.find(({ name }) => name === control.row);
  if (!fault) throw new Error(`no row is called ${control.row}`);
  const { http = false, without } = control;
  const edits = planted ? control.edits : [placebo];
  if (planted && without) await world.pool.query(`ALTER TABLE ${without.table} DROP CONSTRAINT ${without.constraint}`);
  const result = await runRow(world, fault, { seed, edits, http, restMs });
  if (planted && without) {
    await world.pool.query(`DELETE FROM ${without.table}`);
    const { table, constraint, check } = without;
    await world.pool.query(`ALTER TABLE ${table} ADD CONSTRAINT ${constraint} CHECK (${check})`);
  }
  // A process that does not even start has lost the place where its fault is planted, which proves nothing.
  const ended = result.examples.find((example) => example.includes('ended while starting'));
  const lost = ended?.split('\n').find((line) => line.includes('and not once')) ?? ended;
  const { violations, requests, seconds, examples, unavailable } = result;
  const caught = lost === undefined && !result.holds;
  const { name, row } = control;
  return {
    ...{ name, row, caught, violations, requests, seconds, examples },
    ...(unavailable === undefined ? {} : { unavailable }),
    ...(lost === undefined ? {} : { lost }),
  };
}
