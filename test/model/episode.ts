/**
 * A random sale: hundreds of customers and operators, every service failing now and then, all by a seed.
 *
 * An episode has three parts. First everything happens at once and everything may go wrong. Then the faults stop, and
 * the backlog must reach zero in bounded time (invariant I9); what is at rest then is checked. At last the purchase
 * window closes and it is checked again. The same plan and seed give the same episode, to the last id. Called by
 * `run.ts` and `shrink.ts`.
 */

import { isRefusal } from '#platform/kernel/errors.ts';
import { type ApiKeyId, type CustomerId, derivedId, type ReservationId, type SaleId } from '#platform/kernel/ids.ts';
import { giveUpPurchase } from '#purchase/give-up.ts';
import { requestPurchase } from '#purchase/request.ts';
import { receiveWebhook } from '#purchase/webhook.ts';
import { cancelDecided } from '#reservation/cancel.ts';
import { reduceDecided } from '#reservation/reduce.ts';
import { requestReservation } from '#reservation/request.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { queueOf, tick } from './consumers.ts';
import { type Desk, decideWhatWaits, letOperatorsWork, resumeAll } from './operators.ts';
import type { Plan } from './plan.ts';
import { pages } from './rows-per-step.ts';
import { beginMs, customerIdOf, type SaleSetting, Setting, saleIdOf } from './setting.ts';
import { type Chooser, type Fault, Random } from './world/choice.ts';
import { depsOf } from './world/deps.ts';
import type { Process, World } from './world/world.ts';

export interface EpisodeResult {
  readonly requests: number;
  readonly steps: number;
  readonly violation: { invariant: string; detail: string } | undefined;
  readonly faults: ReadonlyMap<Fault, number>;
  /** How many reservations ended in each state. */
  readonly outcomes: ReadonlyMap<string, number>;
}

/** The API key of a shop's program that acts for some customers. */
const storefront = '0190c000-0000-7000-a000-000000000001' as ApiKeyId;

/** Chooses by a seed. */
class SeededChooser implements Chooser {
  readonly #random: Random;
  readonly #rates: readonly (readonly [Fault, number])[];
  /** Whether anything may go wrong. */
  faulty = true;

  constructor(seed: number, rates: Plan['rates']) {
    this.#random = new Random(seed);
    this.#rates = Object.entries(rates).filter(([, rate]) => rate > 0) as [Fault, number][];
  }

  pick(count: number): number {
    return this.#random.below(count);
  }

  fault(possible: readonly Fault[]): Fault | undefined {
    if (!this.faulty || this.#rates.length === 0) return undefined;
    let drawn = this.#random.next();
    for (const [kind, rate] of this.#rates) {
      if (drawn < rate) return possible.includes(kind) ? kind : undefined;
      drawn -= rate;
    }
    return undefined;
  }

  happens(chance: number): boolean {
    return this.#random.next() < chance;
  }
}

const queues = [
  ['reservations', 10],
  ['purchases', 10],
  ['notifications', 10],
  ['advance', 10],
  ['relay', 1],
  ['settle', 1],
  ['reconcile', 1],
] as const;

/** Ticks of the rules while things happen, milliseconds; the real ones are slower, which changes nothing but the wait. */
const tickEveryMs = 15_000;
/** How long the rush lasts: from a little before the reservation period opens to a little after it closes. */
const rushMs = 20_000;
const purchaseOpensMs = 25_000;
/** Purchases, cancellations and operators happen up to this time. */
const activeMs = 90_000;
const closesMs = 3_600_000;
/** Between two rounds of ticks: longer than an open purchase is left alone, and than a young event is. */
const roundMs = 61_000;
/** In how many rounds of ticks everything must be done once the faults have stopped. */
const roundsAtMost = 12;
/** More steps than any episode that terminates needs. */
const stepsPerRequest = 100;

const settings = new Map<string, Setting>();

/** Runs an episode. `watch` receives a line for each thing that happens, `ready` the world before anything does. */
export function runEpisode(
  plan: Plan,
  seed: number,
  watch?: (line: string) => void,
  ready?: (world: World) => void,
): EpisodeResult {
  const episode = new Episode(plan, seed, watch);
  ready?.(episode.world);
  return episode.run();
}

class Episode {
  readonly #plan: Plan;
  readonly #setting: Setting;
  readonly #random: Random;
  readonly #chooser: SeededChooser;
  readonly #sales: SaleSetting[];

