/**
 * All that is kept about a customer, for the customer: profile, reservations, purchases and notices, in parts of a bounded size.
 * Each part has the profile; what follows it is read by the cursor, list after list.
 */
import * as z from 'zod';
import { Me } from '#identity/identity.shapes.ts';
import { getMe } from '#identity/session.ts';
import type { MirrorNeeds } from '#mirror/mirror.ts';
import { listNotifications } from '#notification/list.ts';
import { Notification } from '#notification/notification.shapes.ts';
import { maxPageSize, nextPage, type Page, readCursor } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
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
    reservations: z.array(ReservationView),
    purchases: z.array(PurchaseView),
    notices: z.array(Notification),
    nextCursor: z.string().nullable().describe('Where the next part begins; null in the last one'),
  })
  .meta({ id: 'OwnData' });
type OwnData = z.input<typeof OwnData>;

const listName = 'own-data';
const lists = ['reservations', 'purchases', 'notices'] as const;
/** The list that is being read, and its own cursor; empty at its beginning. */
const Position = z.tuple([z.enum(lists), z.string().max(512)]);

/** One part of all that is kept about a customer. Refuses a cursor that is not its own. */
export async function exportOwnData(
  deps: MirrorNeeds,
  customerId: CustomerId,
  query: z.output<typeof ExportQuery>,
): Promise<OwnData | Refusal> {
  const position = readCursor(listName, query.cursor, Position);
  if (isRefusal(position)) return position;
  const [list, inner] = position ?? [lists[0], ''];
  const profile = await getMe(deps, customerId);
  if (isRefusal(profile)) return profile;
  const page = { limit: maxPageSize, ...(inner === '' ? {} : { cursor: inner }) };
  const empty = { profile, reservations: [], purchases: [], notices: [] };
  const read = {
    reservations: async () =>
      part(await listReservations(deps, customerId, page), (items) => ({ reservations: items })),
    purchases: async () => part(await listPurchases(deps, customerId, page), (items) => ({ purchases: items })),
    notices: async () =>
      part(await listNotifications(deps, customerId, page, undefined), (items) => ({ notices: items })),
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
