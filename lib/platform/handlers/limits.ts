/**
 * How often callers may do what costs something, and what those do who want more.
 *
 * There are two kinds of limits. One on an **address** stands for however many people share it: beyond its rate an attempt
 * has to bring a proof of work, and then it passes, so many people behind one address are slowed down and not shut out. One on
 * an **account** stands for one customer: beyond its rate the answer is to wait. An attempt that any limit stops takes from
 * none of them. A stack sets its own values under `limit/<name>`; a load test from one machine needs larger ones.
 */
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import {
  attemptsPerCall,
  type Bucket,
  type Empty,
  type Rate,
  rateOf,
  takeAll,
  useOnce,
} from '#platform/redis/rate-limit.ts';
import { batched } from '#platform/resilience/batcher.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { addressAtEdge } from '#platform/security/edge.ts';
import { guardKeys } from '#platform/security/key-ring.ts';
import { openWork, type Work } from '#platform/security/proof-of-work.ts';

/** The header in which a solution of a challenge comes. */
export const proofHeader = 'x-proof-of-work';

/** The rates, if the stack sets none. */
const rates = {
  'register-address': { burst: 10, perMinute: 10 },
  'login-address': { burst: 30, perMinute: 30 },
  /** Attempts to sign in to the accounts of one e-mail address, from any network. */
  'login-account': { burst: 10, perMinute: 5 },
  /** Attempts from devices that have signed in to the account before. */
  'login-device': { burst: 10, perMinute: 5 },
  /** Refreshing and ending sessions: from an address, or of a customer who ends them from another. */
  'session-address': { burst: 300, perMinute: 300 },
  /** Asking for codes by mail, and using them: of a customer, or from an address; and following the link of a reminder. */
  'codes-caller': { burst: 10, perMinute: 10 },
  /** Attempts with a password or a code to change a password or to delete an account: of a customer, or from an address. */
  'password-change': { burst: 10, perMinute: 5 },
  /** Public lists, which MySQL answers. */
  'public-address': { burst: 300, perMinute: 600 },
  /** As many as a household has; beyond it, those who share an address do a proof of work. */
  'reservations-address': { burst: 5, perMinute: 5 },
  'reservations-customer': { burst: 30, perMinute: 60 },
  'changes-customer': { burst: 60, perMinute: 120 },
  'lookups-customer': { burst: 200, perMinute: 600 },
  'messages-customer': { burst: 120, perMinute: 240 },
  'connections-customer': { burst: 30, perMinute: 60 },
  /** Calls of one API key, for all customers together. */
  'api-key': { burst: 2_000, perMinute: 12_000 },
} as const satisfies Record<string, Rate>;

export type LimitName = keyof typeof rates;

/** Who tries, as far as limits are concerned. */
export interface Attempt {
  /** The address that the request came from. */
  readonly address: string;
  /** The proof of work that came with it. */
  readonly proof?: string | undefined;
}

/** The callers whose buckets an attempt takes from, by the name of the limit. */
export type Limited = Partial<Record<LimitName, string>>;

/** From when on work counts; undefined if it always does. Asked only for an attempt that brings a right proof. */
export type Since = () => Promise<number | undefined>;

export type LimitNeeds = Needs<'redis' | 'registry' | 'clock' | 'once'>;

/** The challenges of this environment. */
const workOf = ({ registry, clock }: Needs<'registry' | 'clock'>): Work => openWork(guardKeys(registry), clock);

/** Attempts that come while others are under way share the next round trip. */
const takeCalls = ({ redis }: Needs<'redis'>) =>
  batched<readonly Bucket[], Empty[]>((attempts) => takeAll(redis, attempts), {
    maxBatchSize: attemptsPerCall,
    maxInFlight: 1,
  });

/** Takes one token from each bucket, or from none. Resolves to the empty ones. Never throws: without Redis there is no limit. */
export async function takeTokens(deps: Needs<'redis' | 'once'>, buckets: readonly Bucket[]): Promise<Empty[]> {
  if (buckets.length === 0) return [];
  return deps
    .once(takeCalls)(buckets)
    .catch(() => []);
}