  constructor(plan: Plan, seed: number, watch?: (line: string) => void) {
    this.#plan = plan;
    this.#random = new Random(seed);
    this.#chooser = new SeededChooser(seed ^ 0xc0de, plan.rates);
    this.#sales = Array.from({ length: plan.sales }, (_, n) => this.#saleSetting(n));
    const key = `${plan.batch}.${plan.workers}.${plan.environments}`;
    const setting =
      settings.get(key) ??
      new Setting({
        queues: queues.map(([name, batch]) =>
          queueOf(name, {
            batch: Math.min(batch, plan.batch),
            workers: plan.workers,
            environments: plan.environments,
          }),
        ),
        digests: false,
        frozen: false,
        locks: true,
      });
    settings.set(key, setting);
    this.#setting = setting;
    pages.rows = plan.page;
    setting.prepare(this.#sales, this.#random.next() < 0.8);
    setting.begin(seed);
    setting.world.trace = watch;
    setting.world.chooser = this.#chooser;
  }

  get world(): World {
    return this.#setting.world;
  }

  #saleSetting(n: number): SaleSetting {
    const { allotment, capPerCustomer, waitlistSize, requests } = this.#plan;
    return {
      saleId: saleIdOf(n + 1, Math.min(2, Math.floor(Math.log2(1 + requests / 64)))),
      allotment,
      capPerCustomer,
      waitlistSize,
      offerLifeMs: this.#random.of([3_000, 20_000, 600_000]),
      reserveOpensAtMs: beginMs + 1_000,
      reserveClosesAtMs: beginMs + rushMs,
      purchaseOpensAtMs: beginMs + this.#random.of([5_000, purchaseOpensMs]),
      purchaseClosesAtMs: beginMs + closesMs,
    };
  }

