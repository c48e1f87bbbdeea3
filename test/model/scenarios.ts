/**
 * The small cases that are explored on every path. Each is as small as the danger it is about allows: two or
 * three workers, a few requests, a few faults.
 */

import { adjustStock } from '#launch/adjust-stock.ts';
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { cancelSale, pauseSale, resumeSale } from '#launch/change-sale.ts';
import { grantReservation } from '#launch/grant.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { derivedId, type PurchaseId, type ReservationId } from '#platform/kernel/ids.ts';
import { refundOnOrder } from '#purchase/refund.ts';
import { requestPurchase } from '#purchase/request.ts';
import { receiveWebhook } from '#purchase/webhook.ts';
import { cancelDecided, cancelUndecided } from '#reservation/cancel.ts';
import { undecidedView } from '#reservation/receipt.ts';
import { reduceDecided } from '#reservation/reduce.ts';
import { requestReservation } from '#reservation/request.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { standingOf } from '#sale/eligibility.ts';
import { accessOf } from '#sale/visibility.ts';
import { Columns } from './check/columns.ts';
import { type ConsumerName, queueOf, tick } from './consumers.ts';
import type { Scenario } from './explore.ts';
import { beginMs, customerIdOf, type SaleSetting, type Setting, saleIdOf } from './setting.ts';
import { depsOf } from './world/deps.ts';
import { refusesParts } from './world/provider.ts';
import type { Process } from './world/world.ts';

const minuteMs = 60_000;

function sale(n: number, terms: Partial<SaleSetting> = {}): SaleSetting {
  return {
    saleId: saleIdOf(n),
    allotment: 1,
    capPerCustomer: 2,
    waitlistSize: 0,
    offerLifeMs: minuteMs,
    reserveOpensAtMs: beginMs - minuteMs,
    reserveClosesAtMs: beginMs + 10 * minuteMs,
    purchaseOpensAtMs: beginMs - minuteMs / 2,
    purchaseClosesAtMs: beginMs + 600 * minuteMs,
    ...terms,
  };
}

interface Wish {
  readonly customer: number;
  readonly sale?: number;
  readonly quantity?: number;
  readonly key?: string;
  /** Since when the customer's address is verified; nothing if it is not. */
  readonly contactSinceMs?: number;
  /** The code that the customer shows; none without it. */
  readonly code?: string;
}

const ids = new Map<string, ReservationId>();

function idOf({ customer, sale: n = 1, key = 'k' }: Wish): ReservationId {
  const name = `${customer}.${n}.${key}`;
  const known = ids.get(name) ?? deriveReservationId(saleIdOf(n), customerIdOf(customer), key);
  ids.set(name, known);
  return known;
}

/** Puts a request into the queue, as if it had been accepted a moment ago. */
function queued(setting: Setting, wish: Wish, ticket: number | undefined): void {
  const { customer, sale: n = 1, quantity = 1 } = wish;
  const command = {
    reservationId: idOf(wish),
    saleId: saleIdOf(n),
    customerId: customerIdOf(customer),
    quantity,
    atLeast: quantity,
    standing: standingOf(wish, saleIdOf(n)),
    access: accessOf(saleIdOf(n), wish.code),
  };
  setting.checker.asked(command.reservationId, command.saleId);
  setting.checker.accepted(command.reservationId, ticket ?? null);
  if (wish.contactSinceMs === undefined) setting.checker.unverified(command.reservationId);
  setting.checker.shows(command.reservationId, wish.code);
  setting.world.queue('reservations').send({ ...command, ...(ticket === undefined ? {} : { ticket }) });
}

/** A customer who clicks, and clicks again with the same key while there is no answer. */
function shops(setting: Setting, wish: Wish, clicks: number): void {
  const { world, checker } = setting;
  const { customer, sale: n = 1, quantity = 1, key = 'k' } = wish;
  world.start('client', `customer ${customer}${key}`, async (client) => {
    for (let click = 0; click < clicks; click++) {
      checker.asked(idOf(wish), saleIdOf(n));
      if (wish.contactSinceMs === undefined) checker.unverified(idOf(wish));
      checker.shows(idOf(wish), wish.code);
      const heard = await world.request(client, `reserve ${customer}${key}.${click}`, (own) =>
        requestReservation(depsOf(own), { ...wish, customerId: customerIdOf(customer) }, saleIdOf(n), key, {
          quantity,
          fill: 'all',
          ...(wish.code === undefined ? {} : { code: wish.code }),
        }).catch(() => undefined),
      );
      if (!heard?.answer) continue;
      if (!isRefusal(heard.answer)) checker.accepted(idOf(wish), heard.answer.ticket);
      return;
    }
  });
}

function act(setting: Setting, name: string, verb: (process: Process) => Promise<unknown>): void {
  setting.world.start('http', name, async (process) => {
    await verb(process).catch(() => undefined);
  });
}

function cancels(setting: Setting, wish: Wish): void {
  const { customer, sale: n = 1 } = wish;
  act(setting, `cancel ${customer}`, (process) =>
    cancelDecided(depsOf(process), customerIdOf(customer), saleIdOf(n), idOf(wish)),
  );
}

