/** `npm run storefront`: the local stack, the shop's OpenID provider and the shop, until Ctrl-C. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { seedOperator } from '#identity/register.ts';
import { ownArguments } from '#local/arguments.ts';
import { freePort } from '#local/free-port.ts';
import { type Stack, startStack } from '#local/stack.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { prepare, startStorefront } from './start.ts';

ownArguments('storefront');
const say = (line: string) => process.stdout.write(`${line}\n`);

let stack: Stack | undefined;
try {
  say('Starting Holdfast and the shop …');
  const prepared = await prepare([await freePort(8090), await freePort(8091)]);
  stack = await startStack({
    ...{ dir: join(defaultFolder(), 'storefront'), whenBusy: 'next', fresh: true, report: say },
    customers: JSON.stringify({ ownAccounts: false, issuers: [prepared.issuer] }),
    env: { HOLDFAST_ORIGINS: prepared.url },
  });
  const { api, websocket, mysql, mail } = stack.addresses;
  const admin = { email: 'admin@holdfast.example', password: randomBytes(9).toString('base64url') };
  const db = openDb(mysql, { connections: 1 });
  await seedOperator({ db, clock: systemClock }, admin, 'admin');
  await db.close();
  const shop = await startStorefront({ prepared, api, websocket, admin });
  say(`
  Shop         ${shop.url}
  Its login    ${shop.issuer}     any name will do; staff gives money back
  Holdfast     ${api}
  API docs     ${api}/docs
  Mail         ${mail}
  Admin        ${admin.email}  ${admin.password}

  Ctrl-C stops everything.
`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await stack?.stop();
  process.exit(1);
}
