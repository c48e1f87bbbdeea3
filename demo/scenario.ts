/**
 * The demo itself: several sales at once, from sign-up to settled purchases, through the public API alone.
 *
 * Windows are opened and closed by the clock and the rules, never by this script; it only sends requests in time,
 * too early or too late. Everything that clients do is in their log, which the verifier reads afterwards.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { Account, type Api, type Operator, readSale } from '#load/client.ts';
import { Listener } from '#load/listener.ts';
import type { ClientLog } from '#load/log.ts';
import { seededRandom } from '#local/service/random.ts';
import type { DemoOptions } from './arguments.ts';
import { sendGarbage } from './garbage.ts';
import { type Reader, verifyAddresses } from './inbox.ts';
import type { Plan, PlannedRequest } from './plan.ts';
import type { Progress } from './progress.ts';
import { type Counters, follow, type OpenSale, Shopper } from './shopper.ts';
import type { Deed } from './story.ts';

export interface DemoWorld {
  api: Api;
  apiUrl: string;
  websocketUrl: string;
  /** The page of the mail server. */
  inboxUrl: string;
  operator: Operator;
  log: ClientLog;
  progress: Progress;
}

export interface DemoOutcome {
  /** Garbage that was not refused with a 4xx. */
  swallowed: string[];
  /** What the operator did while customers were buying. */
  deeds: Deed[];
  /** Who reads mail as well. */
  readers: Reader[];
}

/** How many sign-ups are under way at once; the API hashes two passwords at a time. */
const signUpsAtOnce = 12;
const connectsAtOnce = 10;
const refundsAtOnce = 4;
const warmUpReads = 1_000;
const warmUpAtOnce = 32;
/** How many reservations, with everything that follows from them, cost as much as a read of the catalog. */
const reservationsPerRead = 0.22;
const mostStretch = 4;
/** How many screens show the live stock of a sale. */
const watchersPerSale = 5;
/** From the creation of the sales to their opening: time for requests that come too early. */
const leadMs = 3_500;
/** From the last request of the rush to the close, so that a slow machine is in time too: at least, and as a share. */
const leastSlackMs = 6_000;
const slackShare = 0.15;
const pauseMs = 5_000;
/** The polling interval grows by this much with each customer, so that polling does not drown the rush. */
const pollMsPerCustomer = 8;
const leastPollMs = 2_000;
/** An offer lives long enough for every customer to see it, and the purchase window for a chain of offers. */
const leastOfferLifeSeconds = 6;
const offerLifePerPoll = 1.5;
const offersInARow = 4.5;
/** After the close: time for every customer to see what the rules do then. */
const aftermathMs = 3_500;
const addedUnits = 5;
/** By how much a sale is moved, how long another is paused, and how much earlier the first then closes after all. */
const shiftSeconds = 4;
const pausedForMs = 3_000;
const shortenedByMs = 3_000;
/** When the operator pauses, refunds and adds stock, shortens, and calls off, as shares of the purchase window. */
const [pauseAt, refundAt, shortenAt, callOffAt] = [0.2, 0.5, 0.6, 0.65];
/** One purchase in so many is refunded, another one in part. */
const refundEvery = 50;

/** Plays the demo. Throws on any unexpected failure. */
export async function playDemo(world: DemoWorld, plan: Plan, options: DemoOptions): Promise<DemoOutcome> {
  const listeners: Listener[] = [];
  try {
    return await play(world, plan, options, listeners);
  } finally {
    // One that is left open would come back for ever.
    for (const listener of listeners) listener.close();
  }
}

