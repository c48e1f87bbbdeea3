/** Rows 50 to 52: Stripe and Toss Payments, and several providers at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { purchaseIdOf } from '#client/purchase-id.ts';
import type { Account } from '#load/client.ts';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import type { Order } from '../load.ts';
import { settled } from './payment.ts';

const priceInWon = 7_500;
const untoldAtMost = 8;

/** Until what was ordered has been attempted; customers may be asked for something then. */
async function attempted(run: Run): Promise<void> {
  await waitFor(
    'every purchase to be attempted',
    async () => (await purchasesIn(run, 'requested', 'unknown')).length === 0,
    { timeoutMs: run.patienceMs, lookAgainMs: 200 },
  );
}

/** The purchases that are in one of these states, by their ids. */
async function purchasesIn({ world }: Run, ...states: string[]): Promise<string[]> {
  const rows = await world.rows<{ id: string }>('SELECT LOWER(HEX(id)) AS id FROM purchases WHERE state IN (?)', [
    states,
  ]);
  return rows.map(({ id }) => id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'));
}

/** Sends a webhook as a provider does: again, until it is taken or refused. */
async function tell({ world }: Run, { headers, body }: { headers: object; body: string }): Promise<number> {
  for (let left = untoldAtMost; ; left--) {
    const sending = { method: 'POST', path: '/webhooks/payments', raw: body, headers: { ...headers } };
    const { status } = await world.api.send('operator', sending);
    if ((status >= 200 && status < 500 && status !== 429) || left === 0) return status;
    await sleep(250);
  }
}

/** What goes wrong with some of a provider's requests. `failing` is its way to answer with an error. */
function unsteady<Failing>({ random }: Run, failing: Failing): () => Failing | 'lose the answer' | undefined {
  return () => {
    const dice = random();
    return dice < 0.25 ? 'lose the answer' : dice < 0.4 ? failing : undefined;
  };
}

function oneOf<Item>({ random }: Run, items: readonly [Item, ...Item[]]): Item {
  return items[Math.floor(random() * items.length)] ?? items[0];
}

/** An operator gives a part of some captured purchases back while the answers to that are lost, and the keys forgotten. */
async function refundInPart(
  run: Run,
  amountMinor: number,
  double: { forgetKeys(): void; trouble: unknown },
  isRefund: (request: string) => boolean,
): Promise<void> {
  const { world, random } = run;
  const chosen = (await purchasesIn(run, 'captured')).slice(0, 8);
  double.trouble = (request: string) => (isRefund(request) && random() < 0.6 ? 'lose the answer' : undefined);
  for (const [index, id] of chosen.entries()) {
    const { status } = await world.operate('POST', `/purchases/${id}/refund`, { amountMinor }, `part-${index}`);
    run.expect(status === 202, `a refund in part was answered ${status}`);
  }
  for (let times = 0; times < 12; times++) {
    await sleep(250);
    double.forgetKeys();
  }
  double.trouble = undefined;
  run.count('refunds in part', chosen.length);
  run.expect(chosen.length > 0, 'nothing was given back');
}

async function countStates(run: Run): Promise<void> {
  const states = await run.world.rows<{ state: string; n: number }>(
    'SELECT state, COUNT(*) AS n FROM purchases GROUP BY state',
  );
  for (const { state, n } of states) run.count(state, Number(n));
}

/** What a customer allows in Toss's window for an order. */
async function allowAtToss(
  { world: { toss } }: Run,
  { account, reservation, key }: Order,
  method: Parameters<typeof toss.allow>[2],
): Promise<string> {
  const purchaseId = await purchaseIdOf(account.customerId, key);
  return toss.allow(purchaseId, reservation.units * priceInWon, method);
}

const tossMisbehaves: Fault = {
  number: 50,
  name: 'toss-misbehaves',
  title: 'Toss Payments slow, failing, its answers lost; webhooks twice, lost and lying; refunds in part repeated',
  also: ['I5', 'I6', 'I7', 'I13'],
  async run(run) {
    const { world, load } = run;
    const { toss } = world;
    const sale = await load.sale({ allotment: 90, productId: world.productInWonId, paymentProvider: 'toss' });
    await load.rush({ sales: [sale], requests: 45, concurrency: 8 });
    await load.decided();

    const keys: string[] = [];
    world.proxies.toss.set({ latencyMs: 60, jitterMs: 200 });
    toss.dueDate = new Date(Date.now() + 20_000).toISOString();
    toss.trouble = unsteady(run, { status: 500 });
    const account = 'account with refund account';
    await load.act({
      saleId: sale,
      buy: 0.95,
      paymentToken: async (order) => {
        keys.push(await allowAtToss(run, order, oneOf(run, ['card', 'card', account, account, 'bad card'])));
        return keys.at(-1) ?? '';
      },
    });
    // Whoever knows the name of an order can say that it is paid.
    const lie = { status: 'DONE', approvedAt: '2026-11-29T10:05:00+09:00' };
    await Promise.all(keys.map((key) => tell(run, toss.webhook(key, lie))));
    toss.trouble = undefined;
    world.proxies.toss.set();
    await attempted(run);

    const waiting = keys.filter((key) => toss.payment(key).status === 'WAITING_FOR_DEPOSIT');
    for (const [index, key] of waiting.entries()) {
      for (const told of [toss.depositWebhook(key, { status: 'DONE' }), toss.webhook(key, lie)]) await tell(run, told);
      run.count('lies', 2);
      if (index % 3 === 2 || toss.payment(key).status !== 'WAITING_FOR_DEPOSIT') continue;
      toss.deposit(key);
      run.count('deposits');
      if (index % 3 === 0) for (let times = 0; times < 2; times++) await tell(run, toss.depositWebhook(key));
    }
    // Who has paid and is not told of, and who has not paid, is found out at the deadline.
    await settled(run, run.patienceMs + 30_000);
    run.expect(waiting.length > 2, `${waiting.length} accounts waited for their deposit`);

    await refundInPart(run, 1_000, toss, (request) => request.endsWith('/cancel'));
    await settled(run, run.patienceMs);
    run.count('cancels asked for', toss.cancelled.length);
    await countStates(run);
  },
};

const stripeMisbehaves: Fault = {
  number: 51,
  name: 'stripe-misbehaves',
  title: 'Stripe slow, failing, its answers lost, its search behind; webhooks twice, lost and forged; refunds repeated',
  also: ['I5', 'I6', 'I7', 'I13'],
  async run(run) {
    const { world, load, random } = run;
    const { stripe } = world;
    const sale = await load.sale({ allotment: 90, paymentProvider: 'stripe' });
    await load.rush({ sales: [sale], requests: 45, concurrency: 8 });
    await load.decided();

    const buyers = new Map<string, Account>();
    const card = 'pm_card_visa';
    const cards = [card, card, 'pm_card_threeDSecure2Required', `${card}_chargeDeclinedInsufficientFunds`] as const;
    world.proxies.stripe.set({ latencyMs: 60, jitterMs: 200 });
    stripe.searchIsCurrent = false;
    stripe.trouble = unsteady(run, 500);
    await load.act({
      saleId: sale,
      buy: 0.95,
      paymentToken: async ({ account, key }) => {
        buyers.set(await purchaseIdOf(account.customerId, key), account);
        return oneOf(run, cards);
      },
    });
    const tellSome = async () => {
      for (const event of [...stripe.events]) if (random() < 0.6) await tell(run, stripe.signed(event));
    };
    await tellSome();
    await sleep(2_000);
    stripe.trouble = undefined;
    stripe.searchIsCurrent = true;
    world.proxies.stripe.set();
    await attempted(run);
    await tellSome();

    const asking = [...stripe.intents.values()].filter(({ status }) => status === 'requires_action');
    for (const [index, intent] of asking.entries()) {
      const purchaseId = intent.metadata.reference ?? '';
      const paid = { ...intent, status: 'succeeded', amount_received: intent.amount, next_action: null };
      const forged = { type: 'payment_intent.succeeded', data: { object: paid } };
      const status = await tell(run, stripe.signed(forged, { secret: 'whsec_of_mine' }));
      run.expect(status === 400 || status === 401, `a forged webhook was answered ${status}`);
      run.count('forged');
      const [acts, isTold, givesUp] = [index % 4 !== 3, index % 4 < 2, index % 4 > 1];
      if (acts) stripe.act(intent, index % 4 !== 1);
      const event = stripe.events.at(-1);
      if (isTold && event) for (let times = 0; times < 2; times++) await tell(run, stripe.signed(event));
      if (!givesUp) continue;
      // Also of who has paid, of which nothing was heard: it is found out then.
      const token = await buyers.get(purchaseId)?.token();
      await world.api.send('operator', { method: 'DELETE', path: `/purchases/${purchaseId}`, token });
      run.count('given up');
    }
    await settled(run, run.patienceMs);
    run.expect(asking.length > 2, `${asking.length} customers were asked for something`);

    stripe.refundsAre = { status: 'pending' };
    await refundInPart(run, 100, stripe, (request) => request === 'POST /v1/refunds');
    await waitFor('every refund to be at Stripe', async () => !(await isMissing(run, stripe.refunds.length)), {
      timeoutMs: run.patienceMs,
    });
    stripe.refundsAre = { status: 'succeeded' };
    for (const refund of stripe.refunds) {
      stripe.finishRefund(refund);
      const event = stripe.events.at(-1);
      if (event) await tell(run, stripe.signed(event));
    }
    await settled(run, run.patienceMs);
    run.count('intents', stripe.intents.size);
    await countStates(run);
  },
};

/** Whether a refund that was ordered has not reached its provider. */
async function isMissing({ world }: Run, made: number): Promise<boolean> {
  const [ordered] = await world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM refunds');
  return made < Number(ordered?.n);
}

/** How many of a sale's purchases are in a state, and how many needed more than one attempt. */
async function purchasesOf({ world }: Run, saleId: string): Promise<{ all: number; captured: number; again: number }> {
  const [row] = await world.rows<{ all: number; captured: number; again: number }>(
    `SELECT COUNT(*) AS \`all\`, COALESCE(SUM(p.state = 'captured'), 0) AS captured,
       COALESCE(SUM(p.attempts > 1), 0) AS again
     FROM purchases p WHERE p.id IN (SELECT purchase_id FROM purchase_items WHERE sale_id = UNHEX(?))`,
    [saleId.replaceAll('-', '')],
  );
  return { all: Number(row?.all), captured: Number(row?.captured), again: Number(row?.again) };
}

const oneIsDown: Fault = {
  number: 52,
  name: 'one-provider-down',
  title: 'Three providers at once, of which one is down',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { world, load } = run;
    const terms = { allotment: 60, waitlistSize: 0 };
    const won = { productId: world.productInWonId };
    const down = await load.sale({ ...terms, ...won, paymentProvider: 'toss' });
    const others = [await load.sale(terms), await load.sale({ ...terms, paymentProvider: 'stripe' })] as const;
    await load.rush({ sales: [down, ...others], requests: 75, concurrency: 8 });
    await load.decided();

    world.proxies.toss.set({ refuse: true });
    const allowed = (order: Order) => allowAtToss(run, order, 'card');
    await load.act({ saleId: down, buy: 0.9, paymentToken: allowed });
    await waitFor('Toss to be given up for now', async () => (await purchasesOf(run, down)).again > 3, {
      timeoutMs: run.patienceMs,
      lookAgainMs: 100,
    });
    const paymentTokens = { [others[0]]: 'tok_approve', [others[1]]: 'pm_card_visa' };
    const atMs = Date.now();
    for (const saleId of others) await load.act({ saleId, buy: 1, paymentToken: () => paymentTokens[saleId] ?? '' });
    for (const saleId of others) {
      await waitFor(
        'the sales of the others to be bought',
        async () => {
          const { all, captured } = await purchasesOf(run, saleId);
          return all > 0 && captured === all;
        },
        { timeoutMs: run.patienceMs, lookAgainMs: 100 },
      );
      const { all, again } = await purchasesOf(run, saleId);
      run.count('of the others', all);
      // One whose first attempt took too long is attempted again.
      run.expect(again <= all / 3, `${again} of ${all} purchases at another provider had to wait`);
    }
    run.measure('others bought after', Date.now() - atMs);
    const parked = await purchasesOf(run, down);
    run.count('parked', parked.all);
    run.expect(parked.captured === 0 && parked.all > 0, `${parked.captured} were captured where nothing can be`);
    world.proxies.toss.set();
    await settled(run, run.patienceMs + 10_000);
    const drained = await purchasesOf(run, down);
    run.expect(drained.captured === parked.all, `${drained.captured} of ${parked.all} parked payments were captured`);
  },
};

export const providerFaults = [tossMisbehaves, stripeMisbehaves, oneIsDown];
