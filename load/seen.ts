/** What an answer showed, as the clients' log has it. Shared by all that write that log. */
import type { components } from '#client/index.ts';
import type { SeenNotice, SeenPurchase, SeenReservation } from './log.ts';

type Schemas = components['schemas'];

export function seenReservation({ reservationId, state, version, units }: Schemas['Reservation']): SeenReservation {
  return { reservationId, state, version, units };
}

export function seenPurchase({ purchaseId, state, amount }: Schemas['Purchase']): SeenPurchase {
  return { purchaseId, state, ...amount };
}

export function seenNotices(items: readonly Schemas['Notification'][]): SeenNotice[] {
  return items.map(({ notificationId, subjectId, version, kind }) => ({ notificationId, subjectId, version, kind }));
}
