/**
 * `stripe-mock`, by Stripe: answers by Stripe's own description of its API, and refuses requests that it does not describe. It
 * keeps nothing, so it says whether what is sent and read has the right form, and never whether a payment is right.
 */
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { fromGo } from './from-go.ts';

const run = promisify(execFile);
const version = 'v0.203.0';

/** Starts it on loopback; undefined if it cannot be had. */
export async function startStripeMock(): Promise<{ address: URL; stop(): Promise<void> } | undefined> {
  const works = (program: string) =>
    run(program, ['-version']).then(
      () => true,
      () => false,
    );
  const otherwise = "what is sent to Stripe was held to our own double's forms only";
  const program = await fromGo('stripe-mock', `github.com/stripe/stripe-mock@${version}`, works, otherwise);
  if (!program) return undefined;
  const child = spawn(program, ['-http-addr', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const address = await new Promise<URL>((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
      const [, at] = /Listening for HTTP at address: (127\.0\.0\.1:\d+)/.exec(output) ?? [];
      if (at) resolve(new URL(`http://sk_test_mock@${at}/`));
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`stripe-mock ended with ${code}`)));
  });
  return {
    address,
    stop: async () => {
      child.kill();
      await ended;
    },
  };
}