async function play(world: DemoWorld, plan: Plan, options: DemoOptions, listeners: Listener[]): Promise<DemoOutcome> {
  const { operator, progress } = world;
  const random = seededRandom(options.seed + 1);
  const counters: Counters = {
    ...{ sent: 0, accepted: 0, refused: 0, decided: 0 },
    ...{ bought: 0, declined: 0, cancelled: 0, offersTaken: 0, offersLeft: 0 },
  };
  const sales: OpenSale[] = [];
  const pollMs = Math.max(leastPollMs, options.customers * pollMsPerCustomer);

  const imported = await operator.importProducts(readFileSync(join(import.meta.dirname, 'products.csv'), 'utf8'));
  progress.say(`imported ${imported.created + imported.updated} products from demo/products.csv`);
  const accounts = await signUp(world, options);
  const readers = await verifyAddresses(world.apiUrl, world.inboxUrl, accounts);
  const shoppers = accounts.map((account, index) => {
    const planned = plan.customers[index];
    if (!planned) throw new Error('there are more accounts than customers');
    return new Shopper(account, planned, { sales, counters, random, pollMs });
  });
  await connect(world, plan, shoppers, listeners);
  const stretch = await warmUp(world, plan);

  const opensAtMs = Date.now() + leadMs;
  const rushMs = plan.rushMs * stretch;
  const closesAtMs = opensAtMs + rushMs + Math.max(leastSlackMs, rushMs * slackShare);
  const patience = Math.max(1, stretch / 2.5);
  const offerLifeSeconds = Math.max(leastOfferLifeSeconds, Math.ceil((pollMs * offerLifePerPoll * patience) / 1_000));
  const purchaseWindowMs = offerLifeSeconds * offersInARow * 1_000;
  const purchaseOpensAtMs = closesAtMs + pauseMs * patience;
  const purchaseClosesAtMs = purchaseOpensAtMs + purchaseWindowMs;
  const times = { opensAtMs, closesAtMs, purchaseOpensAtMs, purchaseClosesAtMs };
  await createSales(operator, plan, times, offerLifeSeconds, sales);
  listeners.slice(0, watchersPerSale * sales.length).forEach((listener, index) => {
    const sale = sales[index % sales.length];
    if (sale) listener.watch(sale.saleId);
  });

  const reserving = () =>
    `reserving · ${count(counters.sent)} sent · ${count(counters.accepted)} accepted · ` +
    `${count(counters.refused)} refused · ${count(counters.decided)} known to be decided`;
  progress.stage(reserving);
  const rush = plan.rush.map((request) => ({ ...request, atMs: Math.round(request.atMs * stretch) }));
  const swallowed: string[] = [];
  const lastCloseMs = () => Math.max(...sales.map((sale) => sale.purchaseClosesAtMs));
  const followUntilMs = () => lastCloseMs() + aftermathMs;
  const watching = watchSales(world, sales, followUntilMs);
  const lives = Promise.all([watching, ...shoppers.map((shopper) => shopper.live(followUntilMs))]);
  // Awaited at the end; an earlier failure is the script's own and reported as such.
  lives.catch(() => undefined);
  await Promise.all([
    sendAll(plan.early, opensAtMs, shoppers),
    sendAll(rush, opensAtMs, shoppers),
    sendRepeats(rush, opensAtMs, shoppers),
    sendAllGarbage(plan, opensAtMs, accounts, sales, swallowed),
    sendAll(plan.late, closesAtMs, shoppers),
  ]);

  progress.stage(
    () =>
      `waiting for the purchase windows · ${count(counters.decided)} decided · ${count(counters.cancelled)} given back`,
  );
  const deeds: Deed[] = [];
  const { paused, moved, stocked, calledOff } = partsOf(sales);
  deeds.push(await moveSale(operator, moved));
  await buyTooEarly(shoppers);
  await until(purchaseOpensAtMs);
  progress.stage(
    () =>
      `buying · ${count(counters.bought)} reservations bought · ${count(counters.declined)} payments declined · ` +
      `offers from the waitlist: ${count(counters.offersTaken)} taken, ${count(counters.offersLeft)} left to expire`,
  );
  const atShare = (share: number) => until(purchaseOpensAtMs + purchaseWindowMs * share);
  // By itself, since many calls on a slow machine must not make the other acts late.
  const refunding = atShare(refundAt).then(() => refundSome(operator, shoppers));
  refunding.catch(() => undefined);
  await atShare(pauseAt);
  deeds.push(...(await pauseForAWhile(operator, paused)));
  await atShare(refundAt);
  deeds.push(await addStock(operator, stocked));
  await atShare(shortenAt);
  deeds.push(await shortenSale(operator, moved));
  await atShare(callOffAt);
  deeds.push(await refunding);
  if (calledOff) deeds.push(await callOff(operator, calledOff));
  while (Date.now() < lastCloseMs() + 50) await until(lastCloseMs() + 50);
  await buyTooLate(shoppers);
  await lives;

  progress.stage(() => 'closing · customers poll one last time');
  await pLimit(signUpsAtOnce).map(shoppers, (shopper) => shopper.look());
  await pLimit(signUpsAtOnce).map(accounts.slice(0, 100), (account) => account.notifications());
  progress.end();
  return { swallowed, deeds, readers };
}

