/** Rows 53 to 55: what a shop connects with. Customers of another issuer, labels, and the receivers of its webhooks. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReservationAccepted } from '#client/index.ts';
import { type Answer, isWorthRepeating } from '#load/client.ts';
import { waitFor } from '#local/wait.ts';
import { type Receiver, startReceiver } from '../../support/receiver.ts';
import type { Fault, Run } from '../fault.ts';

const attempts = 40;

/** Who asks, as a shop's own programs or pages do: by a token that is not of an account here. */
interface Caller {
  readonly token: string;
  readonly customerId: string;
  readonly headers?: Record<string, string>;
}

/** Asks again while the answer says so, or there is none. */
async function insist<Body>(ask: () => Promise<Answer<Body>>): Promise<Answer<Body>> {
  for (let left = attempts; ; left--) {
    const answer = await ask();
    if (left === 0 || !isWorthRepeating(answer)) return answer;
    await sleep(Math.min(400, answer.retryAfterMs || 250));
  }
}

const me = ({ world }: Run, token: string, headers: Record<string, string> = {}) =>
  insist(() => world.api.send<{ customerId: string }>('operator', { method: 'GET', path: '/me', token, headers }));

/** Asks for a unit of a sale under a key, with what the shop notes on it. */
function reserve(
  { world }: Run,
  { token, customerId, headers = {} }: Caller,
  saleId: string,
  key: string,
  noted: object = {},
): Promise<Answer<ReservationAccepted>> {
  return insist(() =>
    world.api.send<ReservationAccepted>(
      'reserve',
      { method: 'POST', path: `/sales/${saleId}/reservations`, token, key, headers, body: { quantity: 1, ...noted } },
      { customerId, saleId, quantity: 1, atLeast: 1 },
      ({ reservationId, ticket, position }) => ({ reservationId, ticket, position }),
    ),
  );
}

/** Like the client's, which keeps the log of what was promised, for `decided` to wait for. */
function promised(run: Run, saleId: string, { status, body }: Answer<ReservationAccepted>): boolean {
  const [account] = run.world.accounts;
  if (status !== 202 || !account) return false;
  run.load.promised.push({ account, saleId, reservationId: body.reservationId });
  return true;
}

/** The schedule that reads issuers' keys, at once. */
const readKeys = ({ world }: Run) => world.send('relay', {});

const issuerAway: Fault = {
  number: 53,
  name: 'issuer-away',
  title: 'The issuer of customers’ tokens hangs, fails and has new keys; many calls at once with tokens never seen',
  also: ['I4', 'I5', 'I6'],
  async run(run) {
    const { world, load, patienceMs } = run;
    const { issuer } = world;
    const saleId = await load.sale({ allotment: 200 });
    await readKeys(run);
    const names = Array.from({ length: 4 }, (_, index) => `ada-${index}-${Date.now()}`);
    const signedIn = await Promise.all(names.map(async (name) => (await issuer.signIn(name)).accessToken));
    const customersNamed = async (...of: string[]) => {
      const ids = of.map((name) => `${issuer.issuer}|${name}`);
      return (await world.rows('SELECT id FROM customers WHERE external_id IN (?)', [ids])).length;
    };
    await waitFor(
      'the keys of the issuer to be read',
      async () => (await world.rows('SELECT issuer FROM issuer_keys WHERE issuer = ?', [issuer.issuer])).length > 0,
      { timeoutMs: patienceMs },
    );

    const first = signedIn.map((token) => Promise.all(Array.from({ length: 10 }, () => me(run, token))));
    await sleep(50);
    await world.crash(world.http);
    const known: Caller[] = [];
    for (const [index, answers] of (await Promise.all(first)).entries()) {
      const ids = new Set(answers.map(({ status, body }) => (status === 200 ? body.customerId : `nobody: ${status}`)));
      run.expect(ids.size === 1, `one person is ${[...ids].join(' and ')}`);
      known.push({ token: signedIn[index] ?? '', customerId: [...ids][0] ?? '' });
      run.count('first calls', answers.length);
    }
    const made = await customersNamed(...names);
    run.expect(made === names.length, `${names.length} persons are ${made} customers`);

    issuer.replaceKey(false);
    const lateName = `late-${Date.now()}`;
    const late = (await issuer.signIn(lateName)).accessToken;
    for (const how of ['never', 'failing'] as const) {
      issuer.answers(how);
      await readKeys(run);
      await sleep(1_000);
      // What it remembered of the issuer's keys is gone with it.
      await world.crash(world.http);
      const startedAtMs = Date.now();
      const own = load.rush({ sales: [saleId], requests: 15, concurrency: 5 });
      for (const caller of known) {
        const answer = await reserve(run, caller, saleId, `${how}-1`);
        const isAccepted = promised(run, saleId, answer);
        run.expect(isAccepted, `a customer of an issuer that is away was answered ${answer.status} ${answer.code}`);
        run.count('while it is away');
      }
      run.measure('while it is away', Date.now() - startedAtMs);
      const { code } = await world.api.send('operator', { method: 'GET', path: '/me', token: late });
      run.expect(code === 'unknown_token_key', `a token by a key that is not known yet was answered ${code}`);
      await own;
      await load.decided();
    }
    run.expect((await customersNamed(lateName)) === 0, 'a token that cannot be checked has made a customer');

    issuer.answers('well');
    // The next turn of a worker whose breaker is open would be half a minute later.
    for (const worker of world.workers) await world.crash(worker);
    await readKeys(run);
    const isNew = async () => {
      const { status } = await world.api.send('operator', { method: 'GET', path: '/me', token: late });
      return status === 200;
    };
    await waitFor('the new keys to count', isNew, { timeoutMs: patienceMs, lookAgainMs: 500 });
    const [old] = known;
    const refused = await world.api.send('operator', { method: 'GET', path: '/me', token: old?.token });
    run.expect(refused.status === 401, `a key that was withdrawn still counts: ${refused.status}`);
  },
};

