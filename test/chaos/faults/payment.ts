/** Rows 34 to 36 and 47: what can happen to a payment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#local/wait.ts';
import { fromBytes } from '#platform/kernel/ids.ts';
import type { Fault, Run } from '../fault.ts';

/** Until no payment is awaited any more. */
export async function settled(run: Run, timeoutMs: number): Promise<void> {
  await waitFor(
    'every payment to be settled',
    async () =>
      (
        await run.world.rows(
          "SELECT id FROM purchases WHERE state IN ('requested', 'unknown', 'requires_action', 'refunding')",
        )
      ).length === 0,
    { timeoutMs, lookAgainMs: 200 },
  );
}

const tokens = ['tok_approve', 'tok_slow', 'tok_charged_timeout', 'tok_flaky_2', 'tok_decline', 'tok_approve'];

const provider: Fault = {
  number: 34,
  name: 'provider-misbehaves',
  title: 'Provider slow, failing, charging without an answer; webhooks twice, first, lost',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { world, load } = run;
    const sales = await load.sales(2, { allotment: 120 });
    await load.rush({ sales, requests: 70, concurrency: 8 });
    await load.decided();
    const card = () => tokens[Math.floor(run.random() * tokens.length)] ?? 'tok_approve';
    await world.faults('provider', {
      seed: 3,
      failRate: 0.15,
      lostAnswerRate: 0.25,
      webhookTwice: true,
      webhookLossRate: 0.8,
    });
    await load.act({ buy: 0.5, paymentToken: card });
    await world.faults('provider', { seed: 4, slowMs: 300, webhookFirst: true, lostAnswerRate: 0.2 });
    await load.act({ buy: 0.7, paymentToken: card });
    await sleep(1_000);
    await world.faults('provider');
    await settled(run, run.patienceMs);
    const books = await world.provider<{ charges: { status: string }[] }>('GET', '/v1/ledger');
    run.count('captures', books.charges.filter(({ status }) => status === 'captured').length);
    run.count('purchases', (await world.rows('SELECT id FROM purchases')).length);
    run.expect(books.charges.length > 0, 'no charge was made');
  },
};

const race: Fault = {
  number: 35,
  name: 'expiry-races-payment',
  title: 'Expiry races payment',
  also: ['I5', 'I6', 'I7', 'I8'],
  async run(run) {
    const { world, load } = run;
    const closesInMs = 5_000;
    const sale = await load.sale({
      allotment: 60,
      waitlistSize: 30,
      reserveClosesInMs: 2_500,
      purchaseClosesInMs: closesInMs,
    });
    const createdAtMs = Date.now();
    await load.rush({ sales: [sale], requests: 50, concurrency: 10 });
    await load.decided();
    await world.faults('provider', { seed: 5, slowMs: 700 });
    // Orders arrive around the close, and so does the rule that expires what is not bought.
    const orders = load.promised.map(async ({ account, reservationId }) => {
      const at = createdAtMs + closesInMs - 900 + run.random() * 1_000;
      await sleep(Math.max(0, at - Date.now()));
      await load.buy(account, [reservationId], run.random() < 0.8 ? 'tok_approve' : 'tok_decline');
    });
    const firing = (async () => {
      await sleep(Math.max(0, createdAtMs + closesInMs - Date.now()));
      for (let times = 1; times <= 8; times++) {
        await world.send('advance', { saleId: sale });
        await sleep(250);
      }
    })();
    await Promise.all([...orders, firing]);
    await world.faults('provider');
    await settled(run, 40_000);
    await world.send('advance', { saleId: sale });
    await waitFor(
      'the rest to expire',
      async () =>
        (await world.rows("SELECT id FROM reservations WHERE state IN ('allocated', 'waitlisted')")).length === 0,
      { timeoutMs: run.patienceMs },
    );
    const states = await world.rows<{ state: string; n: number }>(
      'SELECT state, COUNT(*) AS n FROM reservations GROUP BY state',
    );
    for (const { state, n } of states) run.count(state, n);
  },
};

