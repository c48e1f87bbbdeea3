/**
 * The race: 500 parallel buyers, 100 units, several processes, no lock. MySQL alone decides, and exactly 100 units go.
 * The control is the same race against a worker whose guard was taken out: it must oversell, or the race proves nothing.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { jest } from '@jest/globals';
import type { Deps } from '#platform/environment/deps.ts';
import { toBytes } from '#platform/kernel/ids.ts';
import { givenSale, openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const buyers = 500;
const units = 100;
const processes = 4;
const racer = fileURLToPath(new URL('./racer.ts', import.meta.url));

let bed: TestBed;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  deps = await openBed(bed);
});

afterAll(async () => {
  await deps.close();
  await bed.close();
});

/** Starts all racers, lets them go together, and waits until each has finished. Resolves to what they reported. */
async function race(
  saleId: string,
  mode: 'locked' | 'unlocked' | 'unguarded',
): Promise<{ decided: number; faults: number }> {
  const racers: ChildProcess[] = Array.from({ length: processes }, () =>
    fork(racer, [saleId, String(buyers / processes), mode], {
      env: bed.env,
      execArgv: ['--disable-warning=ExperimentalWarning'],
    }),
  );
  const message = (child: ChildProcess) =>
    new Promise<{ decided: number; faults: number }>((resolve, reject) => {
      child.once('message', (value) => resolve(value as { decided: number; faults: number }));
      child.once('exit', (code) => code !== 0 && reject(new Error(`a racer ended with ${code}`)));
    });
  await Promise.all(racers.map(message));
  const results = racers.map(message);
  for (const child of racers) child.send('go');
  const reports = await Promise.all(results);
  return {
    decided: reports.reduce((sum, one) => sum + one.decided, 0),
    faults: reports.reduce((sum, one) => sum + one.faults, 0),
  };
}

async function sums(saleId: string) {
  const [row] = await deps.db.rows<Record<string, number>>(
    `SELECT s.available, s.allocated, s.allotment,
       (SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED) FROM reservations WHERE sale_id = s.id AND state = 'allocated') AS given,
       (SELECT COUNT(*) FROM reservations WHERE sale_id = s.id) AS decided,
       (SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED) FROM ledger WHERE sale_id = s.id) AS moved
     FROM sales s WHERE s.id = ?`,
    [toBytes(saleId)],
  );
  return row;
}

/** Every buyer is a transaction that waits for the disk, so a slow disk decides how long a race takes. */
jest.setTimeout(120_000);

test.each(['locked', 'unlocked'] as const)('I1: 500 buyers take exactly 100 units (%s)', async (mode) => {
  const saleId = await givenSale(deps, { allotment: units });
  const report = await race(saleId, mode);
  expect(report).toEqual({ decided: buyers, faults: 0 });
  expect(await sums(saleId)).toEqual({
    available: 0,
    allocated: units,
    allotment: units,
    given: units,
    decided: buyers,
    moved: units,
  });
});

test('control: without the guard the same race oversells', async () => {
  const saleId = await givenSale(deps, { allotment: units });
  await race(saleId, 'unguarded');
  const after = await sums(saleId);
  expect(after?.given).toBeGreaterThan(units);
});
