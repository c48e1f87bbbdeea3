/**
 * One customer of the demo: sends requests, follows their outcome, and behaves as the script says.
 *
 * A shopper knows only what the API has answered or pushed. All it does goes through `load/client.ts`, so it is in
 * the clients' log.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { components, Reservation } from '#client/index.ts';
import type { Account, Answer } from '#load/client.ts';
import type { PushLine } from '#load/log.ts';
import type { PlannedCustomer, PlannedRequest } from './plan.ts';

/** A sale as shoppers see it: its page is read repeatedly, since operators pause, move and call off sales. */
export interface OpenSale {
  saleId: string;
  name: string;
  currency: string;
  status: string;
  purchaseOpensAtMs: number;
  purchaseClosesAtMs: number;
}

/** Takes over what a sale's page says. */
export function follow(sale: OpenSale, seen: components['schemas']['Sale']): void {
  sale.status = seen.status;
  sale.purchaseOpensAtMs = Date.parse(seen.purchaseOpensAt);
  sale.purchaseClosesAtMs = Date.parse(seen.purchaseClosesAt);
}

/** Whether units of a sale can be bought, as its page says. */
export function isOpen(sale: OpenSale | undefined, nowMs: number): boolean {
  return sale?.status === 'active' && nowMs >= sale.purchaseOpensAtMs && nowMs < sale.purchaseClosesAtMs;
}

/** What was paid for and went through. */
export interface Captured {
  purchaseId: string;
  amountMinor: number;
}

/** What has happened so far, for the progress line. */
export interface Counters {
  sent: number;
  accepted: number;
  refused: number;
  decided: number;
  bought: number;
  declined: number;
  cancelled: number;
  offersTaken: number;
  offersLeft: number;
}

export interface Surroundings {
  sales: OpenSale[];
  counters: Counters;
  /** How long a shopper waits from one look to the next. */
  pollMs: number;
  /** Numbers in [0, 1) that depend on the seed. */
  random: () => number;
}

/** A shopper with a WebSocket polls this much less often. */
const listeningPatience = 2;
/** A payment outlives the window: a customer who ordered in time waits for the outcome for so long. */
const patienceMs = 90_000;
/** Refusals after which the units may still be bought later: the shopper's view of the sale was outdated. */
const mayCome = new Set(['sale_paused', 'sale_cancelled', 'window_not_open']);
/** What a declined customer tries next. */
const otherCard = 'tok_approve';
const mostPerPurchase = 50;

export class Shopper {
  readonly account: Account;
  readonly #plan: PlannedCustomer;
  readonly #around: Surroundings;
  /** Accepted and not known to be decided. */
  readonly #pending = new Set<string>();
  readonly #saleOf = new Map<string, string>();
  readonly #waitlisted = new Set<string>();
  /** Reservations that were offered units from the waitlist. */
  readonly #offered = new Set<string>();
  /** Reservations that were acted on already. */
  readonly #handled = new Set<string>();
  readonly #captured: Captured[] = [];
  #orders = 0;
  #wake: (() => void) | undefined;

  constructor(account: Account, plan: PlannedCustomer, around: Surroundings) {
    this.account = account;
    this.#plan = plan;
    this.#around = around;
  }

  /** Purchases of this customer that went through. */
  get captured(): readonly Captured[] {
    return this.#captured;
  }

