/**
 * A short selection of the fault matrix on a real stack of its own: `npm run chaos` plays all of it. Each row ends with the
 * verifier's verdict over the clients' own log; one control shows that a row can fail.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { controls } from './controls.ts';
import { matrix } from './matrix.ts';
import { runControl } from './run-control.ts';
import { runRow } from './runner.ts';
import { World } from './world.ts';

// Overload is not among them: it compares rates, and a test suite that shares its machine must not judge by speed.
const selection = ['redis-dies', 'mysql-dies', 'queue-dies', 'send-reply-lost', 'one-of-ten-throws'];

let world: World;
let dir: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-chaos-'));
  world = await World.open({ dir, seed: 1, customers: 12, report: () => undefined });
}, 120_000);

afterAll(async () => {
  await world?.close();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

test.each(matrix.filter(({ name }) => selection.includes(name)).map((fault) => [fault.title, fault] as const))(
  '%s',
  async (_, fault) => {
    const result = await runRow(world, fault, { seed: 1 });
    expect(result.examples).toEqual([]);
    expect(result.violations).toEqual({});
  },
  90_000,
);

test('control: a batch that fails as a whole is noticed', async () => {
  const control = controls.find(({ name }) => name === 'batch-fails-together');
  if (!control) throw new Error('there is no such control');
  expect((await runControl(world, control, 1)).violations).toHaveProperty('count');
}, 90_000);
