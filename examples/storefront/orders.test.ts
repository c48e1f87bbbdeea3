import { createClient } from '#client/index.ts';
import { openOrders } from './orders.ts';

const hourMs = 3_600_000;

/** A Holdfast that knows the purchases whose ids are told to it, or does not answer. */
function opened() {
  const purchases = new Set<string>();
  let nowMs = 0;
  let isThere = true;
  const fetch = async ({ url }: Request): Promise<Response> => {
    if (!isThere) throw new TypeError('fetch failed');
    const path = new URL(url).pathname;
    if (path === '/me') return Response.json({ customerId: '01998c1e-7d00-7000-8000-000000000001' });
    const purchaseId = path.split('/').at(-1) ?? '';
    if (!purchases.has(purchaseId)) return Response.json({ status: 404, code: 'not_found' }, { status: 404 });
    const amount = { amountMinor: 8_900, currency: 'EUR' };
    return Response.json({ purchaseId, state: 'captured', amount, items: [], refunds: [] });
  };
  const client = createClient({ api: 'http://holdfast.example', token: () => 'key', tries: 1, fetch });
  const orders = openOrders({ own: client, actingFor: () => client }, () => nowMs);
  return {
    orders,
    purchases,
    later: (ms: number) => {
      nowMs += ms;
    },
    answers(is: boolean) {
      isThere = is;
    },
  };
}

describe('an order with which nobody came to buy', () => {
  test('is forgotten after an hour; one whose purchase the shop has not heard of is not', async () => {
    const { orders, purchases, later } = opened();
    const [left, bought] = [await orders.place('ada'), await orders.place('ada')];
    purchases.add(bought.purchaseId);
    later(hourMs - 1);
    await orders.forgetAbandoned();
    expect([orders.find(left.orderId)?.state, orders.find(bought.orderId)?.state]).toEqual(['ordered', 'ordered']);
    const last = await orders.place('bea');
    later(1);
    await orders.forgetAbandoned();
    expect([orders.find(left.orderId), orders.find(bought.orderId)?.state]).toEqual([undefined, 'captured']);
    expect(orders.find(last.orderId)?.state).toBe('ordered');
  });

  test('is kept while Holdfast does not say that there is no purchase', async () => {
    const { orders, later, answers } = opened();
    const left = await orders.place('ada');
    later(hourMs);
    answers(false);
    await orders.forgetAbandoned();
    expect(orders.find(left.orderId)?.state).toBe('ordered');
    answers(true);
    await orders.forgetAbandoned();
    expect(orders.find(left.orderId)).toBeUndefined();
  });
});