  run(): EpisodeResult {
    const { world, checker } = this.#setting;
    this.#letCustomersCome();
    this.#letRulesFire();
    this.#letDisastersHappen();
    this.#letPoisonCome();
    this.#letWebhooksCome();
    this.#letCustomersConfirm();
    if (this.#plan.operators) letOperatorsWork(this.#desk());
    this.#runUntil(() => world.nowMs >= beginMs + activeMs);

    this.#chooser.faulty = false;
    this.#runUntil(() => false);
    resumeAll(this.#desk());
    this.#runUntil(() => false);
    this.#comeToRest();
    world.trace?.('at rest, before reconciling');
    if (!world.violation) {
      checker.atRest({ mirror: !world.excuses.has('mirror') && !checker.redisWasLost, sinceTickMs: roundMs });
    }
    this.#calm(['reconcile']);
    this.#calm(['advance', 'relay', 'settle', 'reconcile']);
    world.trace?.('at rest, reconciled');
    if (!world.violation) checker.atRest({ mirror: true, sinceTickMs: roundMs });

    world.pass(Math.max(0, checker.lastCloseMs() * 1000 - world.nowUs));
    this.#comeToRest();
    this.#calm(['reconcile']);
    world.trace?.('at rest, closed');
    if (!world.violation) checker.atRest({ mirror: true, late: true });
    return {
      requests: this.#plan.requests,
      steps: world.steps,
      violation: world.violation,
      faults: new Map(world.faults),
      outcomes: checker.outcomes(),
    };
  }

  /** Steps until `over`, or nothing is left to happen, or something is wrong. */
  #runUntil(over: () => boolean): void {
    const { world, checker } = this.#setting;
    const stepsAtMost = 50_000 + this.#plan.requests * stepsPerRequest;
    while (!world.violation && !over() && world.step()) {
      checker.afterStep();
      world.pass(this.#random.below(1_500));
      if (world.steps > stepsAtMost) world.broken('I9', `no end after ${world.steps} steps`);
    }
  }

  /** Without faults, lets everything come to an end, and the rules fire until there is nothing left for them to do. */
  #calm(rules: readonly string[]): void {
    const { world } = this.#setting;
    for (let round = 0; round < roundsAtMost && !world.violation; round++) {
      let redriven = 0;
      for (const queue of world.queues.values()) redriven += queue.redrive();
      for (const rule of rules) world.queue(rule).send(tick);
      const firedAtUs = world.nowUs;
      const outbox = world.mysql.table('outbox').stored.size;
      this.#runUntil(() => false);
      const open = [...this.#setting.checker.purchases()].some(({ state }) => openPurchases.has(state));
      const dead = [...world.queues.values()].some((queue) => queue.dead.length > 0);
      // Delayed messages may have taken the clock past moments at which the rules would have fired.
      const isDue = world.nowUs - firedAtUs > roundMs * 1_000;
      if (round > 0 && redriven === 0 && outbox === 0 && !open && !dead && !isDue) return;
      world.pass(roundMs * 1_000);
    }
  }

  /** The same, with what only operators can decide. */
  #comeToRest(): void {
    for (let round = 0; round < roundsAtMost && !this.#setting.world.violation; round++) {
      this.#calm(['advance', 'relay', 'settle']);
      if (decideWhatWaits(this.#desk()) === 0) return;
      this.#runUntil(() => false);
    }
  }

  #desk(): Desk {
    const { world, checker } = this.#setting;
    return {
      ...{ world, checker, random: this.#random, sales: this.#sales, untilMs: activeMs - 20_000 },
      at: (ms, what, run) => this.#at(ms, what, run),
      act: (name, verb) => this.#act(name, verb),
    };
  }

  /** Calls a verb; if it fails, the error is ignored. */
  #act(name: string, verb: (process: Process) => Promise<unknown>): void {
    this.#setting.world.start('http', name, async (process) => {
      await verb(process).catch(() => undefined);
    });
  }

  #at(ms: number, what: string, run: () => void): void {
    this.#setting.world.after(ms * 1000, what, run);
  }

