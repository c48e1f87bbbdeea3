import { derivedId } from '../platform/id.ts';
import { openSeen } from './seen.ts';

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

describe('what an environment knows of the reservations it decides', () => {
  it('names the work that decides a reservation until that ends', async () => {
    const seen = openSeen(clockAt(0));
    const { end, run } = openWork();
    const work = seen.during([claim(a), claim(b)], run);
    expect(seen.underWay(a)).toBeDefined();
    expect(seen.underWay(c)).toBeUndefined();
    expect(seen.reservation(a)).toBe(false);
    end();
    await work;
    expect(seen.underWay(a)).toBeUndefined();
    expect([a, b, c].map(seen.reservation)).toEqual([true, true, false]);
  });

  it('has work that failed looked up the next time, and tells who waits for it', async () => {
    const seen = openSeen(clockAt(0));
    const failed = seen.during([claim(a)], () => Promise.reject(new Error('no')));
    await expect(seen.underWay(a)).rejects.toThrow('no');
    await expect(failed).rejects.toThrow('no');
    expect([seen.reservation(a), seen.customer(idOf(`customer of ${a}`))]).toEqual([true, true]);
    expect(seen.underWay(a)).toBeUndefined();
  });

  it('lets work for a customer wait for what is under way for the same one, and then knows of that', async () => {
    const seen = openSeen(clockAt(0));
    const order: string[] = [];
    const [first, second] = [openWork(), openWork()];
    const note = (name: string) => async () => {
      order.push(`${name} ${seen.customer(c)}`);
    };
    const works = [
      seen.during([claim(a, c)], first.run),
      seen.during([claim(b, c)], async () => {
        await note('second')();
        await second.run();
      }),
      seen.during([claim(d, c)], note('third')),
      seen.during([claim(e, other)], note('of somebody else')),
    ];
    first.end();
    await works[0];
    await works[3];
    expect(order).toEqual(['of somebody else false', 'second true']);
    second.end();
    await Promise.all(works);
    expect(order.at(-1)).toBe('third true');
  });

  it('has everything of a kind looked up for a while after a surprise', () => {
    const clock = clockAt(1_000);
    const seen = openSeen(clock);
    seen.surprised('customer');
    expect([seen.customer(idOf('never heard of')), seen.reservation(idOf('never heard of'))]).toEqual([true, false]);
    seen.surprised('reservation');
    expect(seen.reservation(idOf('never heard of'))).toBe(true);
    clock.nowMs += 30_000;
    expect([seen.customer(idOf('never heard of')), seen.reservation(idOf('never heard of'))]).toEqual([false, false]);
  });

  it('knows nearly all of the latest, and forgets in the end, so that its memory is bounded', async () => {
    const seen = openSeen(clockAt(0));
    const ids = Array.from({ length: 250_000 }, (_, n) => idOf(String(n)));
    await seen.during(
      ids.map((id) => claim(id, id)),
      async () => undefined,
    );
    expect(ids.slice(-20_000).filter(seen.reservation).length).toBeGreaterThan(19_990);
    expect(ids.slice(0, 20_000).filter(seen.customer).length).toBeLessThan(1_000);
  });
});
