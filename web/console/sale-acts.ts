/** What is needed by whoever acts on a sale from more than one page. */
import { dataOf } from '#client/http.ts';
import type { SaleView } from '../types.ts';
import type { Console } from './store.ts';

/** Whom a change of a sale concerns, as of this moment; undefined if that cannot be had. */
export async function affectedBy({ api, words, format }: Console, saleId: string): Promise<string | undefined> {
  const params = { path: { saleId } };
  const overview = await dataOf(api.http.GET('/ops/sales/{saleId}', { params })).catch(() => undefined);
  if (!overview) return undefined;
  const { allocated, waitlisted } = overview.reservations;
  return words.console.sale.affected(format.number(allocated), format.number(waitlisted));
}

/** Pauses a sale, after asking. */
export async function pauseSale(store: Console, sale: SaleView): Promise<void> {
  const { sale: words } = store.words.console;
  await store.act(`run:${sale.saleId}`, async () => {
    const affected = await affectedBy(store, sale.saleId);
    if (!(await store.sure(words.askPause(sale.name), words.pause, [affected]))) return;
    const params = { path: { saleId: sale.saleId } };
    store.take(await dataOf(store.api.http.POST('/sales/{saleId}/pause', { params })));
    store.say('good', words.paused);
  });
}
