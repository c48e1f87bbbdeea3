/**
 * Bounded load by signed-in customers through the public API, everything in their log.
 *
 * Invariant: every request is repeated under the same key while it is retryable, as the client does, but more often and
 * sooner; one that ends without an answer stays unanswered in the log. Used by every row.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reservation, ReservationAccepted } from '#client/index.ts';
import { type Account, type Answer, isWorthRepeating } from '#load/client.ts';
import { waitFor } from '#local/wait.ts';
import type { World } from './world.ts';

export interface Terms {
  allotment?: number;
  cap?: number;
  waitlistSize?: number;
  offerLifeSeconds?: number;
  /** From now, in milliseconds. */
  reserveOpensInMs?: number;
  reserveClosesInMs?: number;
  purchaseOpensInMs?: number;
  purchaseClosesInMs?: number;
  /** Default: the thing in euros. */
  productId?: string;
  /** The provider that it names; none by default. */
  paymentProvider?: 'sandbox' | 'stripe' | 'toss';
}

/** What a customer is about to order, and under which key. */
export interface Order {
  readonly account: Account;
  readonly reservation: Reservation;
  readonly key: string;
}

export interface Rush {
  sales: string[];
  requests: number;
  /** Requests under way at once. */
  concurrency?: number;
  /** Each of them waits about this long between two requests. */
  paceMs?: number;
  /** Called after each request. */
  during?: (sent: number) => void;
  /** The customers who ask; all of them by default. */
  among?: readonly Account[];
}

/** A reservation that a client was promised. */
export interface Promised {
  account: Account;
  reservationId: string;
  saleId: string;
}

const hourMs = 3_600_000;
const attempts = 40;

export class Load {
  readonly promised: Promised[] = [];
  readonly outcomes = new Map<string, number>();
  sent = 0;
  #world: World;
  #random: () => number;
  #key = 0;
  readonly #patience: number;

  /** `patience` shortens every wait for decisions, for code that may never decide. */
  constructor(world: World, random: () => number, patience = 1) {
    this.#world = world;
    this.#random = random;
    this.#patience = patience;
  }

