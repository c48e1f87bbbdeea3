import { BusEvent } from '#events/catalog.ts';
import { groupChanges, type ReservationChange } from '#events/changes.ts';
import { newEvent, type RecordedEvent } from '#events/outbox.ts';
import { newId } from '#test/support/ids.ts';
import { noticesOf } from './notice.ts';

const saleId = newId();
const customerId = newId();
const atMs = Date.UTC(2026, 0, 31, 18);

const arrived = ({ detailType, detail }: RecordedEvent) =>
  BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) });

function changed(from: ReservationChange['from'], to: ReservationChange['to'], version = 1): BusEvent {
  const change = { reservationId: newId(), saleId, customerId, from, to, units: 2, quantity: 3, ticket: 7, version };
  const detail = { changes: groupChanges([change]), stocks: [], released: false };
  return arrived(newEvent('reservations.changed', detail, atMs));
}

describe('notices', () => {
  it.each([
    ['requested', 'allocated', 'reservation.allocated'],
    ['requested', 'waitlisted', 'reservation.waitlisted'],
    ['requested', 'rejected', 'reservation.rejected'],
    ['waitlisted', 'allocated', 'reservation.offered'],
    ['waitlisted', 'expired', 'reservation.expired'],
    ['allocated', 'purchased', 'reservation.purchased'],
    ['allocated', 'cancelled', 'reservation.cancelled'],
    ['allocated', 'expired', 'reservation.expired'],
    ['purchased', 'refunded', 'reservation.refunded'],
  ] as const)('a move from %s to %s gives the notice %s', (from, to, kind) => {
    expect(noticesOf(changed(from, to)).map((notice) => notice.kind)).toEqual([kind]);
  });

  it('the same event always gives the same ids, and another version another id', () => {
    const event = changed('requested', 'allocated');
    const first = noticesOf(event);
    expect(noticesOf(structuredClone(event))).toEqual(first);
    const later = structuredClone(event) as typeof event & { detail: { changes: { version: number }[] } };
    for (const change of later.detail.changes) change.version = 2;
    expect(noticesOf(later)[0]?.id).not.toBe(first[0]?.id);
  });

  it('ids sort by the time of the event', () => {
    const [early] = noticesOf(changed('requested', 'allocated'));
    expect(early?.createdAtMs).toBe(atMs);
    expect((early?.id ?? '') < newId(atMs + 1)).toBe(true);
  });

  it('a reminder goes to each recipient, with the deadline', () => {
    const recipients = [1, 2].map(() => ({
      reservationId: newId(),
      customerId,
      units: 1,
      version: 1,
      deadlineMs: atMs,
    }));
    const event = newEvent('reservations.reminded', { saleId, reason: 'closing-soon', recipients }, atMs);
    const notices = noticesOf(arrived(event));
    expect(notices.map(({ kind, facts }) => [kind, facts.deadline])).toEqual([
      ['reminder.closing-soon', '2026-01-31T18:00:00.000Z'],
      ['reminder.closing-soon', '2026-01-31T18:00:00.000Z'],
    ]);
  });

  it.each([
    ['captured', ['purchase.captured']],
    ['declined', ['purchase.declined']],
    ['refunded', ['purchase.refunded']],
    ['requires_action', ['purchase.requires_action']],
    ['unknown', []],
    ['refunding', []],
  ] as const)('a purchase that is %s is told as %j', (state, kinds) => {
    const detail = {
      purchaseId: newId(),
      customerId,
      state,
      amountMinor: 1,
      currency: 'EUR',
      reservationIds: [],
      version: 2,
    };
    const event = newEvent('purchase.changed', detail, atMs);
    const notices = noticesOf(arrived(event));
    expect(notices.map((notice) => notice.kind)).toEqual(kinds);
  });
});
