import { mayMove, reservationStates, statesBefore } from './reservation-state.ts';

test('a reservation makes exactly the moves of the design', () => {
  const legal = reservationStates.flatMap((from) =>
    reservationStates.filter((to) => mayMove(from, to)).map((to) => `${from} → ${to}`),
  );
  expect(legal).toEqual([
    'requested → allocated',
    'requested → waitlisted',
    'requested → rejected',
    'requested → cancelled',
    'allocated → purchased',
    'allocated → cancelled',
    'allocated → expired',
    'waitlisted → allocated',
    'waitlisted → cancelled',
    'waitlisted → expired',
    'purchased → refunded',
  ]);
});

test('what SQL accepts before a move is what the table says', () => {
  expect(statesBefore('cancelled')).toEqual(['requested', 'allocated', 'waitlisted']);
  expect(statesBefore('refunded')).toEqual(['purchased']);
});

test('nothing leaves a final state', () => {
  expect(reservationStates.filter((from) => reservationStates.every((to) => !mayMove(from, to)))).toEqual([
    'rejected',
    'cancelled',
    'expired',
    'refunded',
  ]);
});
