import { boundariesAfter, phaseAt, purchaseRefusal, remindBeforeMs } from './phase.ts';

const times = { reserveOpensAtMs: 100, reserveClosesAtMs: 200, purchaseOpensAtMs: 300, purchaseClosesAtMs: 400 };

test.each([
  [99, 'scheduled'],
  [100, 'reserving'],
  [199, 'reserving'],
  [200, 'reserved'],
  [299, 'reserved'],
  [300, 'purchasing'],
  [399, 'purchasing'],
  [400, 'closed'],
])('I8: at %d a sale is %s, to the millisecond', (nowMs, phase) => {
  expect(phaseAt(times, nowMs)).toBe(phase);
});

test.each([
  [299, null, 'active', 'window_not_open'],
  [300, null, 'active', undefined],
  [399, null, 'active', undefined],
  [400, null, 'active', 'window_closed'],
  [349, 350, 'active', undefined],
  [350, 350, 'active', 'deadline_passed'],
  [350, null, 'paused', 'sale_paused'],
  [350, null, 'cancelled', 'sale_cancelled'],
])('buying at %d with the deadline %s in a sale that is %s: %s', (nowMs, deadlineMs, status, refused) => {
  expect(purchaseRefusal({ ...times, status }, deadlineMs, nowMs)?.refused).toBe(refused);
});

test('the future boundaries include the reminder', () => {
  expect(remindBeforeMs(times)).toBe(20);
  expect(boundariesAfter({ ...times, publicFromMs: 0 }, 200)).toEqual([300, 380, 400]);
  expect(boundariesAfter({ ...times, publicFromMs: 250 }, 200)).toEqual([250, 300, 380, 400]);
  expect(boundariesAfter({ ...times, publicFromMs: null }, 390)).toEqual([400]);
});
