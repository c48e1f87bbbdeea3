/** What a transaction tells: every change once, every sale's stock once, each event small enough for the bus. */

import type { SaleId } from '#platform/kernel/ids.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { newId } from '#test/support/ids.ts';
import type { ReservationChange } from './changes.ts';
import { expandChanges } from './changes.ts';
import { changeEvents, changesPerEvent } from './outbox.ts';

const largestEntryBytes = 256 * 1024;

function stock(saleId: SaleId): StockLevel {
  const units = 2_000_000_000;
  return { saleId, epoch: 1, version: units, allotment: units, available: units, allocated: 0, sold: 0, waitlisted: 0 };
}

function change(saleId: SaleId): ReservationChange {
  const moved = { from: 'requested', to: 'rejected', units: 0, quantity: 1, version: 1, reason: 'sold_out' } as const;
  return { reservationId: newId(), saleId, customerId: newId(), ticket: 1_800_000_000_000_000, ...moved };
}

const detailsOf = (changes: ReservationChange[], stocks: StockLevel[]) =>
  changeEvents(changes, stocks, false, 1).map(({ detail }) => JSON.parse(detail));

test('a batch of requests for as many sales is published completely, in entries within the limit of the bus', () => {
  const changes = Array.from({ length: 2 * changesPerEvent + 1 }, () => change(newId()));
  const stocks = changes.map(({ saleId }) => stock(saleId));
  const events = changeEvents(changes, stocks, false, 1);
  expect(Math.max(...events.map(({ detail }) => Buffer.byteLength(detail)))).toBeLessThan(largestEntryBytes);
  const details = detailsOf(changes, stocks);
  expect(details).toHaveLength(3);
  expect(details.flatMap((detail) => expandChanges(detail.changes))).toEqual(changes);
  expect(details.flatMap((detail) => detail.stocks)).toEqual(stocks);
});

test('the stock of a sale is published once, with the first of its changes', () => {
  const [one, two] = [newId(), newId()];
  const changes = Array.from({ length: changesPerEvent + 1 }, (_, n) => change(n < changesPerEvent ? one : two));
  const details = detailsOf([...changes, change(one)], [stock(one), stock(two)]);
  expect(details.map(({ stocks }) => stocks)).toEqual([[stock(one)], [stock(two)]]);
});

test('a change of stock alone is published, and without a change there is no event', () => {
  const level = stock(newId());
  expect(detailsOf([], [level])).toMatchObject([{ changes: [], stocks: [level] }]);
  expect(changeEvents([], [], false, 1)).toEqual([]);
});