interface Noted {
  readonly reference: string;
  readonly metadata: Record<string, string>;
}

/** What MySQL has of labels must be this, for each subject once and for no other. */
async function compareLabels(run: Run, expected: ReadonlyMap<string, Noted>): Promise<void> {
  const rows = await run.world.rows<{ id: string; reference: string; metadata: string }>(
    "SELECT LOWER(HEX(subject_id)) AS id, reference, COALESCE(metadata, '{}') AS metadata FROM labels",
  );
  const written = new Map(rows.map(({ id, ...label }) => [id, label]));
  for (const [id, { reference, metadata }] of expected) {
    const label = written.get(id.replaceAll('-', ''));
    const isSame = label?.reference === reference && sorted(JSON.parse(label.metadata)) === sorted(metadata);
    run.expect(isSame, `${id} was given ${reference}, and has ${label?.reference} ${label?.metadata}`);
  }
  run.expect(written.size === expected.size, `there are ${written.size} labels, and ${expected.size} were given`);
}

const sorted = (metadata: object) => JSON.stringify(Object.entries(metadata).sort());

const labels: Fault = {
  number: 54,
  name: 'labels-under-kills',
  title: 'References and metadata, while workers die, messages come twice, and keys are used again with others',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { world, load, random, patienceMs } = run;
    const saleId = await load.sale({ allotment: 200 });
    const { body: made } = await world.operate<{ key: string; keyId: string }>('POST', '/ops/api-keys', {
      ...{ name: 'Storefront', scopes: ['customers:act', 'labels:read', 'labels:write'] },
    });
    const people: Caller[] = [];
    for (let index = 0; index < 6; index++) {
      const headers = { 'holdfast-customer': `member-${index}-${Date.now()}` };
      const { body } = await me(run, made.key, headers);
      people.push({ token: made.key, headers, customerId: body.customerId });
    }
    await world.startWorkers(2, { ...run.orders, loseAcks: 0.3, trace: run.trace, seed: 3 });

    const expected = new Map<string, Noted>();
    const accepted: { caller: Caller; body: ReservationAccepted; noted: Noted }[] = [];
    let over = false;
    const deaths = (async () => {
      while (!over) {
        await sleep(500);
        const victim = world.workers[Math.floor(random() * world.workers.length)];
        if (victim && !over) await world.crash(victim);
      }
    })();
    const request = async (caller: Caller, index: number) => {
      const noted = { reference: `order-${index}`, metadata: { till: String(index), note: 'Ø & Söhne' } };
      const key = `order-${index}`;
      const twice = index % 3 === 0;
      const [answer] = await Promise.all([
        reserve(run, caller, saleId, key, noted),
        twice ? reserve(run, caller, saleId, key, noted) : undefined,
      ]);
      const isAccepted = promised(run, saleId, answer);
      run.expect(isAccepted, `a request with a label was answered ${answer.status} ${answer.code}`);
      if (!isAccepted) return;
      expected.set(answer.body.reservationId, noted);
      accepted.push({ caller, body: answer.body, noted });
      if (index % 3 !== 1) return;
      const other = await reserve(run, caller, saleId, key, { ...noted, reference: `other-${index}` });
      run.expect(other.code === 'idempotency_key_reused', `another label under the key was answered ${other.status}`);
    };
    const requests = people.map(async (caller, person) => {
      for (let index = 0; index < 10; index++) await request(caller, person * 10 + index);
    });
    await Promise.all(requests).finally(() => {
      over = true;
    });
    await deaths;
    await load.decided();
    await compareLabels(run, expected);

    for (const [index, { caller, body, noted }] of accepted.entries()) {
      if (index % 4 === 0) {
        const { token, headers = {}, customerId } = caller;
        const label = { ...noted, reference: `invoice-${index}` };
        const json = { reservationIds: [body.reservationId], paymentToken: 'tok_approve', ...label };
        const bought = await insist(() =>
          world.api.send<{ purchaseId: string; amount: { amountMinor: number; currency: string } }>(
            'buy',
            { method: 'POST', path: '/purchases', token, headers, key: `invoice-${index}`, body: json },
            { customerId, reservationIds: [body.reservationId] },
            ({ purchaseId, amount }) => ({ purchaseId, ...amount }),
          ),
        );
        run.expect(bought.status === 202, `a purchase with a label was answered ${bought.status} ${bought.code}`);
        if (bought.status === 202) expected.set(bought.body.purchaseId, label);
      }
      if (index % 4 === 1) {
        const changed = { reference: `changed-${index}`, metadata: noted.metadata };
        const path = `/ops/labels/reservation/${body.reservationId}`;
        const { status } = await world.operate('PATCH', path, { reference: changed.reference }, `label-${index}`);
        run.expect(status === 200, `a change of a label was answered ${status}`);
        expected.set(body.reservationId, changed);
        run.count('changed');
      }
      // Delivered once more, now that it is decided and its label may have been changed.
      if (index % 2 === 1) {
        const { reservationId, ticket } = body;
        const asked = { reservationId, saleId, customerId: caller.customerId, quantity: 1, atLeast: 1 };
        await world.send('reservations', { ...asked, ...(ticket ? { ticket } : {}), label: noted, keyId: made.keyId });
        run.count('delivered again');
      }
    }
    await waitFor('nothing to be left in the queue', async () => (await world.depth('reservations')) === 0, {
      timeoutMs: patienceMs,
    });
    await compareLabels(run, expected);
    run.count('labels', expected.size);
    await world.startWorkers(2, run.orders);
  },
};

