/**
 * The controls: code with one fault planted in it, and the row that must notice.
 *
 * Invariant: each plants exactly one fault, by replacing a text of the shipped code while it is loaded; a control that is
 * not caught means that its row proves nothing.
 */

import { matrix } from './matrix.ts';
import type { RowResult } from './runner.ts';
import { runRow } from './runner.ts';
import type { Edit } from './steps.ts';
import type { World } from './world.ts';

export interface Control {
  name: string;
  /** The row that must fail. */
  row: string;
  edits: Edit[];
  /** Whether the fault is in what the HTTP host runs. */
  http?: boolean;
}

export interface ControlResult {
  name: string;
  row: string;
  caught: boolean;
  /** The invariants and counts that noticed. */
  by: string[];
  examples: string[];
}

const allocate = 'lib/reservation/allocate.ts';
const aws = 'lib/platform/aws.ts';
const mirror = 'lib/reservation/mirror.ts';
const mirrorLua = "luaSource('./mirror.lua', import.meta.url)";

/** An edit of a Lua file, which is read where a module names it. */
function lua(file: string, source: string, find: string, replace: string): Edit {
  return { file, find: source, replace: `plant(${source}, ${JSON.stringify(find)}, ${JSON.stringify(replace)})` };
}

export const controls: Control[] = [
  {
    name: 'no-inbox',
    row: 'duplicates',
    edits: [
      {
        file: allocate,
        find: 'const fresh = claims.filter((claim) => !decided.has(claim.reservationId));',
        replace: 'const fresh = claims;',
      },
    ],
  },
  {
    name: 'acknowledge-before-commit',
    row: 'mysql-dies',
    edits: [
      {
        file: 'lib/platform/queue.ts',
        find: 'for (const messageId of await consumer.run(deps, batch, deadlineMs)) failures.set(messageId, askedAgain);',
        replace: 'void Promise.resolve(consumer.run(deps, batch, deadlineMs)).catch(() => undefined);',
      },
    ],
  },
  {
    name: 'cap-not-checked-by-worker',
    row: 'redis-slow',
    edits: [{ file: allocate, find: 'if (overCap) throw new GuessWasWrong();', replace: '' }],
  },
  {
    name: 'mirror-without-compare-and-set',
    row: 'stale-writer',
    edits: [lua(mirror, mirrorLua, 'tonumber(version) >= tonumber(known[2])', 'tonumber(version) >= 0')],
  },
  {
    name: 'reservations-mirrored-in-any-order',
    row: 'stale-writer',
    edits: [lua(mirror, mirrorLua, 'if tonumber(version) <= tonumber(oldVersion) then', 'if false then')],
  },
  {
    name: 'duplicate-only-acknowledged',
    row: 'timeout-mid-batch',
    edits: [
      {
        file: allocate,
        find: 'return { stocks, reservations: [...decided.values(), ...rows], events };',
        replace: 'return { stocks: moved, reservations: rows, events };',
      },
    ],
  },
  {
    name: 'cache-before-commit',
    row: 'commit-reply-lost',
    edits: [
      {
        file: allocate,
        find: 'attempt(tx, claims, ports.clock(), { hold: false, fences })',
        replace:
          'attempt(tx, claims, ports.clock(), { hold: false, fences }).then(async (early) => { await ports.mirror(early.stocks.map((stock) => ({ ...stock, version: stock.version + 1 })), early.reservations); return early; })',
      },
    ],
  },
  {
    name: 'unknown-commit-taken-as-success',
    row: 'commit-reply-lost',
    edits: [
      {
        file: 'lib/platform/db.ts',
        find: "await connection.query({ sql: 'COMMIT', timeout: statementTimeoutMs });",
        replace: "await connection.query({ sql: 'COMMIT', timeout: statementTimeoutMs }).catch(() => undefined);",
      },
    ],
  },
  {
    name: 'poison-acknowledged',
    row: 'poison',
    edits: [
      {
        file: 'lib/platform/queue.ts',
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
        file: 'lib/platform/queue.ts',
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
        file: aws,
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
        file: 'lib/events/outbox.ts',
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
        file: 'lib/platform/payments.ts',
        find: "if (!nothingWasDone) return { outcome: 'unknown', reason };",
        replace: "if (!nothingWasDone) return { outcome: 'declined', reason: 'timeout' };",
      },
    ],
  },
  {
    name: 'a-new-key-for-each-charge',
    row: 'provider-misbehaves',
    edits: [
      {
        file: 'lib/platform/payments.ts',
        find: "        '/v1/charges',\n        purchaseId,",
        replace: "        '/v1/charges',\n        purchaseId + Math.random(),",
      },
    ],
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
        file: 'lib/platform/payments.ts',
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
        file: 'lib/inventory/reconcile.ts',
        find: 'drifts.push(...(await recountGate(deps.redis, saleId, after, bucketsAfter)));',
        replace: '',
      },
    ],
  },
  {
    name: 'send-failure-answered-202',
    row: 'queue-dies',
    http: true,
    edits: [
      {
        file: 'lib/reservation/request.ts',
        find: '    throw error;\n  }\n  return accepted(applicant, answer.ticket, answer.position);',
        replace: '  }\n  return accepted(applicant, answer.ticket, answer.position);',
      },
    ],
  },
  {
    name: 'failed-entries-ignored',
    row: 'send-partly-fails',
    http: true,
    edits: [
      {
        file: aws,
        find: "else message.reject(new Fault('queue_unavailable', 'the queue did not take the message'));",
        replace: 'else message.resolve();',
      },
    ],
  },
  {
    name: 'returned-claim-loses-its-ticket',
    row: 'send-reply-lost',
    http: true,
    edits: [
      lua(
        'lib/reservation/gate.ts',
        "luaSource('./unclaim.lua', import.meta.url)",
        "redis.call('HSET', KEYS[2], ARGV[1], 'u' .. rest)",
        "redis.call('HDEL', KEYS[2], ARGV[1])",
      ),
    ],
  },
  {
    name: 'reservation-id-at-random',
    row: 'send-reply-lost',
    http: true,
    edits: [
      {
        file: 'lib/reservation/request.ts',
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
        file: 'lib/reservation/request.ts',
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
    edits: [{ file: aws, find: 'const longestWaitMs = 1_000;', replace: 'const longestWaitMs = 1_000_000;' }],
  },
  {
    name: 'no-rebuild-when-redis-forgot',
    row: 'flushall',
    http: true,
    edits: [
      {
        file: mirror,
        find: "if (first === 'OK') await deps.queue('reconcile').send({ body: { saleId } });",
        replace: "if (first === 'never') await deps.queue('reconcile').send({ body: { saleId } });",
      },
    ],
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
];

/** Runs a control's row against its planted fault. */
export async function runControl(world: World, control: Control, seed: number): Promise<ControlResult> {
  const fault = matrix.find(({ name }) => name === control.row);
  if (!fault) throw new Error(`no row is called ${control.row}`);
  const { edits, http = false } = control;
  const result: RowResult = await runRow(world, fault, { seed, edits, http, restMs: 9_000 });
  const by = Object.keys(result.violations);
  // A process that does not even start has lost the place where its fault is planted, which proves nothing.
  const lost = result.examples.find((example) => example.includes('ended while starting'));
  if (lost)
    by.splice(
      0,
      by.length,
      `could not be planted: ${lost.split('\n').find((line) => line.includes('to plant')) ?? lost}`,
    );
  return { name: control.name, row: control.row, caught: !lost && by.length > 0, by, examples: result.examples };
}
