import { createServerClock } from './server-clock.ts';

const slowByMs = 180_000;

/** A clock on a machine whose own is three minutes slow, and the server's true time. */
function machine() {
  let watch = 1_000;
  const serverNow = () => 1_800_000_000_000 + watch;
  const clock = createServerClock(
    () => serverNow() - slowByMs,
    () => watch,
  );
  const pass = (ms: number) => {
    watch += ms;
  };
  /** An answer that took `there` to the server and `back` from it. */
  const answer = (there: number, back: number) => {
    const sent = watch;
    pass(there);
    const date = new Date(serverNow()).toUTCString();
    pass(back);
    clock.heard(date, sent, watch);
  };
  return { clock, answer, pass, serverNow };
}

describe("the server's clock on a page", () => {
  test('goes by the machine until it hears an answer, and then by the server', () => {
    const { clock, answer, serverNow } = machine();
    expect(serverNow() - clock.now()).toBe(slowByMs);
    answer(40, 40);
    expect(Math.abs(serverNow() - clock.now())).toBeLessThan(600);
  });

  test('gets better with each answer, to less than a second over any line', () => {
    const { clock, answer, pass, serverNow } = machine();
    for (let n = 0; n < 30; n++) {
      answer(20 + n * 7, 30 + n * 11);
      pass(1_370);
    }
    expect(Math.abs(serverNow() - clock.now())).toBeLessThan(100);
  });

  test('begins anew after the stopwatch has stood still', () => {
    const { clock, answer, serverNow } = machine();
    answer(10, 10);
    const asleepMs = 3_600_000;
    const date = new Date(serverNow() + asleepMs).toUTCString();
    const at = clock.stopwatch();
    clock.heard(date, at, at + 20);
    expect(Math.abs(serverNow() + asleepMs - clock.now())).toBeLessThan(1_100);
  });

  test('takes no notice of an answer without a date', () => {
    const { clock, serverNow } = machine();
    clock.heard(null, 0, 1);
    expect(serverNow() - clock.now()).toBe(slowByMs);
  });
});
