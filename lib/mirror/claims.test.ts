import fc from 'fast-check';
import { reservationStates } from '#state/reservation-state.ts';
import { asId, newId } from '#test/support/ids.ts';
import { customerField, type MirroredReservation, pack, reservationField, unpack } from './claims.ts';

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
      expect(unpack(packed)).toEqual({
        state,
        version,
        units,
        quantity,
        atLeast,
        ticket,
        position: place,
        shown: null,
      });
      expect(packed.split(':')[5]).toBe(ticket.toString(16));
    }),
  );
});

test('fields are parts of the ids in base64url, as builds before and after this one write them', () => {
  const anyId = fc.uuid().map((id) => asId(id));
  const short = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');
  fc.assert(
    fc.property(anyId, anyId, (reservationId, customerId) => {
      const ofCustomer = customerId.slice(19, 23) + customerId.slice(24, 32);
      expect(customerField(customerId)).toBe(`@${short(ofCustomer)}`);
      expect(reservationField(reservationId, customerId)).toBe(
        short(reservationId.slice(24) + customerId.slice(24, 30)),
      );
    }),
  );
});

test('what is shown of a decided reservation is packed with it, and fits into a small hash', () => {
  const anyTime = fc.integer({ min: 1_600_000_000_000, max: 2_500_000_000_000 });
  const states = ['allocated', 'waitlisted', 'rejected', 'cancelled', 'expired'] as const;
  fc.assert(
    fc.property(
      anyRow,
      anyTime,
      fc.integer({ min: -60_000, max: 86_400_000 }),
      fc.option(anyTime),
      fc.option(fc.constantFrom('sold_out', 'deadline_passed', 'given_back')),
      fc.constantFrom(...states),
      (row, acceptedAtMs, waitedMs, deadlineMs, reason, state) => {
        const decidedAtMs = acceptedAtMs + waitedMs;
        const ticket = acceptedAtMs * 1_000 + 999;
        const shown = { reason, deadlineMs, acceptedAtMs, decidedAtMs };
        const packed = `${pack({ ...row, state, ticket, ...shown })}7`;
        expect(unpack(packed)).toMatchObject({
          state,
          ticket,
          position: 7,
          shown: { ...shown, deadlineMs: state === 'allocated' ? deadlineMs : null },
        });
      },
    ),
  );
  const usual = { quantity: 10_000, atLeast: 1, units: 10_000, version: 12, ticket: 1_800_000_000_000_999 };
  const times = { acceptedAtMs: 1_800_000_000_000, decidedAtMs: 1_800_000_086_400, deadlineMs: 1_800_100_000_000 };
  const ids = { reservationId: newId(), customerId: newId(), saleId: newId() };
  // Longer values would turn a bucket from a listpack into a table of several times its size.
  expect(`${pack({ ...ids, ...usual, ...times, state: 'allocated', reason: null })}1000000`.length).toBeLessThan(64);
});

test('what is paid for, is a part, or came without the gate has to be asked of MySQL', () => {
  const row = {
    ...{ reservationId: newId(), customerId: newId(), saleId: newId() },
    ...{ state: 'allocated' as const, units: 1, quantity: 1, atLeast: 1, version: 1, ticket: 1_800_000_000_000_000 },
    ...{ acceptedAtMs: 1_800_000_000_000, decidedAtMs: 1_800_000_000_001, deadlineMs: null, reason: null },
  };
  const shownOf = (change: Partial<MirroredReservation>) => unpack(`${pack({ ...row, ...change })}0`).shown;
  expect(shownOf({})).not.toBeNull();
  expect(shownOf({ purchaseId: newId() })).toBeNull();
  expect(shownOf({ partOf: newId() })).toBeNull();
  expect(shownOf({ acceptedAtMs: row.acceptedAtMs + 1 })).toBeNull();
  expect(shownOf({ state: 'purchased' })).toBeNull();
});
