/**
 * Passwords: Argon2id with the parameters that OWASP recommends (19 MiB, two passes, one lane).
 *
 * Hashing is made expensive on purpose, so it is also what a flood of sign-ins would exhaust a process with. Only a few
 * hashes run at once, a bounded number wait, and whoever comes after that is told to come again. Comparing against no
 * account costs what comparing against an account costs, so that the time of an answer does not tell which it was.
 */
import { hash, verify } from '@node-rs/argon2';
import { Fault } from './errors.ts';

/** `Algorithm.Argon2id`: the package declares a const enum, which has no value once the types are stripped. */
const argon2id = 2;
const options = { algorithm: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** How many hashes may run at once: 19 MiB and one thread each. */
const hashesAtOnce = 2;
/** How many may wait for that; at some 20 ms each they wait for two seconds or so. */
const hashesWaiting = 200;

/** A hash of the password to store, with its salt and parameters in it. Throws a `Fault` (`too_many_requests`) if too many wait. */
export function hashPassword(password: string): Promise<string> {
  return limited(() => hash(canonical(password), options));
}

/**
 * Whether this is the password of the hash. Without a hash the answer is no, after the same work. Throws a `Fault` (`too_many_requests`) if too many wait.
 */
export async function verifyPassword(passwordHash: string | undefined, password: string): Promise<boolean> {
  dummyHash ??= hash('nobody has this password', options);
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

const busy = () => new Fault('too_many_requests', 'too many passwords wait to be hashed', { retryAfterSeconds: 2 });

let running = 0;
const waiting: (() => void)[] = [];

async function limited<T>(work: () => Promise<T>): Promise<T> {
  if (running >= hashesAtOnce) {
    if (waiting.length >= hashesWaiting) throw busy();
    // Whoever finishes hands its place on, so the count stays as it is.
    await new Promise<void>((resolve) => waiting.push(resolve));
  } else {
    running++;
  }
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}