const breakerOpen: Fault = {
  number: 36,
  name: 'breaker-open',
  title: 'The provider is down and every breaker open',
  also: ['I5', 'I7'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 100 });
    await load.rush({ sales: [sale], requests: 40, concurrency: 8 });
    await load.decided();
    await world.faults('provider', { down: true });
    await load.act({ buy: 0.8 });
    await sleep(5_000);
    const parked = await world.rows("SELECT id FROM purchases WHERE state IN ('requested', 'unknown')");
    run.count('parked', parked.length);
    run.expect(
      parked.length === (await world.rows('SELECT id FROM purchases')).length,
      'some were settled while it was down',
    );
    run.expect(parked.length > 0, 'no purchase was accepted');
    await world.faults('provider');
    const backAtMs = Date.now();
    await settled(run, 70_000);
    run.measure('drained after', Date.now() - backAtMs);
    const captured = await world.rows("SELECT id FROM purchases WHERE state = 'captured'");
    run.count('drained', captured.length);
    run.expect(
      captured.length === parked.length,
      `${captured.length} of ${parked.length} parked payments were captured`,
    );
  },
};

/** Customers who are asked for an action decide: some confirm, some refuse, and of the others nothing is heard. */
async function decideAtBank({ world, random, patienceMs }: Run, confirm: number, refuse: number): Promise<void> {
  await waitFor(
    'every customer to be asked',
    async () => (await world.rows("SELECT id FROM purchases WHERE state IN ('requested', 'unknown')")).length === 0,
    { timeoutMs: patienceMs, lookAgainMs: 100 },
  );
  const asked = await world.rows<{ url: string }>(
    "SELECT action_url AS url FROM purchases WHERE state = 'requires_action'",
  );
  await Promise.all(
    asked.map(async ({ url }) => {
      const dice = random();
      if (dice >= confirm + refuse) return;
      const decision = dice < confirm ? 'confirm' : 'refuse';
      await fetch(url, { method: 'POST', body: new URLSearchParams({ decision }) });
    }),
  );
}

const waitsAndRefuses: Fault = {
  number: 47,
  name: 'provider-waits-and-refuses',
  title: 'The provider waits for customers, confirms another amount, refuses refunds',
  also: ['I5', 'I6', 'I7', 'I13'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 120, waitlistSize: 30 });
    await load.rush({ sales: [sale], requests: 70, concurrency: 8 });
    await load.decided();
    const unsteady = { seed: 6, webhookTwice: true, webhookLossRate: 0.5, lostAnswerRate: 0.15 };
    // The customers' time, and a lost answer and its pause.
    const waitMs = run.patienceMs + 30_000;
    const paymentToken = () => 'tok_action_12';
    await world.faults('provider', unsteady);
    await load.act({ buy: 0.5, paymentToken });
    await decideAtBank(run, 0.5, 0.2);
    await settled(run, waitMs);
    await world.faults('provider', { ...unsteady, confirmShiftMinor: 100, refuseRefunds: 402 });
    await load.act({ buy: 0.6, paymentToken });
    await decideAtBank(run, 0.6, 0.1);
    await settled(run, waitMs);
    const inState = async (state: string) =>
      (await world.rows<{ id: string }>('SELECT LOWER(HEX(id)) AS id FROM purchases WHERE state = ?', [state])).map(
        ({ id }) => fromBytes(Buffer.from(id, 'hex')),
      );
    const disputed = await inState('disputed');
    run.count('disputed', disputed.length);
    for (const id of disputed) await world.operate('POST', `/purchases/${id}/dispute`, { decision: 'refund' });
    await settled(run, waitMs);
    const refused = await inState('refund_failed');
    run.count('refused refunds', refused.length);
    await world.faults('provider');
    for (const id of refused) await world.operate('POST', `/purchases/${id}/refund`);
    await settled(run, waitMs);
    const states = await world.rows<{ state: string; n: number }>(
      'SELECT state, COUNT(*) AS n FROM purchases GROUP BY state',
    );
    for (const { state, n } of states) run.count(state, Number(n));
    run.expect(disputed.length > 0, 'no capture of another amount was disputed');
    run.expect(refused.length === disputed.length, `${refused.length} of ${disputed.length} refunds were refused`);
    const bound = await world.rows(
      `SELECT r.id FROM reservations r JOIN purchases p ON p.id = r.purchase_id
       WHERE r.state = 'allocated' AND p.state IN ('declined', 'refunded')`,
    );
    run.expect(bound.length === 0, `${bound.length} reservations are bound to payments that are over`);
    const expired = await world.rows("SELECT id FROM purchases WHERE reason = 'action_expired'");
    run.count('unheard of', expired.length);
    run.expect(expired.length > 0, 'every customer was heard of');
  },
};

export const paymentFaults = [provider, race, breakerOpen, waitsAndRefuses];
