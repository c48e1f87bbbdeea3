import fc from 'fast-check';
import { reservationStates } from '#state/reservation-state.ts';
import { newId } from '#test/support/ids.ts';
import { type MirroredReservation, pack, unpack } from './claims.ts';

const anyRow = fc
  .record({
    state: fc.constantFrom(...reservationStates),
    version: fc.nat(),
    units: fc.nat(),
    quantity: fc.integer({ min: 1, max: 10_000 }),
    less: fc.nat(9_999),
    ticket: fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 2 ** 24 - 1, 2 ** 24, 2 ** 36, 2 ** 53 - 1)),
  })
  .map(
    ({ less, quantity, ...row }): MirroredReservation => ({
      ...row,
      quantity,
      atLeast: Math.max(1, quantity - less),
      reservationId: newId(),
      customerId: newId(),
      saleId: newId(),
    }),
  );

test('unpacking reverses packing, and the ticket is in plain hex, as the scripts write it', () => {
  fc.assert(
    fc.property(anyRow, fc.nat(), (row, position) => {
      const packed = `${pack(row)}${position}`;
      const { state, version, units, quantity, atLeast, ticket } = row;
      const place = position === 0 ? null : position;
      expect(unpack(packed)).toEqual({ state, version, units, quantity, atLeast, ticket, position: place });
      expect(packed.split(':')[5]).toBe(ticket.toString(16));
    }),
  );
});
