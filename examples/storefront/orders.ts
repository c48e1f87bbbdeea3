/**
 * The shop's orders. An order is written before anything is bought, and its id is the key of the purchase: a shop that stops
 * between the two asks again with the same key, and buys once. What became of it is what Holdfast says when it is asked; a webhook is
 * the hint to ask, so it does not matter how often or in which order webhooks come.
 */
import { randomUUID } from 'node:crypto';
import { isOutcome, type Purchase } from '#client/index.ts';
import type { Holdfast } from './holdfast.ts';

/** An order as the shop shows it. */
export interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly reservationId: string;
  readonly purchaseId: string | undefined;
  readonly state: Purchase['state'] | 'ordered';
  /** What was captured, and what of it has been given back, in minor units. */
  readonly amountMinor: number;
  readonly refundedMinor: number;
  readonly currency: string;
  /** How many units it was for. */
  readonly units: number;
}

export interface Orders {
  of(customer: string): Order[];
  all(): Order[];
  find(orderId: string): Order | undefined;
  /** Orders what a customer has reserved, and buys it. */
  place(customer: string, reservationId: string, paymentToken: string): Promise<Order>;
  /** Reads anew what became of the order of a purchase. Other purchases are none of this shop's. */
  heard(purchaseId: string): Promise<void>;
  /** Gives back some units of an order, with their price. */
  refund(order: Order, units: number): Promise<void>;
}

/** Opens the book of orders, in memory; a shop has a database. */
export function openOrders(holdfast: Holdfast): Orders {
  const orders = new Map<string, Order>();
  /** Answers are taken in in the order in which they were asked for, so that an older one never replaces a newer one. */
  let reading: Promise<unknown> = Promise.resolve();

  function write(order: Order): Order {
    orders.set(order.orderId, order);
    return order;
  }

  async function read({ orderId, customer, purchaseId = '' }: Order): Promise<void> {
    const params = { path: { purchaseId } };
    const { data: purchase } = await holdfast.actingFor(customer).http.GET('/purchases/{purchaseId}', { params });
    const order = orders.get(orderId);
    if (!purchase || !order) return;
    const { state, amount, items, refunds } = purchase;
    const refundedMinor = refunds
      .filter((refund) => refund.state === 'refunded')
      .reduce((sum, refund) => sum + refund.amount.amountMinor, 0);
    const units = items.reduce((sum, item) => sum + item.units, 0);
    write({ ...order, state, ...amount, refundedMinor, units });
  }

  function readInTurn(order: Order): Promise<void> {
    const mine = reading.then(() => read(order));
    reading = mine.catch(() => undefined);
    return mine;
  }

  return {
    of: (customer) => [...orders.values()].filter((order) => order.customer === customer),
    all: () => [...orders.values()],
    find: (orderId) => orders.get(orderId),
    async place(customer, reservationId, paymentToken) {
      const order = write({
        ...{ orderId: randomUUID(), customer, reservationId, purchaseId: undefined, state: 'ordered' },
        ...{ amountMinor: 0, refundedMinor: 0, currency: 'EUR', units: 0 },
      });
      const request = { reservationIds: [reservationId], paymentToken };
      try {
        const { purchaseId } = await holdfast.actingFor(customer).buy(request, { key: order.orderId });
        // A webhook may have come before this: it found no order, so the purchase is read here too.
        await readInTurn(write({ ...order, purchaseId }));
      } catch (problem) {
        // Refused: there is no purchase. Where it is not known, the order stays, and its id finds out later.
        if (isOutcome(problem)) orders.delete(order.orderId);
        throw problem;
      }
      return orders.get(order.orderId) ?? order;
    },
    async heard(purchaseId) {
      const order = [...orders.values()].find((one) => one.purchaseId === purchaseId);
      if (order) await readInTurn(order);
    },
    async refund({ purchaseId = '', reservationId }, units) {
      const part = [{ reservationId, units }];
      const params = { path: { purchaseId }, header: { 'Idempotency-Key': randomUUID() } };
      await holdfast.own.http.POST('/purchases/{purchaseId}/refund', { params, body: { items: part, cancel: part } });
    },
  };
}