  /** Reservations that are still untouched, for requests that must be refused. */
  get idle(): string[] {
    return [...this.#saleOf.keys()].filter((id) => !this.#handled.has(id) && !this.#waitlisted.has(id));
  }

  /** Sends a request. */
  async reserve(request: PlannedRequest, scheduledMs: number, quantity = request.quantity): Promise<void> {
    const { counters, sales } = this.#around;
    const saleId = sales[request.sale]?.saleId ?? '';
    const atLeast = quantity === request.quantity ? request.atLeast : quantity;
    counters.sent++;
    const answer = await this.account.reserve(saleId, { quantity, atLeast, key: request.key, scheduledMs });
    if (answer.status !== 202) {
      counters.refused++;
      return;
    }
    const { reservationId } = answer.body;
    if (this.#saleOf.has(reservationId)) return;
    counters.accepted++;
    this.#saleOf.set(reservationId, saleId);
    this.#pending.add(reservationId);
    if (this.#around.random() < 0.2) await this.account.reservation(reservationId);
  }

  /** Handles what was pushed. */
  hear({ about, kind }: PushLine): void {
    if (about === 'reservation' || kind === 'reminder.purchase-opened') this.#wake?.();
  }

  /** Follows its reservations until the time that `untilMs` says, which sales may move, and acts on what it learns. */
  async live(untilMs: () => number): Promise<void> {
    const { random, sales, pollMs } = this.#around;
    const pace = pollMs * (this.#plan.listens ? listeningPatience : 1);
    await this.#pause(random() * pace, untilMs());
    while (Date.now() < untilMs()) {
      const open = sales.some((sale) => Date.now() >= sale.purchaseOpensAtMs);
      if (this.#pending.size > 0 || this.#waitlisted.size > 0 || (open && this.idle.length > 0)) await this.look();
      await this.#pause(pace * (0.7 + 0.6 * random()), untilMs());
    }
  }

  /** Looks at its reservations once and acts on them. */
  async look(): Promise<void> {
    const views = await this.account.reservations();
    if (!views) return;
    const allocated: Reservation[] = [];
    for (const view of views) {
      if (this.#pending.delete(view.reservationId)) this.#around.counters.decided++;
      if (view.state === 'waitlisted') this.#waitlisted.add(view.reservationId);
      else if (this.#waitlisted.delete(view.reservationId) && view.state === 'allocated') {
        this.#offered.add(view.reservationId);
      }
      if (view.state === 'allocated' && !this.#handled.has(view.reservationId)) allocated.push(view);
    }
    await this.#act(allocated);
  }

  /** Tries to buy everything it has; used where a refusal is expected. */
  tryToBuy(reservationIds: string[], key: string): Promise<Answer<unknown>> {
    return this.account.buy(reservationIds, this.#plan.paymentToken, key);
  }

  async #act(allocated: Reservation[]): Promise<void> {
    const { behaviour, takesOffers } = this.#plan;
    const { sales, counters } = this.#around;
    if (behaviour === 'cancels') {
      for (const view of this.#take(allocated)) {
        const answer = await this.account.cancel(view.reservationId);
        if (answer.status === 200) counters.cancelled++;
      }
      return;
    }
    const open = new Set(sales.filter((sale) => isOpen(sale, Date.now())).map(({ saleId }) => saleId));
    const offered = allocated.filter(({ saleId }) => open.has(saleId));
    const isOffer = (view: Reservation) => this.#offered.has(view.reservationId);
    const offers = offered.filter(isOffer);
    if (takesOffers) counters.offersTaken += offers.length;
    else counters.offersLeft += this.#take(offers).length;
    const wanted = offered.filter((view) => (isOffer(view) ? takesOffers : behaviour !== 'lets expire'));
    const taken = this.#take(wanted);
    const orders = behaviour === 'buys one by one' ? taken.map((view) => [view]) : this.#together(taken);
    await Promise.all(orders.map((order) => this.#buy(order.map((view) => view.reservationId))));
  }

  /** Marks reservations as handled, so that they are acted on once. */
  #take(views: Reservation[]): Reservation[] {
    for (const view of views) this.#handled.add(view.reservationId);
    return views;
  }

  /** Orders of one currency each, as large as they may be. */
  #together(views: Reservation[]): Reservation[][] {
    const currencyOf = new Map(this.#around.sales.map((sale) => [sale.saleId, sale.currency]));
    const orders: Reservation[][] = [];
    for (const group of Map.groupBy(views, (view) => currencyOf.get(view.saleId)).values()) {
      for (let start = 0; start < group.length; start += mostPerPurchase) {
        orders.push(group.slice(start, start + mostPerPurchase));
      }
    }
    return orders;
  }

  async #buy(reservationIds: string[]): Promise<void> {
    const { counters, random } = this.#around;
    const order = ++this.#orders;
    let token = this.#plan.paymentToken;
    for (let card = 1; card <= 2; card++) {
      const key = `buy-${order}-${card}-${reservationIds[0]}`;
      const state = await this.#pay(reservationIds, token, key, random() < 0.1);
      if (state === 'captured') {
        counters.bought += reservationIds.length;
        return;
      }
      if (mayCome.has(state)) for (const id of reservationIds) this.#handled.delete(id);
      if (state !== 'declined') return;
      counters.declined++;
      token = otherCard;
    }
  }

  /** Orders, and follows the payment to its end. Resolves to the last state that was seen. */
  async #pay(reservationIds: string[], token: string, key: string, twice: boolean): Promise<string> {
    const [ordered] = await Promise.all([
      this.account.buy(reservationIds, token, key),
      twice ? this.account.buy(reservationIds, token, key) : undefined,
    ]);
    if (ordered.status !== 202) return ordered.code ?? String(ordered.status);
    const { purchaseId } = ordered.body;
    const paid = await this.account.paid(purchaseId, AbortSignal.timeout(patienceMs)).catch(() => undefined);
    if (paid?.status !== 200) return paid?.code ?? 'unknown';
    const { state, amount } = paid.body;
    if (state === 'captured') this.#captured.push({ purchaseId, amountMinor: amount.amountMinor });
    return state;
  }

  /** Waits, but not beyond `untilMs`, and not longer than until something is pushed. */
  async #pause(delayMs: number, untilMs: number): Promise<void> {
    const abort = new AbortController();
    this.#wake = () => abort.abort();
    const waitMs = Math.max(0, Math.min(delayMs, untilMs - Date.now()));
    await sleep(waitMs, undefined, { signal: abort.signal }).catch(() => undefined);
    this.#wake = undefined;
  }
}
