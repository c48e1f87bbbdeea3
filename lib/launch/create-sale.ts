/**
 * Creating a sale: its row with the whole allotment available, the first entry of its ledger and its event, in one
 * transaction. A sale copies the price of its product, so changing the product does not change the price of the sale.
 */

import { findProduct } from '#catalog/product.store.ts';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { insertLabel, soleReferenceKey } from '#labels/label.store.ts';
import { labelOf, refuseReference } from '#labels/label.ts';
import { type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { isDuplicateKey } from '#platform/mysql/mysql.ts';
import { adjustment, recordMovements } from '#sale/ledger.store.ts';
import type { CreateSale, SaleView } from '#sale/sale.shapes.ts';
import { insertSale } from '#sale/sale.store.ts';
import { newSaleId } from '#sale/sale-id.ts';
import { viewOfRow } from '#sale/terms.ts';
import { scheduleBoundaries } from './boundaries.ts';
import { atOnce, changeAccess, publicationAt, refuseEarlyOpening } from './publication.ts';
import { recordSale, type SaleCommitted } from './sale-changed.ts';
import { refuseProvider } from './sale-provider.ts';
import { defaultOfferCutoffMs, readPublishAt, readTimes, refuseCutoff, refuseDisorder } from './sale-times.ts';

/**
 * Creates a sale at the product's current price: public at once, at a time, or a draft. Refuses an unknown product, a reference
 * that another sale has, times that are out of order, a cut-off that is as long as the purchase window, reservations that open
 * before it is public, and a payment provider that is not in use or does not take the price's currency.
 */
export async function createSale(
  deps: WriteNeeds & Needs<'registry'>,
  request: CreateSale,
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const nowMs = deps.clock();
  const times = readTimes(request);
  const disorder = refuseDisorder(times);
  if (disorder) return disorder;
  const { offerCutoffSeconds } = request;
  const offerCutoffMs = offerCutoffSeconds === undefined ? defaultOfferCutoffMs(times) : offerCutoffSeconds * 1000;
  const cutoffTooLong = refuseCutoff(offerCutoffMs, times);
  if (cutoffTooLong) return cutoffTooLong;
  if (times.reserveClosesAtMs <= nowMs) {
    return refuse('unprocessable', 'The reservation period would be over before it began.');
  }
  const { publishAt } = request;
  const publication = publishAt === undefined ? atOnce : publicationAt(readPublishAt(publishAt), nowMs);
  const tooEarly = refuseEarlyOpening(times, publication.publicFromMs);
  if (tooEarly) return tooEarly;
  const access = changeAccess({ accessCode: null }, request);
  if (isRefusal(access)) return access;
  const label = labelOf(request);
  const saleId = newSaleId(request.allotment + request.waitlistSize, nowMs);
  const result = await writeThrough(deps, async (tx): Promise<(SaleCommitted & { view: SaleView }) | Refusal> => {
    const product = await findProduct(tx, request.productId);
    if (!product) return refuse('not_found', 'There is no such product.');
    const { productId, name, allotment, capPerCustomer, waitlistSize, offerLifeSeconds } = request;
    const { payWithinSeconds, requiresContact, capPer, paymentProvider = null } = request;
    const { amountMinor: priceMinor, currency } = product.price;
    const unusable = refuseProvider(deps.registry, paymentProvider, currency);
    if (unusable) return unusable;
    const terms = {
      name,
      capPerCustomer,
      requiresContact,
      paymentProvider,
      waitlistSize,
      offerLifeMs: offerLifeSeconds * 1000,
      payWithinMs: payWithinSeconds === undefined ? null : payWithinSeconds * 1000,
      offerCutoffMs,
      ...times,
      ...publication,
      ...access,
    };
    await insertSale(tx, { saleId, productId, priceMinor, currency, capPer, allotment, ...terms }, nowMs);
    await recordMovements(tx, [adjustment(saleId, request.allotment, nowMs)], nowMs);
    if (label) await insertLabel(tx, { kind: 'sale', subjectId: saleId, label }, nowMs);
    const committed = await recordSale(tx, saleId, nowMs, { publishes: publication.publishTold });
    const view = viewOfRow(committed.sale, nowMs);
    return { ...committed, view: await keep(tx, view, changeOf(saleId, null, { ...view, ...label })) };
  }).catch((error) => {
    if (isDuplicateKey(error, soleReferenceKey)) return refuseReference('sale');
    throw error;
  });
  if (isRefusal(result)) return result;
  await scheduleBoundaries(deps, result.sale);
  return result.view;
}
