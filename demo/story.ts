/**
 * What the operator did during the demo, and what came of it, in plain words. Every number is what the database and the
 * customers' notices say when everything is at rest, never what was sent.
 */
import { Store } from '#load/verify/store.ts';
import { formatMoney } from '#platform/kernel/money.ts';
import type { OpenSale } from './shopper.ts';

/** One thing that the operator did. */
export type Deed =
  | { kind: 'moved'; sale: OpenSale; version: number; seconds: number; foreseen: number }
  | {
      kind: 'shortened';
      sale: OpenSale;
      version: number;
      seconds: number;
      foreseen: number;
      lose: number;
      refused: string | undefined;
    }
  | { kind: 'paused'; sale: OpenSale; version: number }
  | { kind: 'resumed'; sale: OpenSale; version: number; givenBackMs: number }
  | { kind: 'stocked'; sale: OpenSale; units: number; fromMs: number; toMs: number }
  | { kind: 'refunded'; whole: string[]; parts: string[] }
  | { kind: 'called off'; sale: OpenSale };

const number = new Intl.NumberFormat('en');

/** Tells what came of what was done, a sentence each. Reads MySQL alone. */
export async function tellStory(mysqlUrl: string, deeds: readonly Deed[]): Promise<string[]> {
  const store = await Store.open(mysqlUrl);
  try {
    await store.snapshot();
    const sentences: string[] = [];
    for (const deed of deeds) sentences.push(await tell(store, deed));
    return sentences;
  } finally {
    await store.close();
  }
}

async function tell(store: Store, deed: Deed): Promise<string> {
  switch (deed.kind) {
    case 'moved': {
      const told = await toldOf(store, deed.sale, 'reminder.rescheduled', deed.version);
      return `moved ${deed.sale.name} by ${deed.seconds} s before it opened: the preview named ${number.format(deed.foreseen)}, and ${told}`;
    }
    case 'shortened': {
      const told = await toldOf(store, deed.sale, 'reminder.rescheduled', deed.version);
      return (
        `closed ${deed.sale.name} ${deed.seconds} s earlier: refused as ${deed.refused} until it was confirmed, since ` +
        `${number.format(deed.lose)} have less time; ${told}`
      );
    }
    case 'paused':
      return `paused ${deed.sale.name}: ${await toldOf(store, deed.sale, 'reminder.paused', deed.version)}`;
    case 'resumed': {
      const told = await toldOf(store, deed.sale, 'reminder.resumed', deed.version);
      return `resumed ${deed.sale.name}: ${(deed.givenBackMs / 1_000).toFixed(1)} s were given back, and ${told}`;
    }
    case 'stocked': {
      const { fromMs, toMs } = deed;
      const offers = await store.countNotices(deed.sale.saleId, 'reservation.offered', { fromMs, toMs });
      return `added ${deed.units} units to ${deed.sale.name}: ${number.format(offers)} who waited were offered units`;
    }
    case 'refunded':
      return tellRefunds(store, deed.whole, deed.parts);
    case 'called off':
      return tellCallingOff(store, deed.sale);
  }
}

async function toldOf(store: Store, { saleId }: OpenSale, kind: string, version: number): Promise<string> {
  const found = (await store.announcements()).find(
    (one) => one.saleId === saleId && one.kind === kind && one.round === version,
  );
  return `${number.format(found?.notices ?? 0)} who held units or waited were told`;
}

async function tellRefunds(store: Store, whole: string[], parts: string[]): Promise<string> {
  const refunds = await store.refunds();
  const done = (purchaseIds: string[], isOne: (refundKey: string) => boolean) =>
    purchaseIds.filter((id) =>
      refunds.get(id)?.some(({ refundKey, state }) => isOne(refundKey) && state === 'refunded'),
    );
  const [back, inPart] = [done(whole, (key) => key === 'refund'), done(parts, (key) => key.startsWith('part-'))];
  return (
    `ordered whole refunds: ${number.format(whole.length)}, and of half a payment: ${number.format(parts.length)}; given ` +
    `back by the provider: ${number.format(back.length)} and ${number.format(inPart.length)}`
  );
}

async function tellCallingOff(store: Store, { saleId, name, currency }: OpenSale): Promise<string> {
  const shares = [...(await store.refunds()).values()]
    .flat()
    .filter(({ refundKey, state }) => refundKey === `sale:${saleId}` && state === 'refunded');
  const amountMinor = shares.reduce((sum, share) => sum + share.amountMinor, 0);
  const buyers = await store.countNotices(saleId, 'reminder.called-off-refund');
  const reasons = ['sale_cancelled', 'sale_cancelled_while_paying'];
  const counts = reasons.map((reason) => store.countNotices(saleId, 'reservation.cancelled', { reason }));
  const others = (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  return (
    `called ${name} off: told were ${number.format(buyers)} who had bought and ${number.format(others)} who held units or ` +
    `waited; ${number.format(shares.length)} payments got ${formatMoney({ amountMinor, currency }, 'en')} back`
  );
}