/** Which sale plays which part; the only sale of a small demo plays all parts except the cancelled one. */
function partsOf(sales: OpenSale[]) {
  const [paused, moved = paused] = sales;
  const stocked = sales.at(-1);
  if (!paused || !moved || !stocked) throw new Error('there are no sales');
  const calledOff = sales.length > 1 ? (sales.at(-2) ?? paused) : undefined;
  return { paused, moved, stocked, calledOff };
}

async function signUp({ api, progress }: DemoWorld, { customers, seed }: DemoOptions): Promise<Account[]> {
  const accounts: Account[] = [];
  progress.stage(() => `signing up · ${count(accounts.length)} of ${count(customers)} customers`);
  const indexes = Array.from({ length: customers }, (_, index) => index);
  await pLimit(signUpsAtOnce).map(indexes, async (index) => {
    const email = `customer-${index}-${seed}@example.com`;
    const who = { email, password: `correct horse ${index} staple`, name: `Customer ${index}` };
    accounts.push(await Account.register(api, who));
  });
  return accounts;
}

async function connect(
  { websocketUrl, log, progress }: DemoWorld,
  plan: Plan,
  shoppers: Shopper[],
  listeners: Listener[],
): Promise<void> {
  const wanted = shoppers.filter((_, index) => plan.customers[index]?.listens);
  progress.stage(() => `connecting · ${count(listeners.length)} of ${count(wanted.length)} WebSockets`);
  await pLimit(connectsAtOnce).map(wanted, async (shopper) => {
    listeners.push(await Listener.open(websocketUrl, shopper.account, log, (line) => shopper.hear(line)));
  });
}

/**
 * Reads a page many times over, so that the API is warm, and sees how fast it answers. A machine that is slow or busy
 * gets the same rush over a longer time: returns by how much.
 */
async function warmUp({ api, progress }: DemoWorld, plan: Plan): Promise<number> {
  progress.stage(() => 'warming up');
  const startedAtMs = Date.now();
  const reads = Array.from({ length: warmUpReads }, (_, index) => index);
  await pLimit(warmUpAtOnce).map(reads, () =>
    api.call('products', () => api.anyone.http.GET('/products', { params: { query: { limit: 5 } } })),
  );
  const readsPerSecond = (warmUpReads / (Date.now() - startedAtMs)) * 1_000;
  const rushPerSecond = (plan.rush.length / plan.rushMs) * 1_000;
  const stretch = Math.min(mostStretch, Math.max(1, rushPerSecond / (readsPerSecond * reservationsPerRead)));
  progress.say(
    `the API answers ${count(Math.round(readsPerSecond))} reads a second here; the rush takes ${((plan.rushMs * stretch) / 1_000).toFixed(0)} s`,
  );
  return stretch;
}

interface SaleTimes {
  opensAtMs: number;
  closesAtMs: number;
  purchaseOpensAtMs: number;
  purchaseClosesAtMs: number;
}

