import {
  claimBucket,
  derivedId,
  fromBytes,
  newId,
  newSaleId,
  reservationId,
  saleTag,
  saleTagOf,
  toBytes,
} from './ids.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('ids are UUIDs, and survive the way through MySQL', () => {
  const sale = newSaleId(100);
  for (const id of [newId(), sale, reservationId(sale, newId(), 'key'), derivedId('purchase', newId(), 'key')]) {
    expect(id).toMatch(uuid);
    expect(fromBytes(toBytes(id))).toBe(id);
  }
});

test.each(['', 'x', '0190a0b0', `${newId()}0`, newId().replace(/.$/, "'"), newId().replace(/^./, 'é')])(
  'bytes are made of a UUID and not of %j',
  (text) => {
    expect(() => toBytes(text)).toThrow('UUID');
  },
);

test('new ids are ordered by time', () => {
  expect([newId(2_000), newId(1_000), newId(3_000)].sort().map((id) => Number.parseInt(id.slice(0, 8), 16))).toEqual(
    [1_000, 2_000, 3_000].map((ms) => Math.floor(ms / 65_536)),
  );
});

test('I3: the same customer, sale and key always give the same reservation, anything else another', () => {
  const [sale, other, customer] = [newSaleId(10), newSaleId(10), newId()];
  const id = reservationId(sale, customer, 'a');
  expect(reservationId(sale, customer, 'a')).toBe(id);
  expect(
    new Set([
      id,
      reservationId(sale, customer, 'b'),
      reservationId(other, customer, 'a'),
      reservationId(sale, newId(), 'a'),
    ]).size,
  ).toBe(4);
});

test('a reservation id leads to its sale', () => {
  const sale = newSaleId(1_000);
  expect(saleTagOf(reservationId(sale, newId(), 'a'))).toBe(saleTag(sale));
});

test.each([
  [1, 1],
  [24, 1],
  [1_000, 64],
  [100_000, 8_192],
  [100_000_000, 32_768],
])('the claims of %d expected reservations are spread over %d buckets', (expected, buckets) => {
  const tag = saleTag(newSaleId(expected));
  const used = new Set(Array.from({ length: 2_000 }, () => claimBucket(tag, newId())));
  expect(Math.max(...used)).toBeLessThan(buckets);
  expect(used.size).toBeGreaterThan(Math.min(buckets, 1_000) * 0.8);
});
