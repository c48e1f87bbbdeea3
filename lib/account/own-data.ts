/**
 * All that is kept about a customer, for the customer: account, reservations, purchases, notices and sessions, in parts of a bounded
 * size. Each part has the account; what follows it is read by the cursor, list after list.
 */
import * as z from 'zod';
import { findKnown } from '#identity/customer.store.ts';
import { Me, OwnSession } from '#identity/identity.shapes.ts';
import { getMe, listSessions } from '#identity/session.ts';
import type { MirrorNeeds } from '#mirror/mirror.ts';
import { listNotifications } from '#notification/list.ts';
import { Notification } from '#notification/notification.shapes.ts';
import { maxPageSize, nextPage, type Page, readCursor } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { Time } from '#platform/kernel/shapes.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { PurchaseView } from '#purchase/purchase.shapes.ts';
import { listPurchases } from '#purchase/read.ts';
import { listReservations } from '#reservation/read.ts';
import { ReservationView } from '#reservation/reservation.shapes.ts';

export const ExportQuery = z.strictObject({
  cursor: z.string().max(1_024).optional().describe('The nextCursor of the part before'),
});

export const OwnData = z
  .object({
    profile: Me,
    registeredAt: Time.describe('Since when there is the account'),
    externalId: z.string().nullable().describe('How a system of the shop’s own, or another issuer, knows you'),
    reservations: z.array(ReservationView),
    purchases: z.array(PurchaseView),
    notices: z.array(Notification),
    sessions: z.array(OwnSession).describe('Where you are signed in'),
    nextCursor: z.string().nullable().describe('Where the next part begins; null in the last one'),
  })
  .meta({ id: 'OwnData' });
type OwnData = z.input<typeof OwnData>;

const listName = 'own-data';
const lists = ['reservations', 'purchases', 'notices', 'sessions'] as const;
/** The list that is being read, and its own cursor; empty at its beginning. */
const Position = z.tuple([z.enum(lists), z.string().max(512)]);

/** One part of all that is kept about a customer. Refuses a cursor that is not its own. */
export async function exportOwnData(
  deps: MirrorNeeds,
  caller: Caller,
  query: z.output<typeof ExportQuery>,
): Promise<OwnData | Refusal> {
  const position = readCursor(listName, query.cursor, Position);
  if (isRefusal(position)) return position;
  const [list, inner] = position ?? [lists[0], ''];
  const { customerId } = caller;
  const [profile, known] = await Promise.all([getMe(deps, customerId), findKnown(deps.db, customerId)]);
  if (isRefusal(profile)) return profile;
  if (!known) return refuse('unauthenticated', 'This account no longer exists.');
  const page = { limit: maxPageSize, ...(inner === '' ? {} : { cursor: inner }) };
  const account = { profile, registeredAt: toIso(known.createdAtMs), externalId: known.externalId };
  const empty = { ...account, reservations: [], purchases: [], notices: [], sessions: [] };
  const read = {
    reservations: async () =>
      part(await listReservations(deps, customerId, page), (items) => ({ reservations: items })),
    purchases: async () => part(await listPurchases(deps, customerId, page), (items) => ({ purchases: items })),
    notices: async () =>
      part(await listNotifications(deps, customerId, page, undefined), (items) => ({ notices: items })),
    sessions: async () => part(await listSessions(deps, caller, page), (items) => ({ sessions: items })),
  };
  const found = await read[list]();
  if (isRefusal(found)) return found;
  const after = lists[lists.indexOf(list) + 1];
  const next = found.cursor !== null ? [list, found.cursor] : after === undefined ? undefined : [after, ''];
  return { ...empty, ...found.data, nextCursor: nextPage(listName, [], next).nextCursor };
}

/** What a page brings to a part, and where its list goes on. */
function part<Item, Data>(
  page: Page<Item> | Refusal,
  toData: (items: Item[]) => Data,
): { data: Data; cursor: string | null } | Refusal {
  return isRefusal(page) ? page : { data: toData(page.items), cursor: page.nextCursor };
}