type Role = 'good' | 'slow' | 'failing' | 'silent' | 'redirecting' | 'gone' | 'inside';

const receivers: Fault = {
  number: 55,
  name: 'webhook-receivers',
  title: 'Receivers of webhooks: slow, failing, silent, gone, redirecting inside, inside; workers die among them',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { world, load } = run;
    const started = new Map<Role | 'elsewhere', Receiver>();
    for (const role of ['good', 'slow', 'failing', 'silent', 'redirecting', 'gone', 'inside', 'elsewhere'] as const)
      started.set(role, await startReceiver());
    try {
      await sendWebhooks(run, (role) => started.get(role) as Receiver);
    } finally {
      await Promise.all([...started.values()].map((receiver) => receiver.close()));
    }
    await load.decided();
    await world.rows('DELETE FROM webhook_endpoints');
  },
};

async function sendWebhooks(run: Run, of: (role: Role | 'elsewhere') => Receiver): Promise<void> {
  const { world, load, random, patienceMs } = run;
  const roles: Role[] = ['good', 'slow', 'failing', 'silent', 'redirecting', 'gone', 'inside'];
  const endpoints = new Map<Role, string>();
  for (const role of roles) {
    const { status, body } = await world.operate<{ endpointId: string }>('POST', '/webhook-endpoints', {
      ...{ url: of(role).url, events: ['reservations.changed', 'purchase.changed'], description: role },
    });
    run.expect(status === 201, `an endpoint was answered ${status}`);
    endpoints.set(role, body.endpointId);
  }
  of('slow').answers({ afterMs: 1_000 });
  of('failing').answers({ status: 503 });
  of('silent').answers({ hang: true });
  // A redirect inside: 307 would have the message sent there as it is.
  of('redirecting').answers({ status: 307, headers: { location: of('elsewhere').url } });
  await of('gone').close();
  // A name that was public when it was given, and now leads inside.
  const isInside = [idOf(endpoints.get('inside'))];
  await world.rows("UPDATE webhook_endpoints SET url = 'https://10.11.12.13/hooks' WHERE id = UNHEX(?)", isInside);

  const sale = await load.sale({ allotment: 60, waitlistSize: 20 });
  let over = false;
  const deaths = (async () => {
    while (!over) {
      await sleep(900);
      const victim = world.workers[Math.floor(random() * world.workers.length)];
      if (victim && !over) await world.crash(victim);
    }
  })();
  await load.rush({ sales: [sale], requests: 60, concurrency: 6, paceMs: 120 });
  await load.decided();
  await load.act({ cancel: 0.2, buy: 0.6 });
  over = true;
  await deaths;

  const quietAtMs = Date.now();
  await waitFor('the good receiver to have everything', () => hasAll(run, of('good'), 'good', endpoints), {
    timeoutMs: patienceMs,
    lookAgainMs: 200,
  });
  run.measure('others unaffected', Date.now() - quietAtMs);
  const pending = await pendingBy(run, endpoints);
  for (const role of roles.filter((one) => one !== 'good' && one !== 'slow'))
    run.expect((pending.get(role) ?? 0) > 0, `nothing waits for the receiver that is ${role}`);

  // Hours pass: they are mended, what was to come later is due, and breakers let through again.
  for (const role of ['slow', 'failing', 'silent', 'redirecting', 'inside'] as const) of(role).answers({});
  const mended = await startReceiver();
  try {
    await world.rows('UPDATE webhook_endpoints SET url = ? WHERE id = UNHEX(?)', [of('inside').url, ...isInside]);
    const { status } = await world.operate('PATCH', `/webhook-endpoints/${endpoints.get('gone')}`, { url: mended.url });
    run.expect(status === 200, `a new address was answered ${status}`);
    await world.startWorkers(2, run.orders);
    const at = (role: Role) => (role === 'gone' ? mended : of(role));
    await waitFor(
      'every receiver to have everything',
      async () => {
        const breakers = await world.redis.keys('*webhooks:*');
        if (breakers.length > 0) await world.redis.del(...breakers);
        await world.rows("UPDATE webhook_deliveries SET due_at_ms = 1 WHERE state = 'pending'");
        await world.send('webhooks', { 'detail-type': 'Scheduled Event' });
        await sleep(1_000);
        for (const role of roles) if (!(await hasAll(run, at(role), role, endpoints))) return false;
        return (await pendingBy(run, endpoints)).size === 0;
      },
      { timeoutMs: patienceMs },
    );
    const [messages] = await world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM webhook_messages');
    run.count('messages', Number(messages?.n));
    const all = roles.reduce((sum, role) => sum + at(role).received.length, 0);
    run.count('deliveries', all);
    run.count('sent again', all - roles.length * Number(messages?.n));
  } finally {
    await mended.close();
  }
  const connections = of('elsewhere').connections();
  run.expect(connections === 0, `${connections} connections to where a redirect led`);
}

