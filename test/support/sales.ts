/** Sales and requests for tests, written straight into the database: the shortest way to a sale in a certain state. */

import { type Deps, openDeps } from '#platform/environment/deps.ts';
import type { Delivered } from '#platform/handlers/queue.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { redisReady } from '#platform/redis/redis.ts';
import type { ReserveCommand } from '#reservation/reservation.shapes.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import type { CapHolder } from '#sale/sale.store.ts';
import { newSaleId } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import type { TestBed } from './stack.ts';

const hourMs = 3_600_000;

export interface SaleTerms {
  allotment: number;
  capPerCustomer: number;
  capPer: CapHolder;
  requiresContact: boolean;
  waitlistSize: number;
  reserveOpensAtMs: number;
  reserveClosesAtMs: number;
  purchaseOpensAtMs: number;
  purchaseClosesAtMs: number;
  offerLifeMs: number;
  payWithinMs: number;
  offerCutoffMs: number;
  publicFromMs: number | null;
  accessCode: string | null;
}

/** The dependencies of a bed, with Redis connected. */
export async function openBed(bed: TestBed, overrides: Partial<Deps> = {}): Promise<Deps> {
  const deps = openDeps(bed.registry, overrides);
  await redisReady(deps.redis);
  return deps;
}

/** A sale that takes reservations now and sells now, unless the terms say otherwise. Returns its id. */
export async function givenSale(deps: Pick<Deps, 'db'>, terms: Partial<SaleTerms> = {}): Promise<SaleId> {
  const now = Date.now();
  const allotment = terms.allotment ?? 100;
  const saleId = newSaleId(allotment + (terms.waitlistSize ?? 0), now);
  await deps.db.change('INSERT INTO sales SET ?', [
    {
      id: toBytes(saleId),
      product_id: toBytes(newId()),
      name: 'A sale',
      mode: 'fifo',
      status: 'active',
      phase: 'scheduled',
      price_minor: 1_000,
      currency: 'EUR',
      cap_per_customer: terms.capPerCustomer ?? 10,
      cap_per: terms.capPer ?? 'customer',
      requires_contact: Number(terms.requiresContact ?? false),
      waitlist_size: terms.waitlistSize ?? 0,
      offer_life_ms: terms.offerLifeMs ?? 60_000,
      pay_within_ms: terms.payWithinMs ?? null,
      offer_cutoff_ms: terms.offerCutoffMs ?? 0,
      public_from_ms: terms.publicFromMs === undefined ? 0 : terms.publicFromMs,
      access_code: terms.accessCode ?? null,
      reserve_opens_at_ms: terms.reserveOpensAtMs ?? now - hourMs,
      reserve_closes_at_ms: terms.reserveClosesAtMs ?? now + hourMs,
      purchase_opens_at_ms: terms.purchaseOpensAtMs ?? now - hourMs,
      purchase_closes_at_ms: terms.purchaseClosesAtMs ?? now + hourMs,
      allotment,
      available: allotment,
      allocated: 0,
      sold: 0,
      waitlisted: 0,
      epoch: 1,
      version: 1,
      fence: 0,
      created_at_ms: now,
    },
  ]);
  return saleId;
}

/** A request as the queue delivers it. */
export function delivered(
  saleId: SaleId,
  change: Partial<ReserveCommand> & { key?: string } = {},
): Delivered<ReserveCommand> {
  const { key = 'key', ...command } = change;
  const customerId = command.customerId ?? newId();
  const quantity = command.quantity ?? 1;
  return {
    messageId: newId(),
    sentAtMs: Date.now(),
    deliveries: 1,
    message: {
      reservationId: deriveReservationId(saleId, customerId, key),
      saleId,
      customerId,
      quantity,
      atLeast: quantity,
      ticket: Date.now() * 1000 + Math.floor(Math.random() * 1000),
      ...command,
    },
  };
}

/** A deadline far enough for any test. */
export const soon = () => Date.now() + 20_000;
