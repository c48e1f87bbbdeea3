import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { newSaleId, saleTag, saleTagOf } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { deriveReservationId, idsOfSale } from './reservation-id.ts';

test('I3: the same customer, sale and key always give the same reservation, anything else another', () => {
  const [sale, other, customer] = [newSaleId(10, Date.now()), newSaleId(10, Date.now()), newId()];
  const id = deriveReservationId(sale, customer, 'a');
  expect(deriveReservationId(sale, customer, 'a')).toBe(id);
  expect(
    new Set([
      id,
      deriveReservationId(sale, customer, 'b'),
      deriveReservationId(other, customer, 'a'),
      deriveReservationId(sale, newId(), 'a'),
    ]).size,
  ).toBe(4);
});

test('a reservation id is a UUID that leads to its sale', () => {
  const sale = newSaleId(1_000, Date.now());
  const id = deriveReservationId(sale, newId(), 'a');
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(fromBytes(toBytes(id))).toBe(id);
  expect(saleTagOf(id)).toBe(saleTag(sale));
});

test("the reservations of a sale are in its range of ids, and another sale's are not", () => {
  const { after, last } = idsOfSale(newSaleId(10, Date.now()));
  expect(after.compare(last)).toBeLessThan(0);
  const sale = newSaleId(1_000, Date.now());
  const inRange = (id: Buffer) => idsOfSale(sale).after.compare(id) < 0 && idsOfSale(sale).last.compare(id) >= 0;
  expect(inRange(toBytes(deriveReservationId(sale, newId(), 'a')))).toBe(true);
  expect(inRange(toBytes(deriveReservationId(newSaleId(1_000, Date.now()), newId(), 'a')))).toBe(false);
});