const idOf = (id = '') => id.replaceAll('-', '');

/** Whether a receiver got each message that is for its endpoint. One that was given up counts: it was to be sent. */
async function hasAll({ world }: Run, receiver: Receiver, role: Role, endpoints: ReadonlyMap<Role, string>) {
  const rows = await world.rows<{ id: string }>(
    'SELECT LOWER(HEX(message_id)) AS id FROM webhook_deliveries WHERE endpoint_id = UNHEX(?)',
    [idOf(endpoints.get(role))],
  );
  const [{ n: outbox } = { n: 0 }] = await world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM outbox');
  const got = new Set(receiver.received.map(({ id }) => idOf(id)));
  return Number(outbox) === 0 && rows.length > 0 && rows.every(({ id }) => got.has(id));
}

/** How many deliveries are still to be made, by the endpoint that waits for them. */
async function pendingBy({ world }: Run, endpoints: ReadonlyMap<Role, string>): Promise<Map<Role, number>> {
  const rows = await world.rows<{ id: string; n: number }>(
    `SELECT LOWER(HEX(endpoint_id)) AS id, COUNT(*) AS n FROM webhook_deliveries WHERE state = 'pending'
     GROUP BY endpoint_id`,
  );
  const roleOf = new Map([...endpoints].map(([role, id]) => [idOf(id), role]));
  return new Map(rows.map(({ id, n }) => [roleOf.get(id) ?? 'good', Number(n)]));
}

export const shopFaults = [issuerAway, labels, receivers];
