/**
 * The shop's orders. An order is written before anything is bought, and its id is the key of the purchase, which the page makes: so the
 * shop knows by which id Holdfast will tell of it, and whoever asks again with the same key buys once. What was bought, and what
 * became of it, is what Holdfast says when it is asked; a webhook is the hint to ask, so it does not matter how often or in which
 * order webhooks come.
 */
import { randomUUID } from 'node:crypto';
import { Problem, type Purchase, purchaseIdOf } from '#client/index.ts';
import type { Holdfast } from './holdfast.ts';

/** An order as the shop shows it. */
export interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly purchaseId: string;
  readonly state: Purchase['state'] | 'ordered';
  /** What was captured, and what of it has been given back, in minor units. */
  readonly amountMinor: number;
  readonly refundedMinor: number;
  readonly currency: string;
  /** What was bought. */
  readonly items: readonly { readonly reservationId: string; readonly units: number }[];
  readonly placedAtMs: number;
}

export interface Orders {
  /** A customer's orders; what came to no purchase is none. */
  of(customer: string): Order[];
  all(): Order[];
  find(orderId: string): Order | undefined;
  /** Writes an order of a customer, who buys it then. */
  place(customer: string): Promise<Order>;
  /** Forgets the orders of a while ago with which nobody bought: of which Holdfast says that there is no purchase. */
  forgetAbandoned(): Promise<void>;
  /** Reads anew what became of the order of a purchase. Other purchases are none of this shop's. */
  heard(purchaseId: string): Promise<void>;
  /** Gives back some units of an order, with their price. */
  refund(order: Order, units: number): Promise<void>;
}

/** Whoever orders buys at once. After so long an order is looked at that came to nothing as far as the shop has heard. */
const abandonedAfterMs = 3_600_000;

/** Opens the book of orders, in memory; a shop has a database. */
export function openOrders(holdfast: Holdfast, now: () => number = Date.now): Orders {
  const orders = new Map<string, Order>();
  /** Answers are taken in in the order in which they were asked for, so that an older one never replaces a newer one. */
  let reading: Promise<unknown> = Promise.resolve();

  function write(order: Order): Order {
    orders.set(order.orderId, order);
    return order;
  }

  async function read({ orderId, customer, purchaseId }: Order): Promise<void> {
    const params = { path: { purchaseId } };
    const { data: purchase } = await holdfast.actingFor(customer).http.GET('/purchases/{purchaseId}', { params });
    const order = orders.get(orderId);
    if (!purchase || !order) return;
    const { state, amount, items, refunds } = purchase;
    const refundedMinor = refunds
      .filter((refund) => refund.state === 'refunded')
      .reduce((sum, refund) => sum + refund.amount.amountMinor, 0);
    write({ ...order, state, ...amount, refundedMinor, items });
  }

  function readInTurn(order: Order): Promise<void> {
    const mine = reading.then(() => read(order));
    reading = mine.catch(() => undefined);
    return mine;
  }

  const bought = () => [...orders.values()].filter(({ state }) => state !== 'ordered');

  return {
    of: (customer) => bought().filter((order) => order.customer === customer),
    all: bought,
    find: (orderId) => orders.get(orderId),
    async place(customer) {
      const orderId = randomUUID();
      const { data: me } = await holdfast.actingFor(customer).http.GET('/me');
      const purchaseId = await purchaseIdOf(me?.customerId ?? '', orderId);
      return write({
        ...{ orderId, customer, purchaseId, state: 'ordered' },
        ...{ amountMinor: 0, refundedMinor: 0, currency: 'EUR', items: [], placedAtMs: now() },
      });
    },
    async forgetAbandoned() {
      for (const order of orders.values()) {
        // The oldest come first.
        if (order.placedAtMs > now() - abandonedAfterMs) return;
        if (order.state !== 'ordered') continue;
        await readInTurn(order).catch((error: unknown) => {
          if (error instanceof Problem && error.status === 404) orders.delete(order.orderId);
        });
      }
    },
    async heard(purchaseId) {
      const order = [...orders.values()].find((one) => one.purchaseId === purchaseId);
      if (order) await readInTurn(order);
    },
    async refund({ purchaseId, items }, units) {
      const part = items.slice(0, 1).map(({ reservationId }) => ({ reservationId, units }));
      const params = { path: { purchaseId }, header: { 'Idempotency-Key': randomUUID() } };
      await holdfast.own.http.POST('/purchases/{purchaseId}/refund', { params, body: { items: part, cancel: part } });
    },
  };
}