/** What an attempt takes in order to pass, and what it is answered if it cannot. */
export interface Passage {
  readonly buckets: readonly Bucket[];
  /** Given those of its buckets that are empty. */
  refuse(empty: readonly Empty[]): Promise<Refusal>;
}

/** An attempt that no limit is on. */
export const freePassage: Passage = {
  buckets: [],
  refuse: () => {
    throw new Error('without a limit there is no bucket that could be empty');
  },
};

/**
 * What an attempt takes within these rates. Beyond one of `firm` it has to wait; beyond one of `worked` it passes with a proof
 * of work for this purpose, and is otherwise given a challenge. Work that was done before `since` says counts as none.
 */
async function passageOf(
  deps: LimitNeeds,
  purpose: string,
  { proof }: Attempt,
  { firm = {}, worked = {}, since }: { firm?: Limited; worked?: Limited; since?: Since | undefined },
): Promise<Passage> {
  const works = deps.once(workOf);
  const isWorkedOff = await redeem(deps, works, purpose, proof, since);
  return {
    buckets: Object.entries({ ...firm, ...(isWorkedOff ? {} : worked) }).map(([what, who]) => ({
      what,
      who,
      rate: rateOf(deps.registry, what, rates[what as LimitName]),
    })),
    async refuse(empty) {
      const retryAfterSeconds = Math.max(...empty.map((bucket) => bucket.retryAfterSeconds));
      if (empty.some(({ what }) => what in firm)) return wait(retryAfterSeconds);
      return refuse(
        'work_required',
        `Many attempts came before this one. Solve the challenge and send it as ${proofHeader}, or try again in ${retryAfterSeconds} s.`,
        { retryAfterSeconds, challenge: await works.challenge(purpose) },
      );
    },
  };
}

/** Lets an attempt pass within these rates (`passageOf`). */
export async function limit(
  deps: LimitNeeds,
  purpose: string,
  attempt: Attempt,
  limits: Parameters<typeof passageOf>[3],
): Promise<Refusal | undefined> {
  const { buckets, refuse } = await passageOf(deps, purpose, attempt, limits);
  const empty = await takeTokens(deps, buckets);
  return empty.length === 0 ? undefined : refuse(empty);
}

/** Lets a customer pass within a rate of their own; beyond it they have to wait. */
export async function limitCustomer(
  deps: Needs<'redis' | 'registry' | 'once'>,
  what: LimitName,
  who: string,
): Promise<Refusal | undefined> {
  const [empty] = await takeTokens(deps, [{ what, who, rate: rateOf(deps.registry, what, rates[what]) }]);
  return empty && wait(empty.retryAfterSeconds);
}

/** What limits know of a request. */
export interface Requested {
  readonly deps: LimitNeeds;
  readonly caller: Caller;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly sourceIp: string;
}

/** What tells where a request came from. */
type Sent = Pick<Requested, 'headers' | 'sourceIp'> & { readonly deps: Needs<'registry'> };

/**
 * The address that a request came from: what the distribution in front of the API says, if it is ours that says it, and
 * otherwise who opened the connection. What a caller says of its own address counts for nothing.
 */
export function addressOf({ deps, headers, sourceIp }: Sent): string {
  return addressAtEdge(deps.registry['secret/edge-key'], headers) ?? sourceIp;
}

/** The same, of an event. */
export function addressOfEvent(
  deps: Needs<'registry'>,
  event: Pick<APIGatewayProxyEventV2, 'headers' | 'requestContext'>,
): string {
  return addressOf({ deps, headers: event.headers, sourceIp: event.requestContext.http.sourceIp });
}

/** Who tries, from a request. */
export function attemptOf(call: Sent): Attempt {
  return { address: addressOf(call), proof: call.headers[proofHeader] };
}

/** A verb that runs within a rate of its caller's address, or for a proof of work. */
export function perAddress<C extends Requested, R>(
  name: LimitName,
  verb: (call: C) => Promise<R>,
): (call: C) => Promise<R | Refusal> {
  return async (call) => {
    const attempt = attemptOf(call);
    const refusal = await limit(call.deps, name, attempt, { worked: { [name]: networkOf(attempt.address) } });
    return refusal ?? verb(call);
  };
}

