/**
 * The example of a shop on a bed of a test: its server, its OpenID provider, and a Holdfast that takes the provider's tokens and to
 * which an admin has introduced it.
 */
import { prepare, type Storefront, startStorefront } from '#examples/storefront/start.ts';
import { readIssuerKeys } from '#identity/issuer-keys.ts';
import { seedOperator } from '#identity/register.ts';
import { freePort } from '#local/free-port.ts';
import { openDeps } from '#platform/environment/deps.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { password, type RunningBed, runningBed } from './running-bed.ts';

/** A bed on which everything runs, and the shop behind which it is. Pages of `origins` may call too. */
export async function storefrontBed(
  origins: readonly string[] = [],
  how: { decidesSoon?: boolean } = {},
): Promise<{ running: RunningBed; storefront: Storefront }> {
  const prepared = await prepare([await freePort(), await freePort()]);
  const customers = { 'auth/customers': JSON.stringify({ issuers: [prepared.issuer] }) };
  const running = await runningBed({ HOLDFAST_ORIGINS: [...origins, prepared.url].join(',') }, customers, how);
  const { bed, api, websocket } = running;
  const deps = openDeps({ ...bed.registry, ...customers });
  await readIssuerKeys(deps).finally(() => deps.close());
  const admin = { email: 'admin@example.com', password };
  const db = openDb(bed.mysqlUrl, { connections: 1 });
  await seedOperator({ db, clock: systemClock }, admin, 'admin');
  await db.close();
  return { running, storefront: await startStorefront({ prepared, api, websocket, admin }) };
}