  #letCustomersCome(): void {
    const { requests, customers } = this.#plan;
    for (let n = 0; n < requests; n++) {
      const customer = this.#random.below(customers);
      const sale = this.#random.of(this.#sales);
      // Most come in the first second; some too early, some too late.
      const atMs = this.#random.next() < 0.7 ? 950 + this.#random.below(1_500) : this.#random.below(rushMs + 1_000);
      const quantity = this.#random.between(1, Math.min(4, this.#plan.capPerCustomer + 1));
      const atLeast = this.#random.next() < 0.5 ? quantity : this.#random.between(1, quantity);
      // Some customers repeat an Idempotency-Key, by clicking twice or from another device.
      const key = this.#random.next() < 0.1 ? `k${customer}` : `k${n}`;
      const choices: ShopperChoices = {
        clicksTwice: this.#random.next() < 0.08,
        patience: this.#random.between(0, 3),
        cancelsAfterMs: this.#plan.cancellations && this.#random.next() < 0.2 ? this.#random.below(60_000) : undefined,
        reducesAfterMs: this.#plan.reductions && this.#random.next() < 0.3 ? this.#random.below(60_000) : undefined,
        rest: this.#plan.reductions ? this.#random.of(['keep', 'give_back', 'all', 'all']) : 'all',
        buysAtMs:
          this.#plan.purchases && this.#random.next() < 0.6 ? this.#random.between(4_000, activeMs - 5_000) : undefined,
        card: this.#random.next() < 0.3 ? this.#random.of(badCards) : 'good',
      };
      const request = { quantity, fill: atLeast === quantity ? ('all' as const) : { atLeast } };
      this.#at(atMs, `customer ${customer} comes`, () =>
        this.#shop({ n, customerId: customerIdOf(customer), saleId: sale.saleId, key, request }, choices),
      );
    }
  }

  #shop(wish: Wish, choices: ShopperChoices): void {
    const { world } = this.#setting;
    const { n, customerId, saleId, key } = wish;
    const id = deriveReservationId(saleId, customerId, key);
    world.start('client', `shopper ${n}`, async (client) => {
      const click = (count: number) => this.#reserve(client, wish, id, count);
      const first = choices.clicksTwice
        ? Promise.all([click(0), click(1)]).then((both) => both.includes(true))
        : click(0);
      let accepted = await first;
      for (let again = 0; again < choices.patience && !accepted; again++) {
        await this.#wait(client, 300 * (again + 1));
        accepted = await click(2 + again);
      }
      const { cancelsAfterMs, buysAtMs, reducesAfterMs } = choices;
      if (reducesAfterMs !== undefined) {
        await this.#wait(client, reducesAfterMs);
        const quantity = Math.max(1, wish.request.quantity - 1);
        await world.request(client, `reduce ${n}`, (process) =>
          reduceDecided(depsOf(process), customerId, saleId, id, quantity).catch(() => 'failed'),
        );
      }
      if (cancelsAfterMs !== undefined) {
        await this.#wait(client, cancelsAfterMs);
        await world.request(client, `cancel ${n}`, (process) =>
          cancelDecided(depsOf(process), customerId, saleId, id).catch(() => 'failed'),
        );
      }
      if (buysAtMs !== undefined) {
        await this.#wait(client, beginMs + buysAtMs - world.nowMs);
        await this.#buy(client, wish, id, choices);
      }
    });
  }

  /** One click on "reserve"; true if the customer need not click again. */
  async #reserve(client: Process, wish: Wish, id: ReservationId, count: number): Promise<boolean> {
    const { world, checker } = this.#setting;
    const { n, saleId, customerId, key, request } = wish;
    checker.asked(id, saleId);
    // Of those who share a key all say the same.
    const isNoted = Number(key.slice(1)) % 3 === 0;
    const noted: { reference?: string } = isNoted ? { reference: key } : {};
    const by = isNoted ? { keyId: storefront } : {};
    const heard = await world.request(client, `reserve ${n}.${count}`, (process) =>
      requestReservation(depsOf(process), { customerId, ...by }, saleId, key, { ...request, ...noted }).catch(
        () => undefined,
      ),
    );
    const answer = heard?.answer;
    if (!answer) return false;
    if (!isRefusal(answer)) checker.accepted(id, answer.ticket, noted.reference);
    return true;
  }

  /** Buys what the customer was allocated, sometimes together with everything else of theirs. */
  async #buy(client: Process, wish: Wish, id: ReservationId, choices: ShopperChoices): Promise<void> {
    const { world, checker } = this.#setting;
    const { n, customerId } = wish;
    const own = checker.reservationsOf(customerId).filter((one) => one === id || n % 2 === 0);
    if (own.length === 0) return;
    const key = `p${n}`;
    const card = choices.card === 'declined' ? choices.card : `${choices.card} card ${n}`;
    const { rest } = choices;
    // One unit of each, or all that they have.
    const wanted =
      rest === 'all'
        ? { reservationIds: own }
        : { items: own.map((reservationId) => ({ reservationId, units: 1, rest })) };
    for (let attempt = 0; attempt <= choices.patience; attempt++) {
      const heard = await world.request(client, `buy ${n}.${attempt}`, (process) =>
        requestPurchase(depsOf(process), customerId, key, { ...wanted, paymentToken: card }).catch(() => undefined),
      );
      const answer = heard?.answer;
      if (answer && !isRefusal(answer)) checker.purchaseAccepted(derivedId('purchase', customerId, key));
      if (answer && !(isRefusal(answer) && answer.refused === 'idempotency_in_progress')) return;
      await this.#wait(client, 400);
    }
  }

  #wait(client: Process, ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#at(Math.max(0, ms), `${client.name} has waited`, resolve);
    });
  }

  /** The rules fire: now and then late, twice or not at all. */
  #letRulesFire(): void {
    const { world } = this.#setting;
    for (const rule of ['advance', 'relay', 'settle', 'reconcile']) {
      for (let atMs = tickEveryMs; atMs < activeMs; atMs += tickEveryMs) {
        const times = this.#random.of([0, 1, 1, 1, 2]);
        for (let i = 0; i < times; i++) {
          this.#at(atMs + this.#random.below(5_000), `rule ${rule} fires`, () => world.queue(rule).send(tick));
        }
      }
    }
  }

  #letDisastersHappen(): void {
    const { world, checker } = this.#setting;
    for (let i = 0; i < this.#plan.disasters; i++) {
      const atMs = 1_000 + this.#random.below(rushMs * 2);
      const kind = this.#random.of(['flush', 'stale', 'restart'] as const);
      if (kind === 'restart') this.#at(atMs, 'MySQL restarts', () => world.mysql.restart());
      if (kind === 'flush') {
        this.#at(atMs, 'Redis loses everything', () => {
          world.redis.flush();
          checker.lostRedis();
        });
      }
      if (kind === 'stale') {
        let old: ReturnType<typeof world.redis.snapshot> | undefined;
        this.#at(atMs, 'Redis is saved', () => {
          old = world.redis.snapshot();
        });
        this.#at(atMs + this.#random.below(5_000), 'Redis comes back as it was', () => {
          if (old) world.redis.restore(old);
          checker.lostRedis();
        });
      }
    }
  }

  /** Unreadable messages come among the others. */
  #letPoisonCome(): void {
    const { world } = this.#setting;
    for (let i = 0; i < this.#plan.poison; i++) {
      const queue = this.#random.of(['reservations', 'purchases', 'notifications', 'advance']);
      this.#at(1_000 + this.#random.below(rushMs), `${queue} gets something unreadable`, () => {
        world.queue(queue).sendPoison(`unreadable ${i}`);
      });
    }
  }

  /** Customers who must confirm a payment do so, refuse at the provider, give up with us, or do nothing. */
  #letCustomersConfirm(): void {
    const { world, checker } = this.#setting;
    world.provider.asksCustomer = (key) => {
      const act = this.#random.of(['confirms', 'confirms', 'refuses', 'gives up', 'forgets'] as const);
      if (act === 'forgets') return;
      this.#at(this.#random.of([500, 5_000, 59_000, 70_000, 200_000]), `the customer of ${key} ${act}`, () => {
        if (act !== 'gives up') {
          world.provider.decide(key, act === 'confirms');
          return;
        }
        const purchase = checker.buyerOf(key);
        if (!purchase) return;
        this.#act(act, (process) => giveUpPurchase(depsOf(process), purchase.customerId, purchase.purchaseId));
      });
    };
  }

  /** The provider tells what happened: late, twice, or never. */
  #letWebhooksCome(): void {
    const { world } = this.#setting;
    world.provider.listener = (message, name) => {
      const times = this.#random.of([0, 1, 1, 2]);
      for (let i = 0; i < times; i++) {
        this.#at(this.#random.below(4_000), name, () =>
          this.#act(name, (process) => receiveWebhook(depsOf(process), message, '192.0.2.1')),
        );
      }
    };
  }
}

/**
 * Cards that are declined, of which the provider takes more than was ordered, to which it refuses the first refund, and of
 * which it asks the customer to confirm, with a deadline and without.
 */
const badCards = ['declined', 'more', 'refuses', 'asks soon', 'asks'] as const;

const openPurchases = new Set(['requested', 'unknown', 'requires_action', 'refunding']);

interface Wish {
  readonly n: number;
  readonly customerId: CustomerId;
  readonly saleId: SaleId;
  readonly key: string;
  readonly request: { quantity: number; fill: 'all' | { atLeast: number } };
}

interface ShopperChoices {
  readonly clicksTwice: boolean;
  /** How often a click without an answer is repeated. */
  readonly patience: number;
  readonly cancelsAfterMs: number | undefined;
  readonly reducesAfterMs: number | undefined;
  /** What becomes of the units that are not bought; or all are. */
  readonly rest: 'keep' | 'give_back' | 'all';
  readonly buysAtMs: number | undefined;
  readonly card: 'good' | (typeof badCards)[number];
}
