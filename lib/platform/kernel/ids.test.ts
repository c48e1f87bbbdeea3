import { type CustomerId, derivedId, fromBytes, newId, type SaleId, toBytes } from './ids.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('ids are UUIDs, and survive the way through MySQL', () => {
  for (const id of [newId(), derivedId('purchase', newId(), 'key')]) {
    expect(id).toMatch(uuid);
    expect(fromBytes(toBytes(id))).toBe(id);
  }
});

test('an id of one kind does not compile where one of another kind is wanted', () => {
  const ofCustomer = (id: CustomerId) => id;
  const saleId: SaleId = newId();
  // @ts-expect-error A sale's id is no customer's.
  expect(ofCustomer(saleId)).toBe(saleId);
  const text: string = newId();
  // @ts-expect-error Text is no id.
  expect(ofCustomer(text)).toBe(text);
  const fresh = newId();
  // @ts-expect-error An id of no kind is no customer's either.
  expect(ofCustomer(fresh)).toBe(fresh);
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
