/** The inbox of the demo with everything running: addresses are verified by the codes that come, and each notice comes by mail once. */
import { join } from 'node:path';
import { countInbox, isWhole, verifyAddresses } from '#demo/inbox.ts';
import { Account, Api } from '#load/client.ts';
import { ClientLog } from '#load/log.ts';
import { waitFor } from '#local/wait.ts';
import { newId } from '#test/support/ids.ts';
import { closeBeds, password, type RunningBed, runningBed } from '../support/running-bed.ts';
import { testStack } from '../support/stack.ts';

/** A machine on which much else runs. */
const slowMs = 180_000;

let running: RunningBed;
beforeAll(async () => {
  running = await runningBed();
}, slowMs);
afterAll(closeBeds, slowMs);

test(
  'what is told comes by mail once; what does not come is counted',
  async () => {
    const log = new ClientLog(join(testStack().dir, `inbox-${running.bed.id}.jsonl`));
    const api = new Api({ url: running.api, log });
    const accounts = await Promise.all(
      ['mia', 'noa'].map((name) => Account.register(api, { email: `${name}@example.com`, password, name })),
    );
    const { mail } = testStack();
    const readers = await verifyAddresses(running.api, mail, accounts);

    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const { operator: token } = running;
    const price = { amountMinor: 500, currency: 'EUR' };
    const product = { sku: `I-${running.bed.id}`, name: 'A thing', description: '', price };
    const { productId } = await running.call<{ productId: string }>('POST', '/products', { token, body: product });
    const sale = {
      ...{ productId, name: 'A sale', allotment: 10, capPerCustomer: 2, waitlistSize: 0 },
      ...{ reserveOpensAt: at(-5_000), reserveClosesAt: at(3_600_000) },
      ...{ purchaseOpensAt: at(3_600_000), purchaseClosesAt: at(7_200_000) },
    };
    const { saleId } = await running.call<{ saleId: string }>('POST', '/sales', { token, body: sale });
    for (const account of accounts) {
      expect((await account.reserve(saleId, { quantity: 1, atLeast: 1, key: account.customerId })).status).toBe(202);
    }
    const told = async () => (await Promise.all(readers.map((reader) => reader.notices()))).flat();
    await waitFor('both to be told', async () => (await told()).length === 2, { timeoutMs: 60_000, lookAgainMs: 250 });

    const inbox = await countInbox(mail, readers);
    expect([inbox.addresses, inbox.notices, inbox.once, inbox.twice, inbox.never]).toEqual([2, 2, 2, 0, 0]);
    expect([inbox.codes >= 2, isWhole(inbox)]).toEqual([true, true]);

    const unheard = { notices: async () => [newId() as string] };
    const lacking = await countInbox(mail, [...readers, unheard], 1_000);
    expect([lacking.notices, lacking.once, lacking.never, isWhole(lacking)]).toEqual([3, 2, 1, false]);
    api.close();
    await log.close();
  },
  slowMs,
);
