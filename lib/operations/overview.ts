/**
 * The internals of a sale, for the operator who watches a launch: the committed stock, the mirror and the gate, the depth
 * of the queues, and the state of the breakers.
 */

import * as z from 'zod';
import { readBacklog } from '#events/outbox.ts';
import { JobView, readJobs } from '#launch/jobs.ts';
import type { MirrorField } from '#mirror/fields.ts';
import { refusedField, stockFields, stockOfFields } from '#mirror/fields.ts';
import { type GateRefusal, gateRefusals } from '#mirror/gate.ts';
import { queueDepth } from '#platform/aws/sqs.ts';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { keys } from '#platform/redis/keys.ts';
import { readOldestMessageAge } from '#platform/redis/oldest-message-age.ts';
import { countByState } from '#reservation/reservation.store.ts';
import { SaleView, StockView } from '#sale/sale.shapes.ts';
import { readSales } from '#sale/sale.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import { viewOfRow } from '#sale/terms.ts';
import { reservationStates } from '#state/reservation-state.ts';

const QueueState = z.object({
  waiting: z.number().int(),
  inFlight: z.number().int(),
  delayed: z.number().int(),
  deadLetters: z.number().int(),
  /**
   * How old the oldest message of the latest batch was when its worker got it; null if the queue is empty, or no batch came
   * in the last minute.
   */
  oldestMessageMs: z.number().int().nullable(),
});

export const SaleOverview = z
  .object({
    saleId: idOf<SaleId>(),
    /** As those see it who can find it. */
    sale: SaleView,
    accessCode: z
      .string()
      .nullable()
      .describe('What customers must show to find it; null if everybody can. No public answer has it'),
    /** Committed in MySQL. */
    stock: StockView,
    /** What readers and the gate see; null if the mirror does not have the sale or cannot be reached. */
    mirror: StockView.nullable(),
    /** The differences between mirror and MySQL; zero at rest. Null if there is no mirror. */
    drift: z.object({ versions: z.number().int(), available: z.number().int() }).nullable(),
    gate: z.object({
      requests: z.number().int().describe('Admitted'),
      pendingUnits: z.number().int(),
      pendingBeyondStock: z.number().int(),
      refused: z
        .record(z.enum(gateRefusals), z.number().int())
        .describe(
          'How often a request was refused before it was queued, by reason; counted anew if Redis loses the sale',
        ),
    }),
    reservations: z.record(z.enum(reservationStates), z.number().int()),
    /** What goes over all reservations of the sale in steps, and how far it has come; the newest first. */
    jobs: z.array(JobView),
    queues: z.record(z.string(), QueueState),
    outbox: z.object({ events: z.number().int(), oldestMs: z.number().int() }),
    breakers: z.record(z.string(), z.enum(['closed', 'open', 'half-open'])),
  })
  .meta({ id: 'SaleOverview' });
export type SaleOverview = z.infer<typeof SaleOverview>;

/** The queues whose depth an overview shows. */
export const watchedQueues = ['reservations', 'purchases', 'notifications', 'advance'];

/** Everything an operator needs to see of one sale at once. */
export async function overviewOf(deps: Deps, saleId: SaleId): Promise<SaleOverview | Refusal> {
  const sale = (await readSales(deps.db, [saleId])).get(saleId);
  if (!sale) return refuse('not_found', 'There is no such sale.');
  const [reservations, jobs, mirrored, backlog, queues] = await Promise.all([
    countByState(deps.db, saleId),
    readJobs(deps.db, saleId),
    readMirrorOf(deps, saleId),
    readBacklog(deps.db),
    Promise.all(watchedQueues.map(async (name) => [name, await stateOfQueue(deps, name)] as const)),
  ]);
  const view = viewOfRow(sale, deps.clock());
  const committed = view.stock;
  return {
    saleId,
    sale: view,
    accessCode: sale.accessCode,
    stock: committed,
    mirror: mirrored?.stock ?? null,
    drift: mirrored && {
      versions: committed.version - mirrored.stock.version,
      available: mirrored.stock.available - committed.available,
    },
    gate: mirrored?.gate ?? { requests: 0, pendingUnits: 0, pendingBeyondStock: 0, refused: refusedOf([]) },
    reservations,
    jobs,
    queues: Object.fromEntries(queues),
    outbox: {
      events: backlog.events,
      oldestMs: backlog.oldestAtMs === null ? 0 : Math.max(0, deps.clock() - backlog.oldestAtMs),
    },
    breakers: deps.breakers.states(),
  };
}

async function stateOfQueue(deps: Deps, name: string): Promise<z.infer<typeof QueueState>> {
  const [depth, dead, oldestMessageMs] = await Promise.all([
    queueDepth(deps.sqs, locate(deps.registry, `queue/${name}`)),
    queueDepth(deps.sqs, locate(deps.registry, `dead/${name}`)),
    readOldestMessageAge(deps.redis, name),
  ]);
  return { ...depth, deadLetters: dead.waiting, oldestMessageMs: isEmpty(depth) ? null : oldestMessageMs };
}

/** Whether no message is late; a delayed message waits for its own time. */
function isEmpty({ waiting, inFlight }: { waiting: number; inFlight: number }): boolean {
  return waiting === 0 && inFlight === 0;
}

async function readMirrorOf({ redis }: Needs<'redis'>, saleId: SaleId) {
  const tag = saleTag(saleId);
  const counters = ['line', 'pendingUnits', 'pendingOver'] as const satisfies MirrorField[];
  const fields = [...stockFields, ...counters, ...gateRefusals.map(refusedField)];
  const values = await redis.hmget(keys.sale(tag), ...fields).catch(() => undefined);
  if (!values || values[0] === null) return null;
  const [requests, pendingUnits, pendingBeyondStock, ...refused] = values.slice(stockFields.length).map(Number);
  return {
    stock: stockOfFields(values),
    gate: {
      requests: requests ?? 0,
      pendingUnits: pendingUnits ?? 0,
      pendingBeyondStock: pendingBeyondStock ?? 0,
      refused: refusedOf(refused),
    },
  };
}

/** The gate's refusals by reason, from counts in the order of the reasons. */
function refusedOf(counts: readonly number[]): Record<GateRefusal, number> {
  return Object.fromEntries(gateRefusals.map((reason, index) => [reason, counts[index] ?? 0])) as Record<
    GateRefusal,
    number
  >;
}
