/**
 * A stack of databases, queues and bus as a process of its own, for tests that end it in every possible way.
 *
 *   node test/support/small-stack.ts <folder>
 *
 * Prints one JSON line with its addresses and process ids when it is ready, then waits.
 */
import { startStack } from '#local/stack.ts';

const [dir] = process.argv.slice(2);
if (!dir) throw new Error('name a folder');
try {
  const stack = await startStack({ dir, http: false, workers: 0, providers: 0 });
  const pids = Object.fromEntries([...stack.processes.values()].map(({ name, pid }) => [name, pid]));
  process.stdout.write(`${JSON.stringify({ addresses: stack.addresses, registry: stack.registry, pids })}\n`);
  setInterval(() => undefined, 60_000);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
