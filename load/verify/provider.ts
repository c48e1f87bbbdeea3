/**
 * The payment providers' own books, as their APIs return them to a holder of the API key: the sandbox's in one answer, those of
 * Stripe and of Toss Payments page by page. Together they are one: a purchase is paid once, wherever.
 */
import type { Target } from './target.ts';

export type ProviderName = 'sandbox' | 'stripe' | 'toss';

export interface Charge {
  provider: ProviderName;
  id: string;
  /** The purchase for which it was made, as the provider has it written down. */
  idempotencyKey: string;
  amountMinor: number;
  currency: string;
  status: 'captured' | 'declined';
  /** ISO 8601. */
  createdAt?: string;
}

export interface Refund {
  id: string;
  chargeId: string;
  amountMinor: number;
  currency: string;
}

export interface Books {
  charges: Charge[];
  refunds: Refund[];
}

const timeoutMs = 10_000;
const pageSize = 100;

/**
 * Reads the books of all providers of a stack. Throws if one of them cannot be read. An account at Stripe or Toss Payments must be
 * the stack's own: what others charge there is of no purchase here.
 */
export async function readBooks({ providers, providerKey, stripe, toss }: Target): Promise<Books> {
  const all = await Promise.all([
    providers.length > 0 ? readSandbox(providers, providerKey) : nothing,
    stripe === undefined ? nothing : readStripe(new URL(stripe)),
    toss === undefined ? nothing : readToss(new URL(toss)),
  ]);
  return { charges: all.flatMap(({ charges }) => charges), refunds: all.flatMap(({ refunds }) => refunds) };
}

const nothing: Books = { charges: [], refunds: [] };

/** Reads from the first instance that answers; they share their books. */
async function readSandbox(providers: string[], apiKey: string): Promise<Books> {
  let failure: unknown;
  for (const provider of providers) {
    try {
      const { charges, refunds } = await read<Books>(`${provider}/v1/ledger`, `Bearer ${apiKey}`);
      return { charges: charges.map((charge) => ({ ...charge, provider: 'sandbox' })), refunds };
    } catch (error) {
      failure = error;
    }
  }
  throw new Error('the books of the payment provider cannot be read', { cause: failure });
}

interface StripeIntent {
  id: string;
  status: string;
  amount: number;
  amount_received: number;
  currency: string;
  metadata: Record<string, string>;
}

interface StripeRefund {
  id: string;
  status: string | null;
  amount: number;
  currency: string;
  payment_intent: string | null;
}

/** Stripe's PaymentIntents and refunds. A refund that has failed has given nothing back. */
async function readStripe(address: URL): Promise<Books> {
  const list = async <Item extends { id: string }>(path: string): Promise<Item[]> => {
    const all: Item[] = [];
    for (let more = true; more; ) {
      const after = all.at(-1)?.id;
      const query = `limit=${pageSize}${after === undefined ? '' : `&starting_after=${after}`}`;
      const authorization = `Bearer ${decodeURIComponent(address.username)}`;
      const page = await read<{ data: Item[]; has_more: boolean }>(
        new URL(`${path}?${query}`, address.origin).href,
        authorization,
      );
      all.push(...page.data);
      more = page.has_more && page.data.length > 0;
    }
    return all;
  };
  const intents = await list<StripeIntent>('/v1/payment_intents');
  const refunds = await list<StripeRefund>('/v1/refunds');
  return {
    charges: intents.map(({ id, status, amount, amount_received: received, currency, metadata }) => ({
      ...{ provider: 'stripe', id, idempotencyKey: metadata.reference ?? '', currency: currency.toUpperCase() },
      amountMinor: fromStripe(status === 'succeeded' ? received : amount, currency),
      status: status === 'succeeded' ? 'captured' : 'declined',
    })),
    refunds: refunds
      .filter(({ status }) => status !== 'failed' && status !== 'canceled')
      .map(({ id, payment_intent: chargeId, amount, currency }) => ({
        ...{
          id,
          chargeId: chargeId ?? '',
          amountMinor: fromStripe(amount, currency),
          currency: currency.toUpperCase(),
        },
      })),
  };
}

/** Stripe writes a few currencies with other digits than ISO 4217 has for them: how many more. */
const moreDigitsAtStripe: Readonly<Record<string, number>> = { isk: 2, ugx: 2, mga: -2 };

function fromStripe(amount: number, currency: string): number {
  return amount / 10 ** (moreDigitsAtStripe[currency.toLowerCase()] ?? 0);
}

interface TossPayment {
  paymentKey: string;
  orderId: string;
  totalAmount: number;
  currency: string;
  /** Null until it is paid, also if it was cancelled before. */
  approvedAt: string | null;
  cancels: { transactionKey: string; cancelAmount: number; cancelStatus: string }[] | null;
}

/** Since when, and until when, Toss's transactions are read: any of a stack's. */
const [tossFrom, tossUntil] = ['2020-01-01T00:00:00', '2099-12-31T23:59:59'];

/** Each payment of which Toss has a transaction, as it is now. Closing an account that nobody paid gives nothing back. */
async function readToss(address: URL): Promise<Books> {
  const authorization = `Basic ${Buffer.from(`${decodeURIComponent(address.username)}:`).toString('base64')}`;
  const ask = <Body>(path: string) => read<Body>(new URL(`/v1/${path}`, address.origin).href, authorization);
  const keys = new Set<string>();
  for (let after = ''; ; ) {
    const range = `startDate=${tossFrom}&endDate=${tossUntil}&limit=${pageSize}`;
    const page = await ask<{ transactionKey: string; paymentKey: string }[]>(`transactions?${range}${after}`);
    for (const { paymentKey } of page) keys.add(paymentKey);
    if (page.length < pageSize) break;
    after = `&startingAfter=${page.at(-1)?.transactionKey}`;
  }
  const books: Books = { charges: [], refunds: [] };
  for (const key of keys) {
    const payment = await ask<TossPayment>(`payments/${encodeURIComponent(key)}`);
    const { paymentKey: id, orderId, totalAmount: amountMinor, currency, approvedAt, cancels } = payment;
    const status = approvedAt === null ? 'declined' : 'captured';
    books.charges.push({ provider: 'toss', id, idempotencyKey: orderId, amountMinor, currency, status });
    for (const { transactionKey, cancelAmount, cancelStatus } of (approvedAt && cancels) || [])
      if (cancelStatus === 'DONE')
        books.refunds.push({ id: transactionKey, chargeId: id, amountMinor: cancelAmount, currency });
  }
  return books;
}

async function read<Body>(url: string, authorization: string): Promise<Body> {
  const response = await fetch(url, { headers: { authorization }, signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${new URL(url).origin} answered ${response.status}`);
  return (await response.json()) as Body;
}