  /** Creates a sale that takes reservations now and sells now, unless the terms say otherwise. */
  async sale(terms: Terms = {}): Promise<string> {
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const sale = await this.#world.operator.createSale({
      productId: terms.productId ?? this.#world.productId,
      ...(terms.paymentProvider === undefined ? {} : { paymentProvider: terms.paymentProvider }),
      name: 'A sale under fire',
      allotment: terms.allotment ?? 200,
      capPerCustomer: terms.cap ?? 100,
      waitlistSize: terms.waitlistSize ?? 50,
      offerLifeSeconds: terms.offerLifeSeconds ?? 3_600,
      reserveOpensAt: at(terms.reserveOpensInMs ?? 0),
      reserveClosesAt: at(terms.reserveClosesInMs ?? hourMs),
      purchaseOpensAt: at(terms.purchaseOpensInMs ?? 0),
      purchaseClosesAt: at(terms.purchaseClosesInMs ?? 2 * hourMs),
    });
    return sale.saleId;
  }

  async sales(count: number, terms: Terms = {}): Promise<string[]> {
    return Promise.all(Array.from({ length: count }, () => this.sale(terms)));
  }

  customer(accounts: readonly Account[] = this.#world.accounts): Account {
    const account = accounts[Math.floor(this.#random() * accounts.length)];
    if (!account) throw new Error('no customer is signed in');
    return account;
  }

  /** Sends requests concurrently until all have a final answer. */
  async rush({ sales, requests, concurrency = 12, paceMs = 0, during, among }: Rush): Promise<void> {
    let left = requests;
    const client = async () => {
      while (left > 0) {
        left--;
        const saleId = sales[Math.floor(this.#random() * sales.length)] ?? '';
        const quantity = 1 + Math.floor(this.#random() * 3);
        const wish = { quantity, atLeast: this.#random() < 0.5 ? 1 : quantity };
        // Some click twice at once, under the same key.
        const twice = this.#random() < 0.05;
        const account = this.customer(among);
        const key = this.newKey();
        await Promise.all([
          this.reserve(account, saleId, wish, key),
          twice ? this.reserve(account, saleId, wish, key) : undefined,
        ]);
        during?.(requests - left);
        if (paceMs > 0) await sleep(paceMs * (0.5 + this.#random()));
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, requests) }, client));
  }

  newKey(): string {
    return `key-${++this.#key}-${Math.floor(this.#random() * 1e9)}`;
  }

  /** One request, repeated under its key while it is retryable. */
  async reserve(
    account: Account,
    saleId: string,
    wish: { quantity: number; atLeast: number },
    key = this.newKey(),
    tries = attempts,
  ): Promise<Answer<ReservationAccepted> | undefined> {
    for (let attempt = 1; attempt <= tries; attempt++) {
      this.sent++;
      const answer = await account.reserve(saleId, { ...wish, key }).catch(() => undefined);
      const outcome = answer ? `${answer.status}${answer.code ? ` ${answer.code}` : ''}` : 'no session';
      this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
      if (answer?.status === 202) {
        this.promised.push({ account, saleId, reservationId: answer.body.reservationId });
        return answer;
      }
      if (answer && !isWorthRepeating(answer)) return answer;
      await sleep(Math.min(400, answer ? answer.retryAfterMs || 250 : 200) * (0.5 + this.#random()));
    }
    return undefined;
  }

  /** Waits until every promised reservation has a row. */
  async decided(timeoutMs = 30_000): Promise<void> {
    const ids = new Set(this.promised.map(({ reservationId }) => reservationId));
    await waitFor(
      `${ids.size} reservations to be decided`,
      async () => {
        const [row] = await this.#world.rows<{ decided: number }>('SELECT COUNT(*) AS decided FROM reservations');
        return (row?.decided ?? 0) >= ids.size;
      },
      { timeoutMs: timeoutMs * this.#patience, lookAgainMs: 100 },
    );
  }

  /** Each customer with an accepted request asks for its state, once. */
  async ask(): Promise<void> {
    await Promise.all(
      this.promised.map(({ account, reservationId }) => account.reservation(reservationId).catch(() => undefined)),
    );
  }

  /** Customers look at what they have, give some back and buy some: of all sales, or of one. */
  async act(chances: {
    cancel?: number;
    buy?: number;
    paymentToken?: (order: Order) => string | Promise<string>;
    saleId?: string;
  }): Promise<void> {
    const { cancel = 0, buy = 0, paymentToken = () => 'tok_approve', saleId } = chances;
    await Promise.all(
      this.#world.accounts.map(async (account) => {
        for (const view of await this.#listed(account)) {
          if (view.state !== 'allocated' || view.purchaseId !== null) continue;
          if (saleId !== undefined && view.saleId !== saleId) continue;
          const dice = this.#random();
          if (dice < cancel) await account.cancel(view.reservationId).catch(() => undefined);
          else if (dice < cancel + buy) {
            const key = this.newKey();
            const token = await paymentToken({ account, reservation: view, key });
            await this.buy(account, [view.reservationId], token, key);
          }
        }
      }),
    );
  }

  /** What a customer has. One whose list broke off asks again, as people do; otherwise a host that dies would end the row. */
  async #listed(account: Account): Promise<Reservation[]> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const views = await account.reservations().catch(() => undefined);
      if (views) return views;
      await sleep(250 * (0.5 + this.#random()));
    }
    return [];
  }

  /** Orders, repeating under the same key while it is retryable. Returns the purchase if it was accepted. */
  async buy(
    account: Account,
    reservationIds: string[],
    paymentToken: string,
    key = this.newKey(),
  ): Promise<string | undefined> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const answer = await account.buy(reservationIds, paymentToken, key).catch(() => undefined);
      if (answer?.status === 202) return answer.body.purchaseId;
      if (answer && !isWorthRepeating(answer) && answer.code !== 'idempotency_in_progress' && answer.status < 500)
        return undefined;
      await sleep(250 * (0.5 + this.#random()));
    }
    return undefined;
  }

  /** What clients see at the end, for their log. */
  async look(): Promise<void> {
    for (const account of this.#world.accounts.slice(0, 8)) {
      await account.reservations().catch(() => undefined);
      await account.notifications().catch(() => undefined);
    }
  }
}
