import { derivedId } from '#platform/kernel/ids.ts';
import { type Named, openSeen, type Seen, type Share } from './recently-decided.ts';

const clockAt = (nowMs: number) => {
  const clock = Object.assign(() => clock.nowMs, { nowMs });
  return clock;
};

/** The id that a name stands for. */
const idOf = (name: string) => derivedId('test', '', name);
const [a, b, c, d, e, other] = ['a', 'b', 'c', 'd', 'e', 'other'].map(idOf) as [
  string,
  string,
  string,
  string,
  string,
  string,
];

const claim = (reservationId: string, customerId = idOf(`customer of ${reservationId}`)) => ({
  reservationId,
  customerId,
});

/** Work that ends when it is told to. */
function openWork() {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { end, run: () => ended };
}

/** Begins a batch of these claims. */
const begin = <T>(seen: Seen, claims: Named[], work: () => Promise<T>) => seen.during(seen.share(claims), work);

describe('what an environment knows of the reservations it decides', () => {
  it('leaves a reservation to the work that decides it, until that ends', async () => {
    const seen = openSeen(clockAt(0));
    const { end, run } = openWork();
    const [first, second] = [claim(a), claim(b)];
    const work = begin(seen, [first, second], run);
    const meanwhile = seen.share([first, claim(c)]);
    expect(meanwhile.own.map(({ reservationId }) => reservationId)).toEqual([c]);
    expect([...meanwhile.elsewhere.keys()]).toEqual([a]);
    expect(meanwhile.mayBeDecided).toEqual([]);
    end();
    await work;
    await meanwhile.elsewhere.get(a);
    const afterwards = seen.share([first, second, claim(d)]);
    expect(afterwards.elsewhere.size).toBe(0);
    expect(afterwards.own).toHaveLength(3);
    expect(afterwards.mayBeDecided).toEqual([first, second]);
    expect(afterwards.mayHaveOthers).toEqual([first, second]);
  });

  it('has work that failed looked up the next time, and tells who waits for it', async () => {
    const seen = openSeen(clockAt(0));
    const failed = begin(seen, [claim(a)], () => Promise.reject(new Error('no')));
    await expect(seen.share([claim(a)]).elsewhere.get(a)).rejects.toThrow('no');
    await expect(failed).rejects.toThrow('no');
    const { own, mayBeDecided, mayHaveOthers } = seen.share([claim(a)]);
    expect([own, mayBeDecided, mayHaveOthers]).toEqual([[claim(a)], [claim(a)], [claim(a)]]);
  });

  it('lets work for a customer wait for what is under way for the same one, and knows that there may be others', async () => {
    const seen = openSeen(clockAt(0));
    const order: string[] = [];
    const [first, second] = [openWork(), openWork()];
    const shares = [claim(a, c), claim(b, c), claim(d, c), claim(e, other)].map((one) => seen.share([one]));
    const note = (name: string) => async () => {
      order.push(name);
    };
    const [one, two, three, four] = shares as [Share<Named>, Share<Named>, Share<Named>, Share<Named>];
    expect(shares.map(({ mayHaveOthers }) => mayHaveOthers.length)).toEqual([0, 1, 1, 0]);
    const works = [
      seen.during(one, first.run),
      seen.during(two, async () => {
        await note('second')();
        await second.run();
      }),
      seen.during(three, note('third')),
      seen.during(four, note('of somebody else')),
    ];
    first.end();
    await works[0];
    await works[3];
    expect(order).toEqual(['of somebody else', 'second']);
    second.end();
    await Promise.all(works);
    expect(order.at(-1)).toBe('third');
  });

  it('has everything of a kind looked up for a while after a surprise', () => {
    const clock = clockAt(1_000);
    const seen = openSeen(clock);
    const strangers = Array.from({ length: 4 }, (_, n) => claim(idOf(`never heard of ${n}`)));
    const asked = (n: number) => {
      const { mayHaveOthers, mayBeDecided } = seen.share(strangers.slice(n, n + 1));
      return [mayHaveOthers.length, mayBeDecided.length];
    };
    expect(asked(0)).toEqual([0, 0]);
    seen.surprised('customer');
    expect(asked(1)).toEqual([1, 0]);
    seen.surprised('reservation');
    expect(asked(2)).toEqual([1, 1]);
    clock.nowMs += 30_000;
    expect(asked(3)).toEqual([0, 0]);
  });

  it('knows nearly all of the latest, and forgets in the end, so that its memory is bounded', () => {
    const seen = openSeen(clockAt(0));
    const claims = Array.from({ length: 250_000 }, (_, n) => claim(idOf(String(n)), idOf(`customer ${n}`)));
    seen.share(claims);
    expect(seen.share(claims.slice(-20_000)).mayBeDecided.length).toBeGreaterThan(19_990);
    expect(seen.share(claims.slice(0, 20_000)).mayHaveOthers.length).toBeLessThan(1_000);
  });
});