async function createSales(
  operator: Operator,
  plan: Plan,
  times: SaleTimes,
  offerLifeSeconds: number,
  sales: OpenSale[],
): Promise<void> {
  const products = (await operator.products()).sort((one, other) => (one.sku < other.sku ? -1 : 1));
  for (const [index, planned] of plan.sales.entries()) {
    const product = products[index % products.length];
    if (!product) throw new Error('no products were imported');
    const sale = await operator.createSale({
      productId: product.productId,
      name: `${product.name}, demo`,
      allotment: planned.allotment,
      capPerCustomer: planned.cap,
      waitlistSize: planned.waitlistSize,
      offerLifeSeconds,
      reserveOpensAt: new Date(times.opensAtMs).toISOString(),
      reserveClosesAt: new Date(times.closesAtMs).toISOString(),
      purchaseOpensAt: new Date(times.purchaseOpensAtMs).toISOString(),
      purchaseClosesAt: new Date(times.purchaseClosesAtMs).toISOString(),
    });
    const open = { saleId: sale.saleId, name: product.name, currency: sale.price.currency };
    sales.push({ ...open, status: sale.status, purchaseOpensAtMs: 0, purchaseClosesAtMs: 0 });
    follow(sales[sales.length - 1] as OpenSale, sale);
  }
}

/** Sends each request when it is due, whether or not earlier ones have been answered. */
async function sendAll(requests: PlannedRequest[], zeroMs: number, shoppers: Shopper[]): Promise<void> {
  const sent: Promise<void>[] = [];
  for (const request of [...requests].sort((one, other) => one.atMs - other.atMs)) {
    const dueMs = zeroMs + request.atMs;
    await until(dueMs);
    const shopper = shoppers[request.customer];
    if (shopper) sent.push(shopper.reserve(request, dueMs));
  }
  await Promise.all(sent);
}

/** Sends the second requests under the same keys. */
async function sendRepeats(requests: PlannedRequest[], zeroMs: number, shoppers: Shopper[]): Promise<void> {
  await Promise.all(
    requests.map(async (request) => {
      if (!request.repeat) return;
      const dueMs = zeroMs + request.atMs + request.repeat.afterMs;
      await until(dueMs);
      const quantity = request.repeat.otherBody ? (request.quantity % 10) + 1 : request.quantity;
      await shoppers[request.customer]?.reserve(request, dueMs, quantity);
    }),
  );
}

async function sendAllGarbage(
  plan: Plan,
  zeroMs: number,
  accounts: Account[],
  sales: OpenSale[],
  swallowed: string[],
): Promise<void> {
  await Promise.all(
    plan.garbage.map(async ({ kind, customer, sale, atMs }) => {
      await until(zeroMs + atMs);
      const account = accounts[customer];
      const saleId = sales[sale]?.saleId;
      if (!account || !saleId) return;
      const { status, code } = await sendGarbage(account, saleId, kind);
      if (status < 400 || status >= 500 || !code) swallowed.push(`${kind}: ${status} ${code ?? ''}`);
    }),
  );
}

/** Reads every sale with its live stock twice a second, as a shop's page would. */
async function watchSales({ api }: DemoWorld, sales: OpenSale[], untilMs: () => number): Promise<void> {
  while (Date.now() < untilMs()) {
    await Promise.all(
      sales.map(async (sale) => {
        const { status, body } = await readSale(api, sale.saleId);
        if (status === 200) follow(sale, body);
      }),
    );
    await sleep(500);
  }
}

/** Some customers try to buy before the window opens. */
async function buyTooEarly(shoppers: Shopper[]): Promise<void> {
  const eager = shoppers.filter((shopper) => shopper.idle.length > 0).slice(0, 20);
  await Promise.all(
    eager.map((shopper) => shopper.tryToBuy(shopper.idle.slice(0, 1), `early-${shopper.account.customerId}`)),
  );
}

/** Some customers try to buy after the window has closed. */
async function buyTooLate(shoppers: Shopper[]): Promise<void> {
  const late = shoppers.filter((shopper) => shopper.idle.length > 0).slice(0, 20);
  await Promise.all(
    late.map((shopper) => shopper.tryToBuy(shopper.idle.slice(0, 1), `late-${shopper.account.customerId}`)),
  );
}