/** A verb that runs within a rate of the customer who calls. */
export function perCustomer<C extends Pick<Requested, 'deps' | 'caller'>, R>(
  name: LimitName,
  verb: (call: C) => Promise<R>,
): (call: C) => Promise<R | Refusal> {
  return async (call) => (await limitCustomer(call.deps, name, call.caller.customerId)) ?? verb(call);
}

/**
 * The same for a verb that asks Redis first of all: it takes the tokens of its passage itself, in the same round trip.
 */
export function perCustomerInOneStep<C extends Pick<Requested, 'deps' | 'caller'>, R>(
  name: LimitName,
  verb: (call: C, passage: Passage) => Promise<R>,
): (call: C) => Promise<R> {
  return (call) => {
    const rate = rateOf(call.deps.registry, name, rates[name]);
    const refuse = async ([empty]: readonly Empty[]) => wait(empty?.retryAfterSeconds ?? 1);
    return verb(call, { buckets: [{ what: name, who: call.caller.customerId, rate }], refuse });
  };
}

/**
 * Lets a caller pass within a rate: a customer within one of their own, and a caller without an account within that of their
 * address, beyond which it takes a proof of work.
 */
export function limitCaller(
  deps: LimitNeeds,
  name: LimitName,
  { customerId }: Pick<Caller, 'customerId'>,
  attempt: Attempt,
): Promise<Refusal | undefined> {
  const isKnown = customerId !== '';
  const limited = isKnown ? { firm: { [name]: customerId } } : { worked: { [name]: networkOf(attempt.address) } };
  return limit(deps, name, attempt, limited);
}

/** A verb that runs within a rate of its caller: of the customer, or of the address of a caller without an account. */
export function perCaller<C extends Requested, R>(
  name: LimitName,
  verb: (call: C) => Promise<R>,
): (call: C) => Promise<R | Refusal> {
  return async (call) => (await limitCaller(call.deps, name, call.caller, attemptOf(call))) ?? verb(call);
}

/**
 * A verb within a rate of the customer who calls, and of their address. Beyond that of the address it takes a proof of work, so
 * that many accounts on one machine cannot do together what one may not; it must not be older than `since` says.
 * The address of an API key is that of a shop's server, for all its customers, and the key has a rate of its own.
 *
 * The verb takes the tokens of its passage itself, before anything else that it does and in the same round trip.
 */
export function perCustomerAndAddress<C extends Requested, R>(
  firm: LimitName,
  worked: LimitName,
  verb: (call: C, passage: Passage) => Promise<R>,
  since?: (call: C) => ReturnType<Since>,
): (call: C) => Promise<R> {
  return async (call) => {
    const attempt = attemptOf(call);
    const passage = await passageOf(call.deps, worked, attempt, {
      firm: { [firm]: call.caller.customerId },
      worked: call.caller.keyId === undefined ? { [worked]: networkOf(attempt.address) } : {},
      since: since && (() => since(call)),
    });
    return verb(call, passage);
  };
}

async function redeem(
  deps: LimitNeeds,
  works: Work,
  purpose: string,
  header: string | undefined,
  since: Since = async () => undefined,
): Promise<boolean> {
  const proof = await works.read(header, purpose);
  if (!proof || proof.madeAtMs < ((await since()) ?? 0)) return false;
  return useOnce(deps.redis, proof.id, proof.expiresAtMs - deps.clock());
}

function wait(retryAfterSeconds: number): Refusal {
  return refuse('too_many_requests', `Too many attempts. Try again in ${retryAfterSeconds} s.`, { retryAfterSeconds });
}

/** The network that is limited as one: an IPv4 address, however it is written, or the first 64 bits of an IPv6 address. */
export function networkOf(address: string): string {
  const [, inside] = /^(?:::ffff:)?([\d.]+)$/i.exec(address) ?? [];
  if (inside !== undefined) return inside;
  const [head = '', tail] = address.toLowerCase().split('%', 1)[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : 8 - groups.length - after.length;
  const whole = [...groups, ...Array<string>(Math.max(0, zeros)).fill('0'), ...after];
  return `${whole
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
