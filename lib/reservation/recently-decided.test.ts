import { type CustomerId, derivedId, type ReservationId } from '#platform/kernel/ids.ts';
import { asId } from '#test/support/ids.ts';
import { recentlyDecided } from './recently-decided.ts';

const clockAt = (nowMs: number) => {
  const clock = Object.assign(() => clock.nowMs, { nowMs });
  return clock;
};

/** Always the same, since two ids may share what is remembered of them, once in some thousand runs of this file. */
const someone = asId('0190a0b0-0000-7000-8000-000000000001');
/** The id that a name stands for. */
const idOf = (name: string) => asId(derivedId('test', someone, name));
const [a, b, c, d, e] = [idOf('a'), idOf('b'), idOf('c'), idOf('d'), idOf('e')];

const claim = (reservationId: ReservationId, customerId: CustomerId = idOf(`customer of ${reservationId}`)) => ({
  reservationId,
  customerId,
});

describe('what an environment remembers of the reservations it has decided', () => {
  it('looks up what it has decided before, and nothing else', () => {
    const memory = recentlyDecided({ clock: clockAt(0) });
    const [first, second] = [claim(a), claim(b)];
    expect(memory.meet([first, second])).toEqual({ mayBeDecided: [], mayHaveOthers: [] });
    expect(memory.meet([claim(c), first])).toEqual({ mayBeDecided: [first], mayHaveOthers: [first] });
    expect(memory.meet([claim(d)])).toEqual({ mayBeDecided: [], mayHaveOthers: [] });
  });

  it('looks up the other reservations of a customer seen before, in an earlier batch or in this one', () => {
    const memory = recentlyDecided({ clock: clockAt(0) });
    const customerId = idOf('a customer');
    const [first, second, third] = [claim(a, customerId), claim(b, customerId), claim(c, customerId)];
    memory.meet([first]);
    expect(memory.meet([second, claim(d)])).toEqual({ mayBeDecided: [], mayHaveOthers: [second] });
    const [one, other] = [claim(e, idOf('new')), claim(idOf('f'), idOf('new'))];
    expect(memory.meet([one, third, other])).toEqual({ mayBeDecided: [], mayHaveOthers: [third, other] });
  });

  it('looks up everything of a kind for a while after a miss', () => {
    const clock = clockAt(1_000);
    const memory = recentlyDecided({ clock });
    const strangers = Array.from({ length: 4 }, (_, n) => claim(idOf(`never heard of ${n}`)));
    const asked = (n: number) => {
      const { mayHaveOthers, mayBeDecided } = memory.meet(strangers.slice(n, n + 1));
      return [mayHaveOthers.length, mayBeDecided.length];
    };
    expect(asked(0)).toEqual([0, 0]);
    memory.surprised('customer');
    expect(asked(1)).toEqual([1, 0]);
    memory.surprised('reservation');
    expect(asked(2)).toEqual([1, 1]);
    clock.nowMs += 2_000;
    expect(asked(3)).toEqual([0, 0]);
  });

  it('remembers the latest and forgets the oldest, so that its memory is bounded', () => {
    const memory = recentlyDecided({ clock: clockAt(0) });
    const claims = Array.from({ length: 50_000 }, (_, n) => claim(idOf(String(n)), idOf(`customer ${n}`)));
    memory.meet(claims);
    const latest = memory.meet(claims.slice(-20_000));
    expect([latest.mayBeDecided.length, latest.mayHaveOthers.length]).toEqual([20_000, 20_000]);
    const forgotten = memory.meet(claims.slice(0, 20_000));
    expect([forgotten.mayBeDecided.length, forgotten.mayHaveOthers.length]).toEqual([0, 0]);
  });
});
