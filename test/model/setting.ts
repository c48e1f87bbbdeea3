/**
 * Sales and people for models: what is in MySQL and Redis before anything happens.
 */
import { partialField } from '#mirror/fields.ts';
import { primeMirror } from '#mirror/mirror.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { saleTag } from '#sale/sale-id.ts';
import { asId } from '../support/ids.ts';
import { Checker } from './check/checker.ts';
import { depsOf } from './world/deps.ts';
import { allMigrations } from './world/migrations.ts';
import type { Row } from './world/mysql.ts';
import type { Charge } from './world/provider.ts';
import { World, type WorldOptions } from './world/world.ts';

/** When every model begins: a whole second, far from any boundary. */
export const beginMs = 1_800_000_000_000;

export interface SaleSetting {
  readonly saleId: SaleId;
  readonly allotment: number;
  readonly capPerCustomer: number;
  /** Whether it is for those alone who can show that their address is theirs. */
  readonly requiresContact?: boolean;
  /** What a customer must show to find it; nothing if everybody can. */
  readonly accessCode?: string;
  /** Since when it is public; from the beginning without it. */
  readonly publicFromMs?: number;
  readonly waitlistSize: number;
  readonly offerLifeMs: number;
  readonly reserveOpensAtMs: number;
  readonly reserveClosesAtMs: number;
  readonly purchaseOpensAtMs: number;
  readonly purchaseClosesAtMs: number;
}

const migrations = allMigrations();

/** The id of the nth sale; its last digit spreads claims over that many buckets, as a power of two. */
export function saleIdOf(n: number, buckets = 0): SaleId {
  return asId(`0190a000-0000-7000-8000-${n.toString(16).padStart(11, '0')}${buckets.toString(16)}`);
}

/** The id of the nth customer. Like a real one it differs from others in its middle as well as at its end. */
export function customerIdOf(n: number): CustomerId {
  const hex = (value: number) => (value & 0xffffff).toString(16).padStart(6, '0');
  return asId(`0190c000-0000-7000-9000-${hex(n)}${hex(Math.imul(n, 0x9e3779b1))}`);
}

function bytesOf(id: string): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString('latin1');
}

/** A world and its checker, ready to be set to the same beginning any number of times. */
export class Setting {
  readonly world: World;
  readonly checker: Checker;
  #mysql: ReadonlyMap<string, Row[]> = new Map();
  #redis: ReturnType<World['redis']['snapshot']> = new Map();
  #charges: readonly Charge[] = [];

  constructor(options: Omit<WorldOptions, 'migrations'>) {
    this.world = new World({ migrations, ...options });
    this.checker = new Checker(this.world);
  }

  /** Puts these sales in; with `warm`, the mirror knows them. `before` is what has happened already. */
  prepare(sales: readonly SaleSetting[], warm: boolean, before?: (setting: Setting) => void): void {
    const { world } = this;
    world.enter();
    world.reset(beginMs * 1000, 1);
    world.mysql.restore(new Map());
    world.redis.flush();
    for (const sale of sales) {
      world.mysql.seed('sales', {
        id: bytesOf(sale.saleId),
        product_id: bytesOf(sale.saleId),
        name: 'A sale',
        mode: 'fifo',
        status: 'active',
        phase: 'scheduled',
        price_minor: 100,
        currency: 'EUR',
        cap_per_customer: sale.capPerCustomer,
        requires_contact: sale.requiresContact ? 1 : 0,
        access_code: sale.accessCode ?? null,
        public_from_ms: sale.publicFromMs ?? 0,
        waitlist_size: sale.waitlistSize,
        offer_life_ms: sale.offerLifeMs,
        reserve_opens_at_ms: sale.reserveOpensAtMs,
        reserve_closes_at_ms: sale.reserveClosesAtMs,
        purchase_opens_at_ms: sale.purchaseOpensAtMs,
        purchase_closes_at_ms: sale.purchaseClosesAtMs,
        allotment: sale.allotment,
        available: sale.allotment,
        allocated: 0,
        sold: 0,
        waitlisted: 0,
        epoch: 1,
        version: 1,
        fence: 0,
        created_at_ms: beginMs,
      });
      world.mysql.seed('ledger', {
        subject_id: bytesOf(sale.saleId),
        kind: 'ADJUST',
        sale_id: bytesOf(sale.saleId),
        units: sale.allotment,
        at_ms: beginMs,
      });
    }
    this.checker.attach();
    if (warm) {
      world.start('worker', 'warm', async (process) => {
        for (const { saleId } of sales) await primeMirror(depsOf(process), saleId);
      });
      while (world.busy) world.step();
      // Redis has known these sales from their creation on, and has lost nothing.
      for (const { saleId } of sales) world.redis.command('hdel', [keys.sale(saleTag(saleId)), partialField]);
    }
    before?.(this);
    if (world.violation) throw new Error(`a setting cannot be made: ${world.violation.detail}`);
    this.#charges = world.provider.snapshot();
    this.#mysql = world.mysql.snapshot();
    this.#redis = world.redis.snapshot();
  }

  /** Back to the beginning. */
  begin(seed: number): void {
    const { world } = this;
    world.enter();
    world.reset(beginMs * 1000, seed);
    world.mysql.restore(this.#mysql);
    world.redis.restore(this.#redis);
    world.provider.restore(this.#charges);
    this.checker.attach();
  }
}
