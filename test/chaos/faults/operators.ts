/** Rows 46 and 47: operators at work among buyers, and a provider that does not do what it was asked to. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';

/** The part of a sale's terms that is changed here by PATCH. */
interface Sale {
  readonly waitlistSize: number;
  readonly reserveClosesAt: string;
}

const hourMs = 3_600_000;
const attempts = 40;

/**
 * An operator, who repeats under one key what has no good answer. What changes a sale's times goes through the client that logs
 * it, since the verifier judges windows, pauses and notices by that log.
 */
class Desk {
  readonly #run: Run;
  #calls = 0;
  #waived = 0;

  constructor(run: Run) {
    this.#run = run;
  }

  async call<Body>(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }> {
    const key = `operator-${++this.#calls}`;
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#run.world.operate<Body>(method, path, body, key).catch(() => undefined);
      if (answer && answer.status > 0 && answer.status < 500 && answer.status !== 429) return answer;
      if (attempt === attempts) throw new Error(`${method} ${path} had no answer`);
      await sleep(250);
    }
  }

  /** Pauses a sale for a moment; what was to come must be later by it. */
  async pause(saleId: string): Promise<void> {
    const { operator } = this.#run.world;
    const paused = await operator.pauseSale(saleId);
    await sleep(200 + 600 * this.#run.random());
    const atLeastMs = Date.now() - Date.parse(paused.pausedAt ?? '');
    const resumed = await operator.resumeSale(saleId);
    const givenBackMs = Date.parse(resumed.purchaseClosesAt) - Date.parse(paused.purchaseClosesAt);
    this.#run.expect(
      givenBackMs >= atLeastMs,
      `a pause of at least ${atLeastMs} ms was given back with ${givenBackMs} ms`,
    );
    this.#run.count('pauses');
  }

  /** Moves a sale's times, and confirms what the preview says if that is dangerous. */
  async move(saleId: string, times: { shiftSeconds: number } | { purchaseClosesAt: string }): Promise<void> {
    const { operator } = this.#run.world;
    const { confirmation } = await operator.previewReschedule(saleId, times);
    const moved = await operator.rescheduleSale(saleId, { ...times, ...(confirmation ? { confirmation } : {}) });
    if ('purchaseClosesAt' in times) {
      const closesAt = moved.sale.purchaseClosesAt;
      this.#run.expect(closesAt === times.purchaseClosesAt, `the close was moved to ${closesAt}`);
    }
    this.#run.count('moves');
  }

  /** Moves the close of a sale to so long from now, but not before its requests close: that is refused, since nobody could buy. */
  async moveClose(saleId: string, closesInMs: number): Promise<void> {
    const { body: sale } = await this.call<Sale>('GET', `/sales/${saleId}`);
    const closesAtMs = Math.max(Math.ceil(Date.now() + closesInMs), Date.parse(sale.reserveClosesAt));
    await this.move(saleId, { purchaseClosesAt: new Date(closesAtMs).toISOString() });
  }

  async stock(saleId: string, units: number): Promise<void> {
    await this.call('POST', `/sales/${saleId}/stock`, { units });
    this.#run.count(units > 0 ? 'additions' : 'units taken back');
  }

  async raiseWaitlist(saleId: string): Promise<void> {
    const { body: sale } = await this.call<Sale>('GET', `/sales/${saleId}`);
    await this.call('PATCH', `/sales/${saleId}`, { waitlistSize: sale.waitlistSize + 10 });
    this.#run.count('waitlists raised');
  }

  /** Gives a paid purchase back, all of it or an amount of it. */
  async refund(part: boolean): Promise<void> {
    const chosen = await this.#oneOf('captured');
    if (!chosen) return;
    await this.call('POST', `/purchases/${dashed(chosen.id)}/refund`, part ? { amountMinor: 100 } : {});
    this.#run.count(part ? 'partial refunds' : 'refunds');
  }

  /** Asks again for what the provider has refused of some purchase, or waives it. The first time there is one, it is waived. */
  async decideAboutRefused(): Promise<void> {
    const chosen = await this.#oneOf('refund_failed');
    if (!chosen) return;
    const waives = this.#waived === 0 || this.#run.random() < 0.5;
    const decision = waives ? { waiveFailed: true } : { retryFailed: true };
    const { status } = await this.call('POST', `/purchases/${dashed(chosen.id)}/refund`, decision);
    if (status !== 202) return;
    if (waives) this.#waived++;
    this.#run.count(waives ? 'refused and waived' : 'refused and asked again');
  }

  /** Decides about everything that the provider has refused. It must refuse nothing any more. */
  async decideAboutAllRefused(): Promise<void> {
    const isDecided = async () => {
      await nonePending(this.#run, 'refunding');
      await this.decideAboutRefused();
      return (await purchasesIn(this.#run, 'refunding', 'refund_failed')).length === 0;
    };
    await waitFor('what was refused to be decided', isDecided, { timeoutMs: this.#run.patienceMs, lookAgainMs: 100 });
  }

  async #oneOf(state: string): Promise<{ id: string } | undefined> {
    const purchases = await purchasesIn(this.#run, state);
    return purchases[Math.floor(this.#run.random() * purchases.length)];
  }

  /** Calls a sale off with refunds, and waits until everybody has their money back. */
  async callOff(saleId: string): Promise<void> {
    const { world, patienceMs } = this.#run;
    const sale = await world.operator.cancelSale(saleId);
    this.#run.expect(sale.status === 'cancelled', `a sale that was called off is ${sale.status}`);
    const isDone = async () => {
      await world.send('advance', { saleId });
      return (await this.call<{ done: boolean }>('GET', `/ops/sales/${saleId}/cancellation`)).body.done;
    };
    await waitFor('every refund of the sale', isDone, { timeoutMs: patienceMs, lookAgainMs: 500 });
    const [kept] = await world.rows<{ kept: number }>(
      "SELECT COUNT(*) AS kept FROM reservations WHERE sale_id = UNHEX(?) AND state NOT IN ('refunded', 'cancelled', 'rejected', 'expired')",
      [saleId.replaceAll('-', '')],
    );
    this.#run.expect(kept?.kept === 0, `${kept?.kept} reservations of a sale that was called off are kept`);
    this.#run.count('called off');
  }
}

function dashed(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Lets one operator do something at random with one of these sales. */
async function operateAtRandom(run: Run, desk: Desk, sales: readonly string[]): Promise<void> {
  const { random } = run;
  const saleId = sales[Math.floor(random() * sales.length)] ?? '';
  const closesInMs = (1 + 3 * random()) * hourMs;
  const acts: (() => Promise<void>)[] = [
    () => desk.pause(saleId),
    () => desk.pause(saleId),
    () => desk.moveClose(saleId, closesInMs),
    () => desk.move(saleId, { shiftSeconds: Math.ceil(random() * 600) - 120 || 1 }),
    () => desk.stock(saleId, 1 + Math.floor(random() * 5)),
    () => desk.stock(saleId, -1),
    () => desk.raiseWaitlist(saleId),
    () => desk.refund(true),
    () => desk.refund(false),
    () => desk.decideAboutRefused(),
    () => desk.decideAboutRefused(),
  ];
  await acts[Math.floor(random() * acts.length)]?.();
}

/** So that some refunds are refused, whatever happened at random: lets the provider refuse them for a moment. */
async function refuseSome(run: Run, desk: Desk): Promise<void> {
  const { world } = run;
  await world.faults('provider', { refuseRefunds: 422 });
  for (let n = 0; n < 3; n++) await desk.refund(n > 0);
  await nonePending(run, 'refunding');
  await world.faults('provider');
  const refused = (await purchasesIn(run, 'refund_failed')).length;
  run.expect(refused > 0, 'no refund was refused');
}

const atWork: Fault = {
  number: 46,
  name: 'operators-at-work',
  title: 'Operators pause, move, add, take back, refund in parts and call off, among buyers and dying workers',
  also: ['I4', 'I5', 'I6', 'I7', 'I8', 'I11', 'I12', 'I13'],
  async run(run) {
    const { world, load, random, scale } = run;
    const sales = await load.sales(3, { allotment: 40, waitlistSize: 30 });
    const desk = new Desk(run);
    let over = false;
    const until = async (work: () => Promise<void>) => {
      while (!over) await work();
    };
    const customers = load.rush({ sales, requests: Math.round(150 * scale), concurrency: 5, paceMs: 80 });
    const buyers = until(async () => {
      await load.act({ cancel: 0.1, buy: 0.35 });
      await sleep(300);
    });
    const deaths = until(async () => {
      await sleep(2_500);
      const victim = world.workers[Math.floor(random() * world.workers.length)];
      if (victim && !over) await world.crash(victim);
    });
    const provider = until(async () => {
      await world.faults('provider', { refuseRefunds: 422 });
      await sleep(2_000);
      await world.faults('provider');
      await sleep(2_000);
    });
    const operators = (async () => {
      for (let n = 0; n < Math.round(24 * scale); n++) await operateAtRandom(run, desk, sales);
    })();
    await Promise.all([customers, operators]).finally(() => {
      over = true;
    });
    await Promise.all([buyers, deaths, provider]);
    await refuseSome(run, desk);
    await desk.decideAboutAllRefused();
    await desk.callOff(sales[0] ?? '');
    await load.decided();
    const waiting = async () =>
      (
        await world.rows(
          `SELECT r.id FROM reservations r JOIN sales s ON s.id = r.sale_id
         WHERE r.state = 'waitlisted' AND s.status = 'active' AND r.at_least <= s.available`,
        )
      ).length;
    // Units that a refund brings back come whenever the provider answers; they are offered as they come.
    const left = await waiting();
    run.expect(left === 0, `${left} wait for units that are available`);
    const repeated = await world.rows(
      `SELECT subject_id FROM notifications WHERE kind IN ('reminder.paused', 'reminder.resumed', 'reminder.rescheduled')
       GROUP BY subject_id, kind, round HAVING COUNT(*) > 1`,
    );
    run.expect(repeated.length === 0, `${repeated.length} changes were told twice`);
  },
};

/** The purchases that are in one of these states. */
function purchasesIn(run: Run, ...states: string[]): Promise<{ id: string }[]> {
  return run.world.rows('SELECT LOWER(HEX(id)) AS id FROM purchases WHERE state IN (?) ORDER BY id', [states]);
}

async function nonePending(run: Run, ...states: string[]): Promise<void> {
  await waitFor(
    `no purchase to be ${states.join(' or ')}`,
    async () => (await purchasesIn(run, ...states)).length === 0,
    { timeoutMs: run.patienceMs, lookAgainMs: 200 },
  );
}

const refusing: Fault = {
  number: 47,
  name: 'provider-disagrees',
  title: 'The provider captures another amount than was ordered, and refuses refunds',
  also: ['I5', 'I6', 'I7', 'I13'],
  async run(run) {
    const { world, load } = run;
    const desk = new Desk(run);
    const sale = await load.sale({ allotment: 120 });
    await load.rush({ sales: [sale], requests: 50, concurrency: 8 });
    await load.decided();

    await world.faults('provider', { seed: 6, otherAmountRate: 0.4, lostAnswerRate: 0.2 });
    await load.act({ buy: 0.7 });
    await nonePending(run, 'requested', 'unknown');
    await world.faults('provider');
    const disputed = await purchasesIn(run, 'disputed');
    run.count('disputed', disputed.length);
    run.expect(disputed.length > 0, 'no capture of another amount was disputed');
    for (const { id } of disputed) await desk.call('POST', `/purchases/${dashed(id)}/dispute`, { decision: 'refund' });
    await nonePending(run, 'disputed', 'refunding');

    await world.faults('provider', { refuseRefunds: 422 });
    const toRefund = (await purchasesIn(run, 'captured')).slice(0, 6);
    for (const { id } of toRefund) await desk.call('POST', `/purchases/${dashed(id)}/refund`, {});
    await nonePending(run, 'refunding');
    const refused = await purchasesIn(run, 'refund_failed');
    run.count('refused', refused.length);
    run.expect(refused.length === toRefund.length, `${refused.length} of ${toRefund.length} refusals were recorded`);
    // A refusal is an answer, so the breaker stays closed and others are charged.
    const capturedBefore = (await purchasesIn(run, 'captured')).length;
    await load.act({ buy: 1 });
    await nonePending(run, 'requested', 'unknown');
    run.expect((await purchasesIn(run, 'captured')).length > capturedBefore, 'nobody was charged among the refusals');

    await world.faults('provider');
    for (const { id } of refused) await desk.call('POST', `/purchases/${dashed(id)}/refund`, {});
    await nonePending(run, 'refunding', 'refund_failed');
  },
};

export const operatorFaults = [atWork, refusing];