function reduces(setting: Setting, wish: Wish, quantity: number): void {
  const { customer, sale: n = 1 } = wish;
  act(setting, `reduce ${customer}`, (process) =>
    reduceDecided(depsOf(process), customerIdOf(customer), saleIdOf(n), idOf(wish), quantity),
  );
}

/** A customer who buys one unit of a reservation; the others stay set aside, or go to the line. */
function buysOne(setting: Setting, wish: Wish, rest: 'keep' | 'give_back'): void {
  const customerId = customerIdOf(wish.customer);
  act(setting, `buy one, ${rest}`, async (process) => {
    const items = [{ reservationId: idOf(wish), units: 1, rest }];
    const accepted = await requestPurchase(depsOf(process), customerId, rest, { items, paymentToken: `card ${rest}` });
    if (!isRefusal(accepted)) setting.checker.purchaseAccepted(derivedId('purchase', customerId, rest));
  });
}

/** Once the provider waits for a customer, that one confirms at some moment, in time or late. */
function confirmsAtSomeMoment({ world }: Setting, wish: Wish): void {
  const run = () => world.provider.decide(purchaseOf(wish), true);
  world.actions.push({ name: 'the customer confirms', run });
}

/** A customer who gives a request back that may not be decided yet, and says so again if it was decided meanwhile. */
function cancelsAtOnce(setting: Setting, wish: Wish): void {
  const { customer, sale: n = 1, quantity = 1 } = wish;
  const [saleId, customerId] = [saleIdOf(n), customerIdOf(customer)];
  const requested = undecidedView(idOf(wish), {
    saleId,
    quantity,
    atLeast: quantity,
    acceptedAtMs: beginMs,
    ticket: null,
    position: null,
  });
  act(setting, `cancel ${customer} at once`, async (process) => {
    const cancelled = await cancelUndecided(depsOf(process), customerId, requested);
    if (cancelled === 'decided meanwhile') await cancelDecided(depsOf(process), customerId, saleId, idOf(wish));
  });
}

function pauses(setting: Setting): void {
  act(setting, 'pause', (process) => pauseSale(depsOf(process), saleIdOf(1)));
}

/** An operator who moves the close of a sale, and confirms what the preview says of that. */
function movesTheClose(setting: Setting, toMs: number): void {
  act(setting, 'move', async (process) => {
    const purchaseClosesAt = new Date(toMs).toISOString();
    const preview = await rescheduleSale(depsOf(process), saleIdOf(1), { purchaseClosesAt, dryRun: true });
    const confirmation = isRefusal(preview) ? null : preview.confirmation;
    await rescheduleSale(depsOf(process), saleIdOf(1), {
      purchaseClosesAt,
      dryRun: false,
      ...(confirmation === null ? {} : { confirmation }),
    });
  });
}

/**
 * The message that a boundary of the sale is reached. The minute's rule would look for other work at the same time, and a
 * case with three things at once in one process is not small.
 */
const boundary = AdvanceTrigger.parse({ saleId: saleIdOf(1) });

/** An operator who moves the close further away, which takes time from nobody. */
function movesTheCloseAway(setting: Setting): void {
  const purchaseClosesAt = new Date(beginMs + 660 * minuteMs).toISOString();
  act(setting, 'move away', (process) =>
    rescheduleSale(depsOf(process), saleIdOf(1), { purchaseClosesAt, dryRun: false }),
  );
}

/** A message about the sale is worked on past its queue, once. */
function advances(setting: Setting, message: AdvanceTrigger = boundary): void {
  const trigger = { messageId: 'message', message, sentAtMs: beginMs, deliveries: 1 };
  act(setting, 'advance', (process) => advance(depsOf(process), [trigger], setting.world.nowMs + minuteMs));
}

/** The messages of the long jobs that are under way. */
function messagesOfJobs({ world }: Setting): AdvanceTrigger[] {
  const jobs = world.mysql.table('sale_jobs');
  const columns = new Columns(jobs);
  const open = [...jobs.rows()].filter((row) => columns.value(row, 'finished_at_ms') === null);
  return open.map((row) => {
    const [kind, round] = [columns.text(row, 'kind'), columns.number(row, 'round')];
    const job = { kind, round, afterId: columns.id(row, 'after_id') };
    return AdvanceTrigger.parse({ saleId: columns.id(row, 'sale_id'), job });
  });
}

function callsOff(setting: Setting, refunds: 'keep' | 'refund'): void {
  act(setting, 'call off', (process) => cancelSale(depsOf(process), saleIdOf(1), { refunds }));
}

/** A customer who buys one reservation, and asks again with the same key while there is no answer. */
function buys(setting: Setting, wish: Wish, clicks = 1, card = `card ${wish.customer}`, key = 'p'): void {
  buysTogether(setting, [wish], wish.customer, { clicks, card, key });
}

