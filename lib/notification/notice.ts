/**
 * The notices that follow from an event, for the customers it concerns. Pure: the same event always gives the same notices.
 *
 * A notice is identified by its subject, the subject's version and its kind. Its id is derived from these and the event's
 * time, so an event that is delivered again leads to the same rows.
 */
import type { BusEvent } from '#events/catalog.ts';
import type { ReservationChange } from '#events/changes.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type CustomerId, consequentId } from '#platform/kernel/ids.ts';

export const noticeKinds = [
  'reservation.allocated',
  'reservation.waitlisted',
  'reservation.rejected',
  'reservation.offered',
  'reservation.purchased',
  'reservation.cancelled',
  'reservation.expired',
  'reservation.refunded',
  'reminder.purchase-opened',
  'reminder.closing-soon',
  'reminder.called-off-refund',
  'reminder.called-off-keep',
  'purchase.captured',
  'purchase.declined',
  'purchase.refunded',
  'purchase.refunded-in-part',
] as const;

export type NoticeKind = (typeof noticeKinds)[number];

/** One notification of a customer about a change of their reservation or purchase. */
export interface Notice {
  readonly id: string;
  readonly customerId: CustomerId;
  /** The reservation or purchase that it is about. */
  readonly subjectId: string;
  readonly version: number;
  readonly kind: NoticeKind;
  readonly facts: Record<string, unknown>;
  readonly createdAtMs: number;
}

/** The notices that follow from an event; none from one that concerns no customer. */
export function noticesOf(event: BusEvent): Notice[] {
  switch (event['detail-type']) {
    case 'reservations.changed':
      return event.detail.changes.flatMap((change) => {
        const kind = kindOfChange(change);
        return kind
          ? [notice(kind, change.reservationId, change, factsOfChange(change), event.detail.occurredAtMs)]
          : [];
      });
    case 'reservations.reminded': {
      const { saleId, reason, recipients, occurredAtMs } = event.detail;
      return recipients.map((one) => {
        const facts = { saleId, units: one.units, deadline: toIso(one.deadlineMs) };
        return notice(`reminder.${reason}`, one.reservationId, one, facts, occurredAtMs);
      });
    }
    case 'purchase.changed': {
      const { purchaseId, state, amountMinor, currency, reservationIds, reason, occurredAtMs } = event.detail;
      const { givenBackMinor } = event.detail;
      const because = reason ? { reason } : {};
      if (givenBackMinor !== undefined && state !== 'refunded') {
        const facts = { amount: { amountMinor: givenBackMinor, currency }, reservationIds, ...because };
        return [notice('purchase.refunded-in-part', purchaseId, event.detail, facts, occurredAtMs)];
      }
      if (state !== 'captured' && state !== 'declined' && state !== 'refunded') return [];
      const facts = { amount: { amountMinor, currency }, reservationIds, ...because };
      return [notice(`purchase.${state}`, purchaseId, event.detail, facts, occurredAtMs)];
    }
    case 'sale.changed':
      return [];
  }
}

function kindOfChange({ from, to }: ReservationChange): NoticeKind | undefined {
  if (to === 'requested') return undefined;
  if (to === 'allocated') return from === 'waitlisted' ? 'reservation.offered' : 'reservation.allocated';
  return `reservation.${to}`;
}

function factsOfChange(change: ReservationChange): Record<string, unknown> {
  const { saleId, units, quantity, ticket, reason, deadlineMs } = change;
  return {
    saleId,
    units,
    quantity,
    ticket,
    ...(reason ? { reason } : {}),
    ...(deadlineMs === undefined ? {} : { deadline: toIso(deadlineMs) }),
  };
}

function notice(
  kind: NoticeKind,
  subjectId: string,
  { customerId, version }: { customerId: CustomerId; version: number },
  facts: Record<string, unknown>,
  createdAtMs: number,
): Notice {
  const id = consequentId(createdAtMs, `${subjectId}\0${version}\0${kind}`);
  return { id, customerId, subjectId, version, kind, facts, createdAtMs };
}
