/**
 * A whole launch on the board, as a series of pictures: the sale that `npm run demo` plays, watched by an operator.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { planDemo } from '#demo/plan.ts';
import { Progress } from '#demo/progress.ts';
import { playDemo } from '#demo/scenario.ts';
import { Account, Api, Operator } from '#load/client.ts';
import { ClientLog } from '#load/log.ts';
import { waitFor } from '#local/wait.ts';
import type { SaleView } from '#sale/sale.shapes.ts';
import type { Shop } from './shop.ts';

/** Small enough to be over soon, and to leave the browser something of the machine. */
const size = { customers: 150, reservations: 1_500, sales: 2, seed: 1 };
/** How often the board is looked at; it reads the sale itself every two seconds. */
const everyMs = 2_000;
const signUpMs = 240_000;

export interface Launch {
  readonly shop: Shop;
  readonly credentials: { email: string; password: string };
  /** Where the pictures of it all go. */
  readonly folder: string;
  /** Where the clients write down what they do. */
  readonly logFile: string;
  /** The page of the mail server. */
  readonly inboxUrl: string;
}

/** A picture, and how long after the first it was taken. */
export interface Taken {
  readonly path: string;
  readonly afterMs: number;
}

/** Plays the sale and takes the pictures, in order. */
export async function watchLaunch({ shop, credentials, folder, logFile, inboxUrl }: Launch): Promise<Taken[]> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const log = new ClientLog(logFile);
  const api = new Api({ url: shop.api, log, connections: 48 });
  let isOver = false;
  try {
    const operator = new Operator(await Account.login(api, credentials));
    const urls = { apiUrl: shop.api, websocketUrl: shop.websocket, inboxUrl };
    const world = { api, ...urls, operator, log, progress: new Progress() };
    const playing = playDemo(world, planDemo(size), size).finally(() => {
      isOver = true;
    });
    // Awaited below; what fails before is the script's own.
    playing.catch(() => undefined);
    const taken = await takeSeries(shop, credentials, folder, () => isOver);
    await playing;
    return taken;
  } finally {
    api.close();
    await log.close();
  }
}

async function takeSeries(
  shop: Shop,
  credentials: Launch['credentials'],
  folder: string,
  isOver: () => boolean,
): Promise<Taken[]> {
  const tokens = await shop.call<object>('POST', '/auth/login', { body: credentials });
  let watched: SaleView | undefined;
  await waitFor(
    'the sale',
    async () => {
      const { items } = await shop.call<{ items: SaleView[] }>('GET', '/sales?limit=10');
      watched = items.find(({ name }) => name.endsWith(', demo'));
      return watched !== undefined || isOver();
    },
    { timeoutMs: signUpMs },
  );
  if (!watched) return [];
  const page = await shop.buyer({ viewport: { width: 1_280, height: 1_560 } });
  await page.addInitScript((kept) => localStorage.setItem('holdfast.session', kept), JSON.stringify(tokens));
  await page.goto(`${shop.url}/console.html#/sales/${watched.saleId}/board`);
  await page.locator('.chart canvas').first().waitFor();
  const taken: Taken[] = [];
  const beganAtMs = Date.now();
  while (!isOver()) {
    const path = join(folder, `${String(taken.length).padStart(3, '0')}.png`);
    const afterMs = Date.now() - beganAtMs;
    await page.screenshot({ path });
    taken.push({ path, afterMs });
    await sleep(everyMs);
  }
  await page.context().close();
  return taken;
}

/** Some of these, evenly from the first to the last. */
export function someOf<T>(all: readonly T[], count: number): T[] {
  const step = (all.length - 1) / Math.max(1, count - 1);
  return [...new Set(Array.from({ length: count }, (_, n) => Math.round(n * step)))].flatMap((at) =>
    all.slice(at, at + 1),
  );
}
