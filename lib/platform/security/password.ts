/**
 * Passwords: Argon2id with the parameters that OWASP recommends (19 MiB, two passes, one lane).
 *
 * Hashing is made expensive on purpose, so it is also what a flood of sign-ins would exhaust a process with. Only a few
 * hashes run at once, a bounded number wait, and whoever comes after that is told to come again. Comparing against no
 * account costs what comparing against an account costs, so that the time of an answer does not tell which it was.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import pLimit from 'p-limit';
import { Fault } from '#platform/kernel/errors.ts';

const argon2id = promisify(argon2).bind(undefined, 'argon2id');

/** What a hash costs; it is written into every hash, so raising it leaves the older ones readable. */
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
/** How many may wait for that; at some 40 ms each they wait for two seconds or so. */
const hashesWaiting = 100;

/** A hash of the password to store, with its salt and parameters in it. Throws a `Fault` (`too_many_requests`) if too many wait. */
export function hashPassword(password: string): Promise<string> {
  return limited(() => hash(canonical(password)));
}

/**
 * Whether this is the password of the hash. Without a hash the answer is no, after the same work. Throws a `Fault` (`too_many_requests`) if too many wait.
 */
export async function verifyPassword(passwordHash: string | undefined, password: string): Promise<boolean> {
  dummyHash ??= hash('nobody has this password');
  const against = passwordHash ?? (await dummyHash);
  const matches = await limited(() => verify(against, canonical(password)));
  return matches && passwordHash !== undefined;
}

/** Made at the first sign-in, whether or not it needs it. */
let dummyHash: Promise<string> | undefined;

/** One password typed on two keyboards may be two sequences of code points (RFC 8265). */
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
  if (!parts) throw new Error('the stored hash is not one of Argon2id');
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

const busy = () => new Fault('too_many_requests', 'too many passwords wait to be hashed', { retryAfterSeconds: 2 });

const limit = pLimit(hashesAtOnce);

async function limited<T>(work: () => Promise<T>): Promise<T> {
  if (limit.pendingCount >= hashesWaiting) throw busy();
  return limit(work);
}