/** The operator moves a sale whose window has not opened yet, after asking what that would do. */
async function moveSale(operator: Operator, sale: OpenSale): Promise<Deed> {
  const preview = await operator.previewReschedule(sale.saleId, { shiftSeconds });
  const { holding, waiting } = preview.concerned;
  const { sale: moved } = await operator.rescheduleSale(sale.saleId, {
    shiftSeconds,
    ...(preview.confirmation === null ? {} : { confirmation: preview.confirmation }),
  });
  return { kind: 'moved', sale, version: moved.stock.version, seconds: shiftSeconds, foreseen: holding + waiting };
}

/** The operator closes a sale earlier than was told: refused, until the preview's confirmation comes with it. */
async function shortenSale(operator: Operator, sale: OpenSale): Promise<Deed> {
  const move = { purchaseClosesAt: new Date(sale.purchaseClosesAtMs - shortenedByMs).toISOString() };
  const refused = await operator.tryToReschedule(sale.saleId, move);
  const { concerned, confirmation } = await operator.previewReschedule(sale.saleId, move);
  const { sale: shortened } = await operator.rescheduleSale(sale.saleId, { ...move, confirmation: confirmation ?? '' });
  const { holding, waiting, shortened: lose } = concerned;
  const version = shortened.stock.version;
  const seconds = shortenedByMs / 1_000;
  return { kind: 'shortened', sale, version, seconds, foreseen: holding + waiting, lose, refused };
}

/** The operator pauses a sale while customers are buying in it, and resumes it. */
async function pauseForAWhile(operator: Operator, sale: OpenSale): Promise<Deed[]> {
  const before = sale.purchaseClosesAtMs;
  const paused = await operator.pauseSale(sale.saleId);
  await sleep(pausedForMs);
  const resumed = await operator.resumeSale(sale.saleId);
  const givenBackMs = Date.parse(resumed.purchaseClosesAt) - before;
  return [
    { kind: 'paused', sale, version: paused.stock.version },
    { kind: 'resumed', sale, version: resumed.stock.version, givenBackMs },
  ];
}

/** The operator adds units; in the same transaction they are offered to whoever waits. */
async function addStock(operator: Operator, sale: OpenSale): Promise<Deed> {
  const fromMs = Date.now();
  await operator.adjustStock(sale.saleId, addedUnits);
  return { kind: 'stocked', sale, units: addedUnits, fromMs, toMs: Date.now() };
}

/** The operator refunds some purchases, whose units go to the waitlist, and half of some others, whose units stay. */
async function refundSome(operator: Operator, shoppers: Shopper[]): Promise<Deed> {
  const captured = shoppers.flatMap((shopper) => shopper.captured);
  const every = (offset: number) => captured.filter((_, index) => index % refundEvery === offset);
  const whole = every(0).map(({ purchaseId }) => purchaseId);
  const halves = every(refundEvery / 2).filter(({ amountMinor }) => amountMinor > 1);
  const atOnce = pLimit(refundsAtOnce);
  await atOnce.map(whole, (purchaseId) => operator.refund(purchaseId));
  await atOnce.map(halves, ({ purchaseId, amountMinor }) =>
    operator.refund(purchaseId, { key: `goodwill-${purchaseId}`, amountMinor: Math.floor(amountMinor / 2) }),
  );
  const parts = halves.map(({ purchaseId }) => purchaseId);
  return { kind: 'refunded', whole, parts };
}

/** The operator calls a sale off; what was paid in it is given back. */
async function callOff(operator: Operator, sale: OpenSale): Promise<Deed> {
  await operator.cancelSale(sale.saleId);
  return { kind: 'called off', sale };
}

/** Resolves at a time; at once if it has passed. */
async function until(timeMs: number): Promise<void> {
  const leftMs = timeMs - Date.now();
  if (leftMs > 0) await sleep(leftMs);
}

function count(value: number): string {
  return new Intl.NumberFormat('en').format(value);
}
