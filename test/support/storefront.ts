/** The example of a shop on a bed of a test: its server, its OpenID provider, and an admin who has introduced it. */
import { type Storefront, startStorefront } from '#examples/storefront/start.ts';
import { seedOperator } from '#identity/register.ts';
import { freePort } from '#local/free-port.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { password, type RunningBed } from './running-bed.ts';

/** Starts the shop of the example behind which there is this bed. */
export async function storefrontOn({ bed, api }: RunningBed): Promise<Storefront> {
  const admin = { email: 'admin@example.com', password };
  const db = openDb(bed.mysqlUrl, { connections: 1 });
  await seedOperator({ db, clock: systemClock }, admin, 'admin');
  await db.close();
  return startStorefront({ api, admin, ports: [await freePort(), await freePort()] });
}
