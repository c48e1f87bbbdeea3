/**
 * No package slows down text. V8 calls the methods of strings directly for as long as nothing inherits from
 * `String.prototype`; one `class … extends String` anywhere, and each `charCodeAt` of the process is looked up when it is
 * called (https://github.com/aws/aws-sdk-js-v3/issues/6182). The worker's share of a reservation grows by a tenth by that.
 *
 * Asked of a fresh process that has loaded every function, since a test environment has strings of its own.
 */
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { projectRoot } from '#local/state-folder.ts';

const handlers = globSync('functions/**/*.ts', { cwd: projectRoot });

/** What a fresh process finds of `String.prototype` after it has run some code. */
function stringsAreFastAfter(code: string): boolean {
  const answer = execFileSync(
    process.execPath,
    [
      '--allow-natives-syntax',
      '--input-type=module',
      '-e',
      `${code}; console.log(%HasFastProperties(String.prototype))`,
    ],
    { cwd: projectRoot, encoding: 'utf8' },
  );
  return JSON.parse(answer) as boolean;
}

test('with every function loaded, the methods of strings are still called directly', () => {
  expect(handlers.length).toBeGreaterThan(40);
  const imports = handlers.map((handler) => `await import('./${handler}')`);
  expect(stringsAreFastAfter(imports.join(';'))).toBe(true);
});

test('one class of strings is enough to end that', () => {
  expect(stringsAreFastAfter('class Text extends String {}')).toBe(false);
});
