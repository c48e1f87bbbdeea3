/** What is needed by whoever acts on a sale from more than one page. */
import type { SaleOverview, SaleView } from '../types.ts';
import type { Console } from './store.ts';

/** Whom a change of a sale concerns, as of this moment; undefined if that cannot be had. */
export async function affectedBy({ api, words, format }: Console, saleId: string): Promise<string | undefined> {
  const overview = await api.get<SaleOverview>(`/ops/sales/${saleId}`).catch(() => undefined);
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
    store.take(await store.post<SaleView>(`/sales/${sale.saleId}/pause`));
    store.say('good', words.paused);
  });
}
