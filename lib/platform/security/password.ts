/**
 * Passwords: Argon2id with the parameters that OWASP recommends (19 MiB, two passes, one lane).
 *
 * Hashing is expensive on purpose, so a flood of sign-ins could exhaust an environment. In each, only a few hashes run at
 * once, a bounded number wait, and further requests are refused with a Retry-After.
 */
import { argon2, randomBytes } from 'node:crypto';
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

/** What a new hash has in common with others. */
export interface HashFrom {
  /** A hash whose salt and cost the new one gets: the same password then has the same hash. */
  readonly like?: string | undefined;
  /** The salt, if there is no such hash. Default: a random one. */
  readonly salt?: Buffer;
}

/** Hashes passwords. */
export interface PasswordHasher {
  /** A hash of the password, salt and parameters included. Throws a `Fault` (`too_many_requests`) if too many wait. */
  hash(password: string, from?: HashFrom): Promise<string>;
}

/** This environment's hasher, with its bounds; kept by `deps.once(passwordHasherOf)`. */
export function passwordHasherOf(): PasswordHasher {
  const limit = pLimit(hashesAtOnce);
  return {
    async hash(password, from = {}) {
      if (limit.pendingCount >= hashesWaiting) throw busy();
      return limit(() => hash(canonical(password), from));
    },
  };
}

/** The same password typed on two keyboards may be two sequences of code points (RFC 8265). */
function canonical(password: string): string {
  return password.normalize('NFC');
}

/** The hash in the form that Argon2's own tools read (a PHC string): `$argon2id$v=19$m=…,t=…,p=…$salt$tag`. */
async function hash(password: string, { like, salt = randomBytes(saltBytes) }: HashFrom): Promise<string> {
  const made = like === undefined ? { salt, tagLength: tagBytes, ...cost } : read(like);
  const tag = await derive(password, made.salt, made.tagLength, made);
  const { memoryKiB, passes, lanes } = made;
  return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${lanes}$${unpadded(made.salt)}$${unpadded(tag)}`;
}

function read(encoded: string): Cost & { salt: Buffer; tagLength: number } {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(encoded);
  if (!parts) throw new Error('the stored hash is not an Argon2id hash');
  const [, memoryKiB, passes, lanes, salt = '', tag = ''] = parts;
  return {
    memoryKiB: Number(memoryKiB),
    passes: Number(passes),
    lanes: Number(lanes),
    salt: Buffer.from(salt, 'base64'),
    tagLength: Buffer.from(tag, 'base64').length,
  };
}

function derive(password: string, nonce: Buffer, tagLength: number, { memoryKiB, passes, lanes }: Cost) {
  return argon2id({ message: password, nonce, tagLength, memory: memoryKiB, passes, parallelism: lanes });
}

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

const busy = () =>
  new Fault('too_many_requests', 'too many passwords are waiting to be hashed', { retryAfterSeconds: 2 });
