/** Verifies webhooks with the reference library of Standard Webhooks in Python, as a receiver in another language does. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromPypi } from './from-pypi.ts';
import type { Received } from './receiver.ts';

const run = promisify(execFile);
const version = '1.1.0';

const program = `
import json, sys
from standardwebhooks.webhooks import Webhook
for secret, headers, body in json.loads(sys.argv[1]):
    try:
        print(json.dumps(Webhook(secret).verify(body, headers)))
    except Exception as error:
        print(json.dumps(type(error).__name__))
`;

/**
 * What the library makes of webhooks with these secrets: the content, or the name of its error. Undefined if the library
 * cannot be had, which a line then says.
 */
export async function verifyInPython(
  all: readonly (readonly [secret: string, Received])[],
): Promise<unknown[] | undefined> {
  const python = (programs: string) => join(programs, 'python');
  const imports = (programs: string) =>
    run(python(programs), ['-c', 'import standardwebhooks']).then(
      () => true,
      () => false,
    );
  const otherwise = 'webhooks were verified by the library for JavaScript only';
  const programs = await fromPypi('standardwebhooks', version, imports, otherwise);
  if (!programs) return undefined;
  const given = all.map(([secret, { headers, rawBody }]) => [secret, headers, rawBody]);
  const { stdout } = await run(python(programs), ['-c', program, JSON.stringify(given)]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}