/** A customer who buys reservations with one payment. */
function buysTogether(
  setting: Setting,
  wishes: readonly Wish[],
  customer: Wish['customer'],
  { clicks = 1, card, key = 'p' }: { clicks?: number; card: string; key?: string },
): void {
  const { world, checker } = setting;
  const customerId = customerIdOf(customer);
  world.start('client', `buyer ${customer}${key}`, async (client) => {
    for (let click = 0; click < clicks; click++) {
      const heard = await world.request(client, `buy ${customer}${key}.${click}`, (own) =>
        requestPurchase(depsOf(own), customerId, key, {
          reservationIds: wishes.map(idOf),
          paymentToken: card,
        }).catch(() => undefined),
      );
      if (!heard?.answer) continue;
      if (!isRefusal(heard.answer)) checker.purchaseAccepted(derivedId('purchase', customerId, key));
      return;
    }
  });
}

function adjusts(setting: Setting, units: number): void {
  act(setting, `adjust ${units}`, (process) => adjustStock(depsOf(process), saleIdOf(1), units));
}

function grants(setting: Setting, wish: Wish): void {
  const request = { reservationId: idOf(wish), reason: 'It was promised' };
  act(setting, `grant ${wish.customer}`, (process) => grantReservation(depsOf(process), saleIdOf(1), request));
}

function purchaseOf({ customer }: Wish): PurchaseId {
  return derivedId('purchase', customerIdOf(customer), 'p');
}

function refunds(setting: Setting, wish: Wish): void {
  act(setting, `refund ${wish.customer}`, (process) => refundOnOrder(depsOf(process), purchaseOf(wish), '', {}));
}

/** Two decisions whose events the bus has not taken. */
function lostToTheBus(setting: Setting): void {
  const { world } = setting;
  world.busIsDown = true;
  settled(requests(wish(1)), requests(wish(2)))(setting);
  world.busIsDown = false;
  // Only what is older than a few seconds is swept.
  world.pass(10_000_000);
}

/** Lets the provider's webhooks come, each `times` times, at any moment. */
function webhooks(setting: Setting, times: number): void {
  const { world } = setting;
  world.provider.listener = (message, name) => {
    for (let i = 0; i < times; i++) {
      world.after(0, name, () =>
        act(setting, name, (process) => receiveWebhook(depsOf(process), message, '192.0.2.1')),
      );
    }
  };
}

/** The state after a run without faults, before the case begins. */
function settled(...things: ((setting: Setting) => void)[]): (setting: Setting) => void {
  return (setting) => {
    const { world } = setting;
    for (const thing of things) {
      thing(setting);
      while (world.possibilities() > 0 && !world.violation) world.step();
      setting.checker.afterStep();
      world.pass(1_000);
    }
  };
}

/** Runs work whose messages to a queue are lost. */
function closed(name: ConsumerName, thing: (setting: Setting) => void): (setting: Setting) => void {
  return (setting) => {
    const { world } = setting;
    const queue = world.queue(name);
    const { open } = queue;
    queue.open = false;
    thing(setting);
    while (world.possibilities() > 0 && !world.violation) world.step();
    queue.open = open;
  };
}

/** At some moment the clock moves on. */
function passes(setting: Setting, name: string, us: number): void {
  const { world } = setting;
  world.actions.push({ name, run: () => world.pass(us) });
}

/** At some moment the window closes, and the message of that boundary comes. */
function closesAtSomeMoment({ world }: Setting, inMinutes: number): void {
  const run = () => {
    world.pass(inMinutes * minuteMs * 1000);
    world.queue('advance').send(boundary);
  };
  world.actions.push({ name: 'the window closes', run });
}

/** At some moment a rule fires. */
function fires(setting: Setting, rule: ConsumerName): void {
  setting.world.queue(rule).send(tick);
}

const workers = (name: ConsumerName, batch = 1, count = 1) => queueOf(name, { batch, workers: count });
const wish = (customer: number, more: Partial<Wish> = {}): Wish => ({ customer, ...more });
const requests =
  (...wishes: Wish[]) =>
  (setting: Setting): void => {
    wishes.forEach((one, index) => {
      queued(setting, one, setting.world.nowUs + index);
    });
  };

/** Someone who asks after everybody who waits: a case begins at the time at which what is before it began. */
const asksLater =
  (one: Wish) =>
  (setting: Setting): void => {
    setting.world.pass(10_000_000);
    requests(one)(setting);
  };

/** Customer 1 has the only unit, customer 2 waits for it. */
const oneHoldsOneWaits = settled(requests(wish(1)), requests(wish(2)));
/** Customer 1 has given the only unit back in a pause, and customer 2 waits for it. */
const freeInAPause = settled(oneHoldsOneWaits, pauses, (setting) => cancels(setting, wish(1)));
const scarce = sale(1, { waitlistSize: 2 });

