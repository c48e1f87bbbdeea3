/**
 * The notices that follow from an event, for the customers it concerns. Pure: the same event always gives the same notices.
 *
 * A notice is identified by its subject, the subject's version, its kind, and the round in which it was announced. Its id
 * follows from these and the event's time, so an event that is delivered again leads to the same rows.
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
  'reservation.reduced',
  'reservation.purchased',
  'reservation.cancelled',
  'reservation.expired',
  'reservation.refunded',
  'reminder.purchase-opened',
  'reminder.closing-soon',
  'reminder.payment-due',
  'reminder.rescheduled',
  'reminder.paused',
  'reminder.resumed',
  'reminder.called-off-refund',
  'reminder.called-off-keep',
  'reminder.moved-up',
  'purchase.captured',
  'purchase.declined',
  'purchase.refunded',
  'purchase.refunded-in-part',
  'purchase.requires_action',
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
  /** Which announcement of its kind it is; zero for events that happen once per version of the subject. */
  readonly round: number;
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
      const { saleId, reason, recipients, occurredAtMs, round } = event.detail;
      const times = factsOfTimes(event.detail);
      return recipients.map((one) => {
        const deadline = one.deadlineMs === undefined ? {} : { deadline: toIso(one.deadlineMs) };
        const position = one.position === undefined ? {} : { position: one.position };
        const facts = { saleId, units: one.units, ...deadline, ...position, ...times };
        return notice(`reminder.${reason}`, one.reservationId, one, facts, occurredAtMs, round);
      });
    }
    case 'purchase.changed': {
      const { purchaseId, state, amountMinor, currency, reservationIds, reason, occurredAtMs } = event.detail;
      const { givenBackMinor, isAllBack } = event.detail;
      const because = reason ? { reason } : {};
      if (givenBackMinor !== undefined && state !== 'refunded' && !isAllBack) {
        const facts = { amount: { amountMinor: givenBackMinor, currency }, reservationIds, ...because };
        return [notice('purchase.refunded-in-part', purchaseId, event.detail, facts, occurredAtMs)];
      }
      if (state === 'requires_action') {
        const { deadlineMs } = event.detail;
        const deadline = deadlineMs === undefined ? {} : { deadline: toIso(deadlineMs) };
        const facts = { amount: { amountMinor, currency }, reservationIds, ...deadline };
        return [notice('purchase.requires_action', purchaseId, event.detail, facts, occurredAtMs)];
      }
      const told = isAllBack ? 'refunded' : state;
      if (told !== 'captured' && told !== 'declined' && told !== 'refunded') return [];
      const facts = { amount: { amountMinor, currency }, reservationIds, ...because };
      return [notice(`purchase.${told}`, purchaseId, event.detail, facts, occurredAtMs)];
    }
    case 'sale.changed':
    case 'sale.published':
      return [];
  }
}

function kindOfChange({ from, to }: ReservationChange): NoticeKind | undefined {
  if (to === 'requested') return undefined;
  if (from === to) return 'reservation.reduced';
  if (to === 'allocated') return from === 'waitlisted' ? 'reservation.offered' : 'reservation.allocated';
  return `reservation.${to}`;
}

function factsOfChange(change: ReservationChange): Record<string, unknown> {
  const { saleId, from, to, units, quantity, ticket, reason, deadlineMs } = change;
  return {
    saleId,
    ...(from === to ? { state: to } : {}),
    units,
    quantity,
    ticket,
    ...(reason ? { reason } : {}),
    ...(deadlineMs === undefined ? {} : { deadline: toIso(deadlineMs) }),
  };
}

/** The times that a customer should know after a change; a reminder needs only its deadline. */
function factsOfTimes({ reason, times, occurredAtMs, announcedAtMs }: RemindedDetail): Record<string, string> {
  if (reason === 'paused') return { pausedAt: toIso(announcedAtMs ?? occurredAtMs) };
  if (!times || reason === 'purchase-opened' || reason === 'closing-soon') return {};
  const { purchaseOpensAtMs, purchaseClosesAtMs } = times;
  return {
    purchaseOpensAt: toIso(purchaseOpensAtMs),
    purchaseClosesAt: toIso(purchaseClosesAtMs),
  };
}

type RemindedDetail = Extract<BusEvent, { 'detail-type': 'reservations.reminded' }>['detail'];

function notice(
  kind: NoticeKind,
  subjectId: string,
  { customerId, version }: { customerId: CustomerId; version: number },
  facts: Record<string, unknown>,
  createdAtMs: number,
  round = 0,
): Notice {
  // Without a round the id is the one of builds before rounds, so that their events lead to the same rows.
  const name = `${subjectId}\0${version}\0${kind}`;
  const id = consequentId(createdAtMs, round === 0 ? name : `${name}\0${round}`);
  return { id, customerId, subjectId, version, kind, round, facts, createdAtMs };
}
