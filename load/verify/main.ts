/**
 * Verifies a running stack by hand:
 *
 *   node load/verify/main.ts [--dir .local] [--log FILE]… [--json]
 *
 * Exit code 0 only if everything could be checked and every invariant holds.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { verify } from '../verify.ts';
import { linesOf } from './print.ts';
import { targetOf } from './target.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: process.env.HOLDFAST_LOCAL ?? '.local' },
    log: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});

const result = await verify(targetOf(values.dir), {
  logs: values.log ?? [join(values.dir, 'clients.jsonl')],
  report: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${values.json ? JSON.stringify(result, null, 2) : linesOf(result).join('\n')}\n`);
process.exitCode = result.holds ? 0 : 1;