export const scenarios: readonly Scenario[] = [
  {
    name: 'last-unit',
    about: 'Two customers want the last unit; a message may be delivered twice, and a worker may die.',
    queues: [workers('reservations', 1, 2)],
    sales: [sale(1)],
    faults: 2,
    kinds: { crash: 1, twice: 1 },
    rules: ['relay'],
    mirror: true,
    begin: requests(wish(1), wish(2)),
  },
  {
    name: 'one-environment',
    about: 'One environment works on two deliveries of one message at once; any call of it may fail.',
    queues: [queueOf('reservations', { batch: 1, workers: 2, environments: 1 })],
    sales: [sale(1)],
    faults: 2,
    kinds: { twice: 1, fail: 1, lost: 1, late: 1, crash: 1 },
    rules: ['relay'],
    mirror: true,
    begin: requests(wish(1)),
  },
  {
    name: 'three-workers',
    about: 'Three workers, three customers, two units.',
    queues: [workers('reservations', 1, 3)],
    sales: [sale(1, { allotment: 2 })],
    faults: 0,
    kinds: {},
    rules: ['relay'],
    mirror: true,
    begin: requests(wish(1), wish(2), wish(3)),
  },
  {
    name: 'unknown-commit',
    about: 'Any call of two workers may fail, lose its answer, or be done late.',
    queues: [workers('reservations', 1, 2)],
    sales: [sale(1)],
    faults: 1,
    kinds: { fail: 1, lost: 1, late: 1, grave: 1 },
    rules: ['relay'],
    mirror: true,
    begin: requests(wish(1), wish(2)),
  },
  {
    name: 'poison',
    about: 'An unreadable message comes with a readable one; any call may fail, and a worker may die.',
    queues: [workers('reservations', 2, 2)],
    sales: [sale(1)],
    faults: 2,
    kinds: { fail: 1, crash: 1, twice: 1 },
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      requests(wish(1))(setting);
      setting.world.queue('reservations').sendPoison('unreadable');
    },
  },
  {
    name: 'cap',
    about: 'One customer sends two requests of which the cap allows one; a worker may die.',
    queues: [workers('reservations', 1, 2)],
    sales: [sale(1, { allotment: 5, capPerCustomer: 1 })],
    faults: 2,
    kinds: { crash: 1, twice: 1 },
    rules: ['relay'],
    mirror: true,
    begin: requests(wish(1, { key: 'a' }), wish(1, { key: 'b' })),
  },
  {
    name: 'contact',
    about: 'A sale is for those with a verified address; one has it and one has not, and both come by no gate too.',
    queues: [workers('reservations', 1, 2)],
    sales: [sale(1, { allotment: 5, requiresContact: true })],
    faults: 1,
    kinds: { crash: 1, twice: 1 },
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      requests(wish(1, { contactSinceMs: 0 }), wish(2))(setting);
      shops(setting, wish(3), 1);
    },
  },
  {
    name: 'hidden',
    about:
      'A private sale, and one that is not public yet: one shows the code and another a wrong one, by the gate and by none.',
    queues: [workers('reservations', 1, 2)],
    sales: [
      sale(1, { allotment: 5, accessCode: 'friends' }),
      sale(2, { allotment: 5, publicFromMs: beginMs + 5 * minuteMs }),
    ],
    faults: 1,
    kinds: { crash: 1, twice: 1 },
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      queued(setting, wish(1, { code: 'friends' }), undefined);
      queued(setting, wish(2, { sale: 2 }), undefined);
      shops(setting, wish(3, { code: 'enemies' }), 1);
    },
  },
  {
    name: 'crossed-sales',
    about: 'Two batches with requests for the same two sales, so that their transactions may wait for each other.',
    queues: [workers('reservations', 2, 2)],
    sales: [sale(1), sale(2)],
    faults: 0,
    kinds: {},
    rules: ['relay'],
    mirror: true,
    begin: requests(wish(1), wish(1, { sale: 2 }), wish(2, { sale: 2 }), wish(2)),
  },
  {
    name: 'cancel-and-ask',
    about: 'Units are released while one customer waits for them and another asks; a process may die.',
    queues: [workers('reservations')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1, lost: 1 },
    rules: ['advance', 'relay'],
    late: ['advance'],
    mirror: true,
    before: oneHoldsOneWaits,
    begin(setting) {
      cancels(setting, wish(1));
      requests(wish(3))(setting);
    },
  },
  {
    name: 'cancel-undecided',
    about: 'A customer gives back what a worker is deciding, beside another request of the same customer.',
    queues: [workers('reservations')],
    sales: [scarce],
    faults: 0,
    kinds: {},
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      requests(wish(1), wish(1, { key: 'other' }))(setting);
      cancelsAtOnce(setting, wish(1));
    },
  },
  {
    name: 'called-off-unpaid',
    about:
      'A sale is called off while a payment in it is undecided: what is captured is given back, even if the rest is kept.',
    queues: [workers('purchases')],
    sales: [sale(1)],
    faults: 0,
    kinds: {},
    rules: ['settle', 'advance', 'relay'],
    late: ['advance'],
    mirror: true,
    before: settled(
      requests(wish(1)),
      closed('purchases', (setting) => buys(setting, wish(1))),
    ),
    begin(setting) {
      setting.world.queue('purchases').send({ purchaseId: purchaseOf(wish(1)), attempt: 0 });
      callsOff(setting, 'keep');
    },
  },
  {
    name: 'called-off-in-bundle',
    about:
      'A sale is called off while its customer confirms a payment for it and another one: the other is bought, its share goes back.',
    queues: [workers('purchases')],
    sales: [sale(1), sale(2)],
    faults: 0,
    kinds: {},
    rules: ['settle', 'advance', 'relay'],
    late: ['advance'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(1, { sale: 2 })), (setting) =>
      buysTogether(setting, [wish(1), wish(1, { sale: 2 })], 1, { card: 'asks soon' }),
    ),
    begin(setting) {
      confirmsAtSomeMoment(setting, wish(1));
      setting.world.queue('purchases').send({ purchaseId: purchaseOf(wish(1)) });
      callsOff(setting, 'refund');
    },
  },
  {
    name: 'called-off-twice',
    about: 'A sale is called off from two consoles, of which one refunds and one keeps.',
    queues: [workers('purchases')],
    sales: [sale(1)],
    faults: 0,
    kinds: {},
    rules: ['settle', 'advance', 'relay'],
    late: ['advance'],
    mirror: true,
    before: settled(requests(wish(1)), (setting) => buys(setting, wish(1))),
    begin(setting) {
      callsOff(setting, 'refund');
      callsOff(setting, 'keep');
    },
  },
  {
    name: 'share-made-up',
    about:
      'A sale of a bundle is called off while a goodwill refund is pending, which the provider refuses: what the share lacked is made up, and the rest waived.',
    queues: [workers('advance')],
    sales: [sale(1), sale(2)],
    faults: 0,
    kinds: {},
    rules: ['settle', 'advance', 'relay'],
    late: ['purchases'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(1, { sale: 2 })), (setting) =>
      buysTogether(setting, [wish(1), wish(1, { sale: 2 })], 1, { card: refusesParts }),
    ),
    begin(setting) {
      act(setting, 'refund goodwill', (process) =>
        refundOnOrder(depsOf(process), purchaseOf(wish(1)), 'goodwill', { amountMinor: 150 }),
      );
      callsOff(setting, 'refund');
    },
    decides(setting, purchaseId) {
      act(setting, 'waive', (process) => refundOnOrder(depsOf(process), purchaseId, '', { waiveFailed: true }));
    },
  },
  {
    name: 'pause-and-offer-end',
    about:
      'A sale is paused while an offer ends: it ends before the pause, or not in it. A process may die, or miss an answer.',
    queues: [],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1, lost: 1, late: 1 },
    rules: ['advance', 'relay'],
    late: ['advance'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), (setting) => cancels(setting, wish(1))),
    begin(setting) {
      pauses(setting);
      passes(setting, 'the offer ends', 2 * minuteMs * 1000);
      advances(setting);
    },
  },
  {
    name: 'resume-and-offer-end',
    about: 'A sale is resumed while an offer ends: it ends later by the pause. A process may die, or miss an answer.',
    queues: [],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1, lost: 1, late: 1 },
    rules: ['advance', 'relay'],
    late: ['advance'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), (setting) => cancels(setting, wish(1)), pauses),
    begin(setting) {
      act(setting, 'resume', (process) => resumeSale(depsOf(process), saleIdOf(1)));
      passes(setting, 'the offer ends', 2 * minuteMs * 1000);
      advances(setting);
    },
  },
  {
    name: 'announced-in-steps',
    about: 'A pause is told to one reservation at a time; whoever is at it may die at any step.',
    queues: [workers('advance'), workers('notifications', 10)],
    sales: [sale(1, { allotment: 3 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    page: 1,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      pauses(setting);
    },
  },
  {
    name: 'closed-in-steps',
    about: 'A sale that is over ends one reservation at a time; a worker may die at any step.',
    queues: [workers('advance', 1, 2)],
    sales: [sale(1, { allotment: 3 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    page: 1,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      setting.world.pass(601 * minuteMs * 1000);
      setting.world.queue('advance').send(boundary);
    },
  },
  {
    name: 'two-announcements',
    about: 'A pause and a move in it are told by two workers at once, one reservation at a time; a worker may die.',
    queues: [workers('advance', 1, 2), workers('notifications', 10)],
    sales: [sale(1, { allotment: 3 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    page: 1,
    lateBus: true,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      settled(closed('advance', pauses), closed('advance', movesTheCloseAway))(setting);
      for (const message of messagesOfJobs(setting)) setting.world.queue('advance').send(message);
    },
  },
  {
    name: 'moved-while-announced',
    about: 'A pause is told one reservation at a time while the paused sale is moved, which is told in steps as well.',
    queues: [workers('advance'), workers('notifications', 10)],
    sales: [sale(1, { allotment: 3 })],
    faults: 0,
    kinds: {},
    rules: ['advance', 'relay'],
    mirror: true,
    page: 1,
    lateBus: true,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      settled(closed('advance', pauses))(setting);
      for (const message of messagesOfJobs(setting)) advances(setting, message);
      movesTheCloseAway(setting);
    },
  },
  {
    name: 'called-off-while-announced',
    about: 'A pause is told one reservation at a time while the sale is called off; either may die.',
    queues: [workers('notifications', 10)],
    sales: [sale(1, { allotment: 3 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['advance', 'relay'],
    late: ['advance'],
    mirror: true,
    page: 1,
    lateBus: true,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      settled(closed('advance', pauses))(setting);
      for (const message of messagesOfJobs(setting)) advances(setting, message);
      callsOff(setting, 'keep');
    },
  },
  {
    name: 'closed-while-announced',
    about: 'A move is told one reservation at a time while the window closes, which ends them one at a time.',
    queues: [workers('advance'), workers('notifications', 10)],
    sales: [sale(1, { allotment: 3 })],
    faults: 0,
    kinds: {},
    rules: ['advance', 'relay'],
    mirror: true,
    page: 1,
    lateBus: true,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      settled(closed('advance', movesTheCloseAway))(setting);
      for (const message of messagesOfJobs(setting)) advances(setting, message);
      closesAtSomeMoment(setting, 661);
    },
  },
  {
    name: 'closed-earlier-while-announced',
    about:
      'An earlier close is told one reservation at a time while the window closes: nothing expires before it has been told.',
    queues: [workers('advance'), workers('notifications', 10)],
    sales: [sale(1, { allotment: 3 })],
    faults: 0,
    kinds: {},
    rules: ['advance', 'relay'],
    mirror: true,
    page: 1,
    lateBus: true,
    before: settled(requests(wish(1)), requests(wish(2))),
    begin(setting) {
      settled(
        movesTheCloseAway,
        closed('advance', (own) => movesTheClose(own, beginMs + 659 * minuteMs)),
      )(setting);
      for (const message of messagesOfJobs(setting)) advances(setting, message);
      closesAtSomeMoment(setting, 659.5);
    },
  },
  {
    name: 'swept-while-ended',
    about:
      'A sale that is called off ends one reservation at a time while another worker gives back what was paid; either may die.',
    queues: [workers('advance', 1, 2), workers('purchases')],
    sales: [sale(1, { allotment: 3 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['settle', 'advance', 'relay'],
    late: ['purchases'],
    mirror: true,
    page: 1,
    lateBus: true,
    before: settled(requests(wish(1)), requests(wish(2)), requests(wish(3)), (setting) => buys(setting, wish(1))),
    begin(setting) {
      settled(closed('advance', (own) => callsOff(own, 'refund')))(setting);
      const sweep = AdvanceTrigger.parse({ sweep: { saleId: saleIdOf(1), afterId: null } });
      for (const message of [boundary, sweep]) setting.world.queue('advance').send(message);
    },
  },
  {
    name: 'reduce-and-buy',
    about: 'A customer takes fewer units and buys them at the same time, while another waits; a process may die.',
    queues: [workers('purchases')],
    sales: [sale(1, { allotment: 2, waitlistSize: 2 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1, { quantity: 2 })), requests(wish(2))),
    begin(setting) {
      reduces(setting, wish(1), 1);
      buys(setting, wish(1));
    },
  },
  {
    name: 'reduce-while-waiting',
    about: 'Someone who waits for two units takes one, which is there, while another asks for it.',
    queues: [workers('reservations')],
    sales: [sale(1, { allotment: 2, waitlistSize: 2 })],
    faults: 0,
    kinds: {},
    rules: ['relay'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2, { quantity: 2 }))),
    begin(setting) {
      reduces(setting, wish(2), 1);
      asksLater(wish(3))(setting);
    },
  },
  {
    name: 'buy-fewer',
    about:
      'A customer buys one unit of two from two devices, and keeps or gives back the other, for which another waits.',
    queues: [workers('purchases')],
    sales: [sale(1, { allotment: 2, waitlistSize: 2 })],
    faults: 0,
    kinds: {},
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1, { quantity: 2 })), requests(wish(2))),
    begin(setting) {
      buysOne(setting, wish(1), 'keep');
      buysOne(setting, wish(1), 'give_back');
    },
  },
  {
    name: 'action-ends',
    about:
      'The time for a customer to confirm a payment is over: it is stopped at the provider, or was confirmed before.',
    queues: [workers('purchases')],
    sales: [scarce],
    faults: 1,
    kinds: { lost: 1, late: 1, crash: 1 },
    rules: ['settle', 'advance', 'relay'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), (setting) => buys(setting, wish(1), 1, 'asks soon')),
    begin(setting) {
      confirmsAtSomeMoment(setting, wish(1));
      passes(setting, 'the time is over', 4 * minuteMs * 1000);
      setting.world.queue('purchases').send({ purchaseId: purchaseOf(wish(1)) });
    },
  },
  {
    name: 'move-among-offers',
    about:
      'The close is moved to before the end of an offer, while its customer gives it back and the next in line gets it.',
    queues: [workers('notifications')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['relay'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), requests(wish(3)), (setting) => cancels(setting, wish(1))),
    begin(setting) {
      movesTheClose(setting, beginMs + minuteMs / 2);
      cancels(setting, wish(2));
    },
  },
  {
    name: 'cancel-and-offer',
    about: 'Units are released while a customer waits for them and the rule fires; a process may die.',
    queues: [workers('advance')],
    sales: [scarce],
    faults: 2,
    kinds: { crash: 1, lost: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    before: oneHoldsOneWaits,
    begin(setting) {
      cancels(setting, wish(1));
      setting.world.queue('advance').send(boundary);
    },
  },
  {
    name: 'resume-and-ask',
    about: 'A unit came free in a pause that ends while someone waits for it and someone else asks.',
    queues: [workers('reservations')],
    sales: [scarce],
    faults: 0,
    kinds: {},
    rules: ['relay'],
    mirror: true,
    before: freeInAPause,
    begin(setting) {
      act(setting, 'resume', (process) => resumeSale(depsOf(process), saleIdOf(1)));
      asksLater(wish(3))(setting);
    },
  },
  {
    name: 'ask-in-a-pause',
    about: 'A request from before a pause is decided during it, while a unit is free and someone waits for it.',
    queues: [workers('reservations')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['relay'],
    mirror: true,
    before: freeInAPause,
    begin: asksLater(wish(3)),
  },
  {
    name: 'hidden-demand',
    about: 'A unit comes back that is too little for who waits first and enough for the next, while someone else asks.',
    queues: [workers('reservations')],
    sales: [sale(1, { allotment: 2, waitlistSize: 3 })],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), requests(wish(3, { quantity: 2 })), requests(wish(4))),
    begin(setting) {
      cancels(setting, wish(1));
      asksLater(wish(5))(setting);
    },
  },
  {
    name: 'grant-and-offer',
    about: 'An operator grants a unit to the second in line while the holder cancels.',
    queues: [workers('advance')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1, late: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    before: settled(oneHoldsOneWaits, requests(wish(3))),
    begin(setting) {
      cancels(setting, wish(1));
      grants(setting, wish(3));
    },
  },
  {
    name: 'cancel-twice',
    about: 'A customer cancels from two devices while an operator adds a unit.',
    queues: [workers('advance')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1, late: 1 },
    rules: ['advance', 'relay'],
    mirror: true,
    before: oneHoldsOneWaits,
    begin(setting) {
      cancels(setting, wish(1));
      cancels(setting, wish(1));
      adjusts(setting, 1);
    },
  },
  {
    name: 'expiry-and-purchase',
    about: 'The window closes while a customer buys: expiry and the purchase compete for one row.',
    queues: [workers('purchases'), workers('advance')],
    sales: [scarce],
    faults: 0,
    kinds: {},
    rules: ['advance', 'settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1))),
    begin(setting) {
      buys(setting, wish(1), 1);
      passes(setting, 'the window closes', 600 * minuteMs * 1000);
      setting.world.queue('advance').send(boundary);
    },
  },
  {
    name: 'expiry-and-death',
    about: 'The window closes while a purchase waits to be paid; the process of either may die.',
    queues: [workers('purchases'), workers('advance')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1 },
    rules: ['advance', 'settle', 'relay'],
    mirror: true,
    before: settled(
      requests(wish(1)),
      closed('purchases', (setting) => buys(setting, wish(1))),
    ),
    begin(setting) {
      setting.world.queue('purchases').send({ purchaseId: purchaseOf(wish(1)), attempt: 0 });
      passes(setting, 'the window closes', 600 * minuteMs * 1000);
      setting.world.queue('advance').send(boundary);
    },
  },
  {
    name: 'offer-ends',
    about:
      'An offer ends while its purchase is requested, which is paid later, and the next in line waits; a process may die.',
    queues: [workers('purchases'), workers('advance')],
    sales: [scarce],
    faults: 1,
    kinds: { crash: 1, lost: 1, late: 1 },
    rules: ['advance', 'settle', 'relay'],
    late: ['purchases'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), requests(wish(3)), (setting) => cancels(setting, wish(1))),
    begin(setting) {
      buys(setting, wish(2));
      passes(setting, 'the offer ends', 2 * minuteMs * 1000);
      setting.world.queue('advance').send(boundary);
    },
  },
  {
    name: 'payment',
    about: 'A payment whose answers are lost or late, while the provider sends webhooks as well.',
    queues: [workers('purchases'), workers('settle')],
    sales: [sale(1)],
    faults: 1,
    kinds: { lost: 1, late: 1, crash: 1, part: 1, grave: 1 },
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1))),
    begin(setting) {
      webhooks(setting, 1);
      buys(setting, wish(1));
    },
  },
  {
    name: 'payment-twice',
    about: 'Two workers pay for one purchase, because its message comes twice.',
    queues: [workers('purchases', 1, 2)],
    sales: [sale(1)],
    faults: 2,
    kinds: { twice: 1, lost: 1, late: 1, part: 1 },
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(
      requests(wish(1)),
      closed('purchases', (setting) => buys(setting, wish(1))),
    ),
    begin(setting) {
      setting.world.queue('purchases').send({ purchaseId: purchaseOf(wish(1)), attempt: 0 });
    },
  },
  {
    name: 'webhook-twice',
    about: 'A provider sends the webhook of one payment twice while its answer is under way.',
    queues: [workers('purchases')],
    sales: [sale(1)],
    faults: 1,
    kinds: { lost: 1, late: 1, crash: 1 },
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(
      requests(wish(1)),
      closed('purchases', (setting) => buys(setting, wish(1))),
    ),
    begin(setting) {
      webhooks(setting, 2);
      setting.world.queue('purchases').send({ purchaseId: purchaseOf(wish(1)), attempt: 0 });
    },
  },
  {
    name: 'declined',
    about: 'A card is declined while the customer cancels.',
    queues: [workers('purchases')],
    sales: [sale(1)],
    faults: 2,
    kinds: { late: 1, crash: 1, twice: 1 },
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1))),
    begin(setting) {
      buys(setting, wish(1), 1, 'declined');
      cancels(setting, wish(1));
    },
  },
  {
    name: 'refund',
    about: 'A purchase is refunded from two consoles at once, and its unit goes to the waitlist.',
    queues: [workers('purchases'), workers('advance'), workers('settle')],
    sales: [scarce],
    faults: 0,
    kinds: {},
    rules: ['settle', 'advance', 'relay'],
    mirror: true,
    before: settled(requests(wish(1)), requests(wish(2)), (setting) => buys(setting, wish(1))),
    begin(setting) {
      refunds(setting, wish(1));
      refunds(setting, wish(1));
    },
  },
  {
    name: 'refund-in-parts',
    about: 'Two consoles give back parts of a purchase that together exceed what was captured.',
    queues: [workers('purchases')],
    sales: [sale(1)],
    faults: 0,
    kinds: {},
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1)), (setting) => buys(setting, wish(1))),
    begin(setting) {
      for (const key of ['a', 'b']) {
        const verb = (process: Process) =>
          refundOnOrder(depsOf(process), purchaseOf(wish(1)), key, { amountMinor: 60 });
        act(setting, `refund part ${key}`, verb);
      }
    },
  },
  {
    name: 'refund-unsure',
    about: 'A purchase is refunded while calls fail or answer late, and the provider sends webhooks as well.',
    queues: [workers('purchases'), workers('settle')],
    sales: [sale(1)],
    faults: 1,
    kinds: { crash: 1, lost: 1, late: 1 },
    rules: ['settle', 'advance', 'relay'],
    mirror: true,
    before: settled(requests(wish(1)), (setting) => buys(setting, wish(1))),
    begin(setting) {
      webhooks(setting, 1);
      refunds(setting, wish(1));
    },
  },
  {
    name: 'relays',
    about:
      'Two relays sweep the outbox while a worker publishes, and the bus takes a part, or nothing, or does not say.',
    queues: [workers('reservations', 2), workers('relay', 1, 2), workers('notifications')],
    sales: [sale(1)],
    faults: 2,
    kinds: { fail: 1, part: 1, lost: 1, crash: 1 },
    rules: ['relay'],
    mirror: true,
    before: lostToTheBus,
    begin(setting) {
      fires(setting, 'relay');
      fires(setting, 'relay');
    },
  },
  {
    name: 'accept',
    about: 'A customer clicks twice with one key while the gate and the queue fail or answer late.',
    queues: [workers('reservations')],
    sales: [sale(1)],
    faults: 2,
    kinds: { fail: 1, lost: 1, late: 1, crash: 1 },
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      shops(setting, wish(1), 2);
    },
  },
  {
    name: 'accept-once',
    about: 'A customer clicks once while the gate and the queue fail or answer late, and does not come back.',
    queues: [workers('reservations')],
    sales: [sale(1)],
    faults: 2,
    kinds: { fail: 2, lost: 1, late: 1, crash: 1 },
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      shops(setting, wish(1), 1);
    },
  },
  {
    name: 'two-purchases',
    about: 'Two purchases of one customer compete for one reservation; without a check both would be charged.',
    queues: [workers('purchases', 1, 2)],
    sales: [sale(1)],
    faults: 1,
    kinds: { crash: 1, lost: 1 },
    rules: ['settle', 'relay'],
    mirror: true,
    before: settled(requests(wish(1))),
    begin(setting) {
      buys(setting, wish(1));
      buys(setting, wish(1), 1, 'other card', 'q');
    },
  },
  {
    name: 'gate',
    about: 'Three requests at the gate for one unit and one place on the waitlist, two of them from one customer.',
    queues: [workers('reservations', 2, 2)],
    sales: [sale(1, { waitlistSize: 1, capPerCustomer: 1 })],
    faults: 0,
    kinds: {},
    rules: ['relay'],
    mirror: true,
    begin(setting) {
      shops(setting, wish(1), 1);
      shops(setting, wish(1, { key: 'l' }), 1);
      shops(setting, wish(2), 1);
    },
  },
  {
    name: 'redis-lost',
    about:
      'Redis loses everything while one request is accepted and another is decided; reconciling repairs what shows.',
    queues: [workers('reservations'), workers('reconcile')],
    sales: [sale(1, { allotment: 2 })],
    faults: 0,
    kinds: {},
    rules: ['reconcile', 'reconcile', 'relay'],
    mirror: true,
    before: settled(requests(wish(1))),
    begin(setting) {
      const { world, checker } = setting;
      shops(setting, wish(2), 2);
      world.actions.push({
        name: 'Redis loses everything',
        run: () => {
          world.redis.flush();
          checker.lostRedis();
        },
      });
    },
  },
];
