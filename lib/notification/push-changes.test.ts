import { BusEvent, type EventDetail, type EventName } from '#events/catalog.ts';
import { groupChanges } from '#events/changes.ts';
import { newEvent } from '#events/outbox.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { newId } from '#test/support/ids.ts';
import { liveOf } from './push-changes.ts';

const saleId = newId();

function busEvent<Name extends EventName>(name: Name, detail: EventDetail<Name>): BusEvent {
  const event = newEvent(name, detail, Date.UTC(2026, 0, 1));
  return BusEvent.parse({ 'detail-type': event.detailType, detail: JSON.parse(event.detail) });
}

function stock(epoch: number, version: number): StockLevel {
  return { saleId, epoch, version, allotment: 10, available: 10 - version, allocated: version, sold: 0, waitlisted: 0 };
}

const stocksOf = (levels: StockLevel[]) =>
  busEvent('reservations.changed', { changes: [], stocks: levels, released: false });

describe('live pushes', () => {
  it('of many stock levels of a sale only the newest is pushed, in any order of arrival', () => {
    const { forWatchers } = liveOf([stocksOf([stock(1, 3)]), stocksOf([stock(1, 5)]), stocksOf([stock(1, 4)])]);
    expect(forWatchers.map(({ body }) => body)).toEqual([{ type: 'stock', ...stock(1, 5) }]);
  });

  it('a higher epoch is newer with any version', () => {
    const { forWatchers } = liveOf([stocksOf([stock(2, 1)]), stocksOf([stock(1, 9)])]);
    expect(forWatchers).toMatchObject([{ epoch: 2, version: 1 }]);
  });

  it('a change of a sale gives its phase and its stock', () => {
    const detail = { saleId, phase: 'purchasing', status: 'active', stock: stock(1, 7) } as const;
    const { forWatchers, forCustomers } = liveOf([busEvent('sale.changed', detail), stocksOf([stock(1, 6)])]);
    expect(forWatchers.map(({ body }) => body)).toEqual([
      { type: 'sale', saleId, phase: 'purchasing', status: 'active', epoch: 1, version: 7 },
      { type: 'stock', ...stock(1, 7) },
    ]);
    expect(forCustomers).toEqual([]);
  });

  it("a customer's messages keep the order of versions, with state and sentence", () => {
    const reservationId = newId();
    const customerId = newId();
    const move = (from: 'waitlisted' | 'allocated', to: 'allocated' | 'purchased', version: number) =>
      busEvent('reservations.changed', {
        changes: groupChanges([
          { reservationId, saleId, customerId, from, to, units: 2, quantity: 2, ticket: 1, version },
        ]),
        stocks: [],
        released: false,
      });
    const { forCustomers } = liveOf([move('allocated', 'purchased', 3), move('waitlisted', 'allocated', 2)]);
    expect(forCustomers.map(({ body }) => body)).toMatchObject([
      { type: 'reservation', kind: 'reservation.offered', reservationId, state: 'allocated', version: 2 },
      { type: 'reservation', kind: 'reservation.purchased', reservationId, state: 'purchased', version: 3 },
    ]);
  });
});
