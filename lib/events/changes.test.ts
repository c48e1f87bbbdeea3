import { asId } from '#test/support/ids.ts';
import { ChangeGroups, groupChanges, type ReservationChange } from './changes.ts';

const id = (digit: string) => asId(`0190a0b0-0000-7000-8000-00000000000${digit}`);

function change(digit: string, own: Partial<ReservationChange> = {}): ReservationChange {
  const moved = { from: 'requested', to: 'allocated', units: 2, quantity: 3, ticket: 7, version: 1 } as const;
  return { reservationId: id(digit), saleId: id('a'), customerId: id('c'), ...moved, ...own };
}

describe('changes on the wire', () => {
  it('state the common fields of a group once', () => {
    const groups = groupChanges([change('1'), change('2'), change('3', { to: 'rejected', reason: 'sold_out' })]);
    expect(groups).toEqual([
      {
        saleId: id('a'),
        from: 'requested',
        to: 'allocated',
        moves: [
          [id('1'), id('c'), 2, 3, 7, 1],
          [id('2'), id('c'), 2, 3, 7, 1],
        ],
      },
      {
        saleId: id('a'),
        from: 'requested',
        to: 'rejected',
        reason: 'sold_out',
        moves: [[id('3'), id('c'), 2, 3, 7, 1]],
      },
    ]);
  });

  it('are the same changes after reading', () => {
    const changes = [
      change('1'),
      change('2', { saleId: id('b') }),
      change('3', { from: 'waitlisted', version: 2, deadlineMs: 1_800_000_000_000 }),
      change('4', { from: 'waitlisted', version: 2, deadlineMs: 1_800_000_000_001 }),
      change('5', { from: 'allocated', to: 'cancelled', reason: 'sale_cancelled' }),
    ];
    expect(ChangeGroups.parse(JSON.parse(JSON.stringify(groupChanges(changes))))).toEqual(changes);
  });

  it('are refused if a row is malformed', () => {
    const [group] = groupChanges([change('1')]);
    expect(ChangeGroups.safeParse([{ ...group, moves: [[id('1'), id('c'), 2, 3, 7]] }]).success).toBe(false);
    expect(ChangeGroups.safeParse([{ ...group, to: 'lost' }]).success).toBe(false);
  });
});
