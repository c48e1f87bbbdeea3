/**
 * One customer's whole story: the account, and everything that happened, newest first: reservations, purchases, refunds, what
 * the customer was told, and what operators did about any of it.
 */
import * as z from 'zod';
import { readMetadata } from '#labels/label.store.ts';
import { type Page, PageQuery, pageOf, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { Id, idOf, Time } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { roles } from '#platform/security/roles.ts';

/** What happens to a customer; at one moment, in this order. */
const kinds = ['act', 'notice', 'refund', 'purchase', 'reservation'] as const;
type Kind = (typeof kinds)[number];

export const StoryPath = z.strictObject({ customerId: idOf<CustomerId>() });
export const StoryQuery = PageQuery;

const StoryItem = z.object({
  at: Time,
  kind: z
    .enum(kinds)
    .describe(
      'What `what` is: a reservation or a purchase as it is now, with the API key that made it (`keyId`) if it was not the customer, a refund, a notice, an operator’s act or that of an API key',
    ),
  subjectId: Id.nullable().describe('The reservation or purchase that it is about'),
  what: z.looseObject({}),
});
type StoryItem = z.infer<typeof StoryItem>;

export const Story = pageOf(StoryItem)
  .extend({
    customer: z.object({
      customerId: idOf<CustomerId>(),
      email: z.string(),
      name: z.string(),
      customerExternalId: z.string().nullable().describe('How the shop’s own system knows the customer'),
      role: z.enum(roles),
      locale: z.string().nullable(),
      timeZone: z.string().nullable(),
      createdAt: Time,
    }),
  })
  .meta({ id: 'CustomerStory' });
export type Story = z.infer<typeof Story>;

const listName = 'story';
const Position = z.tuple([z.int(), z.enum(kinds), z.string().max(128)]);

interface Event {
  readonly atMs: number;
  readonly kind: Kind;
  /** Distinguishes it from others of its kind at the same moment; as SQL orders it. */
  readonly place: string;
  readonly subjectId: Buffer | null;
  /** MySQL returns an object, MariaDB its JSON text. */
  readonly what: string | Record<string, unknown>;
}

/**
 * Each kind as a table of its own, with `at`, `place`, `subject` and `what`. All of them begin with the customer's own rows, by an
 * index.
 */
const hex = (column: string) => `LOWER(HEX(${column}))`;
/** Which API key made it, and what the shop has noted on it. */
const noted = (table: string) => `'keyId', ${hex(`${table}.key_id`)}, 'reference', l.reference, 'metadata', l.metadata`;
const sources: Record<Kind, string> = {
  reservation: `SELECT r.accepted_at_ms AS at, ${hex('r.id')} AS place, r.id AS subject,
      JSON_OBJECT('saleId', ${hex('r.sale_id')}, 'state', r.state, 'quantity', r.quantity, 'atLeast', r.at_least,
        'units', r.units, 'reason', r.reason, 'ticket', r.ticket, 'purchaseId', ${hex('r.purchase_id')},
        'partOf', ${hex('r.part_of')}, 'decidedAtMs', r.decided_at_ms, ${noted('r')}) AS what
    FROM reservations r LEFT JOIN labels l ON l.subject_id = r.id WHERE r.customer_id = ?`,
  purchase: `SELECT p.created_at_ms AS at, ${hex('p.id')} AS place, p.id AS subject,
      JSON_OBJECT('state', p.state, 'amountMinor', p.amount_minor, 'currency', p.currency,
        'capturedMinor', p.captured_minor, 'externalId', p.charge_id, 'reason', p.reason, 'attempts', p.attempts,
        'updatedAtMs', p.updated_at_ms, ${noted('p')}) AS what
    FROM purchases p LEFT JOIN labels l ON l.subject_id = p.id WHERE p.customer_id = ?`,
  refund: `SELECT r.created_at_ms AS at, CONCAT(${hex('r.purchase_id')}, r.refund_key) AS place, r.purchase_id AS subject,
      JSON_OBJECT('amountMinor', r.amount_minor, 'state', r.state, 'reason', r.reason, 'failure', r.failure,
        'updatedAtMs', r.updated_at_ms) AS what
    FROM purchases p JOIN refunds r ON r.purchase_id = p.id WHERE p.customer_id = ?`,
  notice: `SELECT created_at_ms AS at, ${hex('id')} AS place, subject_id AS subject,
      JSON_OBJECT('notice', kind, 'readAtMs', read_at_ms) AS what
    FROM notifications WHERE customer_id = ?`,
  act: `SELECT a.at_ms AS at, ${hex('a.id')} AS place, a.subject_id AS subject,
      JSON_OBJECT('actId', ${hex('a.id')}, 'act', a.act, 'operatorId', ${hex('a.operator_id')},
        'correlationId', a.correlation_id) AS what
    FROM (SELECT id FROM customers WHERE id = ?
      UNION ALL SELECT id FROM reservations WHERE customer_id = ?
      UNION ALL SELECT id FROM purchases WHERE customer_id = ?) s JOIN operator_acts a ON a.subject_id = s.id`,
};

/** A page of one customer's story. Refuses a customer without an account, and a cursor that is not its own. */
export async function readStory(
  { db }: { readonly db: Pick<Sql, 'rows'> },
  customerId: CustomerId,
  { limit, cursor }: z.output<typeof StoryQuery>,
): Promise<Story | Refusal> {
  const cursorName = `${listName} of ${customerId}`;
  const after = readCursor(cursorName, cursor, Position);
  if (isRefusal(after)) return after;
  const [account] = await db.rows<Omit<Story['customer'], 'customerId' | 'createdAt'> & { createdAtMs: number }>(
    `SELECT email, name, external_id AS customerExternalId, role, locale, time_zone AS timeZone, created_at_ms AS createdAtMs
     FROM customers WHERE id = ?`,
    [toBytes(customerId)],
  );
  if (!account) return refuse('not_found', 'There is no such customer.');
  const parts = await Promise.all(kinds.map((kind) => readPart(db, kind, customerId, after, limit + 1)));
  const events = parts
    .flat()
    .sort(newestFirst)
    .slice(0, limit + 1);
  const { createdAtMs, ...rest } = account;
  const page: Page<StoryItem> = toPage(
    cursorName,
    events,
    limit,
    ({ atMs, kind, place }) => [atMs, kind, place],
    toItem,
  );
  return { customer: { customerId, ...rest, createdAt: toIso(createdAtMs) }, ...page };
}

async function readPart(
  db: Pick<Sql, 'rows'>,
  kind: Kind,
  customerId: CustomerId,
  after: z.output<typeof Position> | undefined,
  limit: number,
): Promise<Event[]> {
  const source = sources[kind];
  const owner = Array.from({ length: source.split('?').length - 1 }, () => toBytes(customerId));
  const [where, values] = after ? beyond(kind, after) : ['TRUE', []];
  const rows = await db.rows<Omit<Event, 'kind'>>(
    `SELECT at AS atMs, place, subject AS subjectId, what FROM (${source}) e WHERE ${where}
     ORDER BY at DESC, place DESC LIMIT ?`,
    [...owner, ...values, limit],
  );
  return rows.map((row) => ({ ...row, kind }));
}

/** The condition for the entries of a kind that come after a position; at the same moment, kinds have an order. */
function beyond(kind: Kind, [atMs, at, place]: z.output<typeof Position>): [string, unknown[]] {
  const order = kinds.indexOf(kind) - kinds.indexOf(at);
  if (order < 0) return ['at < ?', [atMs]];
  if (order > 0) return ['at <= ?', [atMs]];
  return ['(at < ? OR (at = ? AND place < ?))', [atMs, atMs, place]];
}

function newestFirst(one: Event, other: Event): number {
  return (
    other.atMs - one.atMs ||
    kinds.indexOf(one.kind) - kinds.indexOf(other.kind) ||
    (one.place < other.place ? 1 : one.place > other.place ? -1 : 0)
  );
}

function toItem({ atMs, kind, subjectId, what }: Event): StoryItem {
  const facts: Record<string, unknown> = typeof what === 'string' ? JSON.parse(what) : what;
  const shown = Object.entries(facts).map(([name, value]) => {
    if (name === 'metadata') return [name, readMetadata(value as string | null)];
    if (typeof value === 'string' && /Id$|^partOf$/.test(name) && /^[0-9a-f]{32}$/.test(value)) {
      return [name, fromBytes(Buffer.from(value, 'hex'))];
    }
    return name.endsWith('AtMs')
      ? [name.replace(/Ms$/, ''), value === null ? null : toIso(Number(value))]
      : [name, value];
  });
  return { at: toIso(atMs), kind, subjectId: subjectId && fromBytes(subjectId), what: Object.fromEntries(shown) };
}
