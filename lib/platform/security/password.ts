/**
 * Passwords: Argon2id with the parameters that OWASP recommends (19 MiB, two passes, one lane).
 *
 * Hashing is expensive on purpose, so a flood of sign-ins could exhaust a process. Only a few hashes run at once, a
 * bounded number wait, and further requests are refused with a Retry-After. Checking a password takes as long without
 * an account as with one, so that the response time does not reveal whether the account exists.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import pLimit from 'p-limit';
import { Fault } from '#platform/kernel/errors.ts';

const argon2id = promisify(argon2).bind(undefined, 'argon2id');

/** The cost parameters; they are stored in every hash, so older hashes remain readable when they are raised. */
interface Cost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
}
const cost: Cost = { memoryKiB: 19_456, passes: 2, lanes: 1 };
const saltBytes = 16;
const tagBytes = 32;

/** How many hashes may run at once: 19 MiB and one thread each. */
const hashesAtOnce = 2;
/** How many may wait; at about 40 ms each, the last waits for about two seconds. */
const hashesWaiting = 100;

/** A hash of the password to store, salt and parameters included. Throws a `Fault` (`too_many_requests`) if too many wait. */
export function hashPassword(password: string): Promise<string> {
  return limited(() => hash(canonical(password)));
}

/**
 * Whether the password matches the hash. Without a hash the result is false, after the same work. Throws a `Fault`
 * (`too_many_requests`) if too many wait.
 */
export async function verifyPassword(passwordHash: string | undefined, password: string): Promise<boolean> {
  dummyHash ??= hash('nobody has this password');
  const against = passwordHash ?? (await dummyHash);
  const matches = await limited(() => verify(against, canonical(password)));
  return matches && passwordHash !== undefined;
}

/** Made at the first sign-in, whether or not that one needs it, so that its response time reveals nothing. */
let dummyHash: Promise<string> | undefined;

/** The same password typed on two keyboards may be two sequences of code points (RFC 8265). */
function canonical(password: string): string {
  return password.normalize('NFC');
}

/** The hash in the form that Argon2's own tools read: `$argon2id$v=19$m=…,t=…,p=…$salt$tag`. */
async function hash(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const tag = await derive(password, salt, tagBytes, cost);
  const { memoryKiB, passes, lanes } = cost;
  return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${lanes}$${unpadded(salt)}$${unpadded(tag)}`;
}

async function verify(encoded: string, password: string): Promise<boolean> {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(encoded);
  if (!parts) throw new Error('the stored hash is not an Argon2id hash');
  const [, memoryKiB, passes, lanes, salt = '', tag = ''] = parts;
  const expected = Buffer.from(tag, 'base64');
  const found = await derive(password, Buffer.from(salt, 'base64'), expected.length, {
    memoryKiB: Number(memoryKiB),
    passes: Number(passes),
    lanes: Number(lanes),
  });
  return timingSafeEqual(found, expected);
}

function derive(password: string, nonce: Buffer, tagLength: number, { memoryKiB, passes, lanes }: Cost) {
  return argon2id({ message: password, nonce, tagLength, memory: memoryKiB, passes, parallelism: lanes });
}

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

const busy = () =>
  new Fault('too_many_requests', 'too many passwords are waiting to be hashed', { retryAfterSeconds: 2 });

const limit = pLimit(hashesAtOnce);

async function limited<T>(work: () => Promise<T>): Promise<T> {
  if (limit.pendingCount >= hashesWaiting) throw busy();
  return limit(work);
}
