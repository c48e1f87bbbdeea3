/**
 * The audit trail: each operator's act leaves one row, committed with it; a refused or repeated one leaves none; nobody changes
 * or deletes a row. A new operators' route that changes something must bring its act here.
 */
import { routes } from '#functions/http/routes.ts';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { answerOnce } from '#idempotency/kept-answer.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type PurchaseId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi, type Sent } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { failingAt, withDeps } from '../support/deps.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
let admin: string;
let operatorId: string;
let productId: string;

const chair = { sku: 'CHAIR', name: 'Chair', description: '', price: { amountMinor: 100, currency: 'EUR' } };

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  operator = await api.operator();
  admin = await api.operator('admin');
  operatorId = (await api.call('GET /me', { token: operator })).body.customerId;
  productId = (await api.call('POST /products', { json: chair, token: operator })).body.productId;
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

interface Act {
  act: string;
  operatorId: string;
  subjectId: string | null;
  asked: { params?: object; query?: object; body?: unknown };
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  correlationId: string;
}

const acts = async (query = ''): Promise<Act[]> =>
  (await api.call(`GET /ops/acts?limit=100${query}`, { token: operator })).body.items;
const count = async () => Number((await deps.db.rows<{ n: number }>('SELECT COUNT(*) AS n FROM operator_acts'))[0]?.n);

/** A purchase of this state, of one allocated reservation. */
async function givenPurchase(state: 'captured' | 'disputed'): Promise<PurchaseId> {
  const saleId = await givenSale(deps);
  const { customerId, token } = await api.customer();
  const { message, messageId } = delivered(saleId, { customerId });
  await deliver(allocate, [{ messageId, body: JSON.stringify(message) }]);
  const json = { reservationIds: [message.reservationId], paymentToken: 'tok_approve' };
  const { purchaseId } = (await api.call('POST /purchases', { token, key: newId(), json })).body;
  await deps.db.change(
    "UPDATE purchases SET state = ?, charge_id = 'ch_1', captured_minor = 1000, captured_currency = 'EUR' WHERE id = ?",
    [state, toBytes(purchaseId)],
  );
  return purchaseId;
}

const picture = { type: 'image/png', bytes: 64, alt: { en: 'A chair', ko: '의자' } };

/** A new product. */
async function givenProduct(): Promise<string> {
  const json = { ...chair, sku: `CHAIR-${newId()}` };
  return (await api.call('POST /products', { token: operator, json })).body.productId;
}

/** A picture that is announced, and whose file has come. */
async function givenPicture(): Promise<{ productId: string; pictureId: string }> {
  const productId = await givenProduct();
  const line = `POST /products/${productId}/pictures`;
  const { pictureId, upload } = (await api.call(line, { token: operator, json: picture })).body;
  const form = new FormData();
  for (const [name, value] of Object.entries<string>(upload.fields)) form.append(name, value);
  form.append('file', new Blob([Buffer.from('89504e470d0a1a0a00000000', 'hex')]));
  expect((await fetch(upload.url, { method: 'POST', body: form })).status).toBe(204);
  return { productId, pictureId };
}

const sale = {
  name: 'Chairs',
  allotment: 10,
  capPerCustomer: 2,
  reserveOpensAt: '2030-05-01T18:00:00Z',
  reserveClosesAt: '2030-05-03T18:00:00Z',
  purchaseOpensAt: '2030-05-04T18:00:00Z',
  purchaseClosesAt: '2030-05-06T18:00:00Z',
};

interface Made {
  line: string;
  sent?: Sent;
  /** What the row must say; the subject, and what was before and after. */
  shows(row: Act, answer: Answer): void;
}

const ofSale = async (path: string, json: object | undefined, shows: Made['shows']): Promise<Made> => {
  const saleId = await givenSale(deps);
  return {
    line: `${path.includes(' ') ? path.replace('{saleId}', saleId) : ''}`,
    sent: json ? { json } : {},
    shows: (row, answer) => {
      expect(row.subjectId).toBe(saleId);
      expect(row.after).toEqual(answer.body.sale ?? answer.body);
      shows(row, answer);
    },
  };
};

/** The address of a new endpoint of webhooks. */
async function givenEndpoint(): Promise<string> {
  const json = { url: 'https://shop.example.com/holdfast', events: ['purchase.changed'] };
  const { endpointId } = (await api.call('POST /webhook-endpoints', { token: operator, json })).body;
  return `/webhook-endpoints/${endpointId}`;
}

const ofEndpoint = async (method: string, path: string, json: object | undefined, shows: Made['shows']) => {
  const endpoint = await givenEndpoint();
  const made: Made = {
    line: `${method} ${endpoint}${path}`,
    sent: json ? { json } : {},
    shows: (row, answer) => {
      expect(row.subjectId).toBe(endpoint.split('/').at(-1));
      shows(row, answer);
    },
  };
  return made;
};

const ofKey = async (method: string, path: string, shows: Made['shows']): Promise<Made> => {
  const json = { name: 'Storefront', scopes: ['sales:read'] };
  const { keyId } = (await api.call('POST /ops/api-keys', { token: admin, json })).body;
  return {
    line: `${method} /ops/api-keys/${keyId}${path}`,
    sent: { token: admin },
    shows: (row, answer) => {
      expect(row.subjectId).toBe(keyId);
      shows(row, answer);
    },
  };
};

/** How each operators' route that changes something is made to change it. */
const made: Record<string, () => Promise<Made>> = {
  'create-product': async () => ({
    line: 'POST /products',
    sent: { json: { ...chair, sku: 'TABLE' } },
    shows: (row, { body }) => expect([row.subjectId, row.before, row.after]).toEqual([body.productId, null, body]),
  }),
  'update-product': async () => ({
    line: `PATCH /products/${productId}`,
    sent: { json: { name: 'Stool' } },
    shows: ({ subjectId, before, after }) => {
      expect([subjectId, before?.name, after?.name]).toEqual([productId, 'Chair', 'Stool']);
    },
  }),
  'add-picture': async () => {
    const productId = await givenProduct();
    return {
      line: `POST /products/${productId}/pictures`,
      sent: { json: picture },
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before, after]).toMatchObject([productId, null, { type: picture.type, alt: picture.alt }]);
      },
    };
  },
  'show-picture': async () => {
    const { productId, pictureId } = await givenPicture();
    return {
      line: `POST /products/${productId}/pictures/${pictureId}/shown`,
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before, after]).toMatchObject([productId, null, { pictureId, alt: picture.alt }]);
      },
    };
  },
  'remove-picture': async () => {
    const { productId, pictureId } = await givenPicture();
    return {
      line: `DELETE /products/${productId}/pictures/${pictureId}`,
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before, after]).toMatchObject([productId, { pictureId, alt: picture.alt }, null]);
      },
    };
  },
  'update-label': async () => {
    const label = { reference: newId(), metadata: { shelf: '7' } };
    return {
      line: `PATCH /ops/labels/product/${productId}`,
      sent: { json: label },
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before, after]).toEqual([productId, { reference: null, metadata: {} }, label]);
      },
    };
  },
  'import-products': async () => ({
    line: 'POST /products/import',
    sent: {
      text: 'sku,name,description,price_minor,currency\nCHAIR,Seat,,200,EUR\nLAMP,Lamp,,5,EUR\n',
      headers: { 'content-type': 'text/csv' },
    },
    shows: ({ asked, before, after }) => {
      expect(asked.body).toEqual({ bytes: 79, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
      expect(before).toMatchObject({ products: [{ sku: 'CHAIR', price: { amountMinor: 100 } }] });
      expect(after).toMatchObject({ products: [{ sku: 'CHAIR', price: { amountMinor: 200 } }, { sku: 'LAMP' }] });
    },
  }),
  'create-sale': async () => ({
    line: 'POST /sales',
    sent: { json: { ...sale, productId } },
    shows: (row, { body }) => expect([row.subjectId, row.before, row.after]).toEqual([body.saleId, null, body]),
  }),
  'update-sale': () =>
    ofSale('PATCH /sales/{saleId}', { capPerCustomer: 5 }, ({ before, after }) => {
      expect([before?.capPerCustomer, after?.capPerCustomer]).toEqual([10, 5]);
    }),
  'publish-sale': async () => {
    const draft = { ...sale, productId, publishAt: null };
    const { saleId } = (await api.call('POST /sales', { token: operator, json: draft })).body;
    return {
      line: `POST /sales/${saleId}/publish`,
      shows: ({ subjectId, before, after }, { body }) => {
        expect([subjectId, before?.publishAt, after]).toEqual([saleId, null, body]);
      },
    };
  },
  'pause-sale': () =>
    ofSale('POST /sales/{saleId}/pause', undefined, ({ before, after }) => {
      expect([before?.status, after?.status]).toEqual(['active', 'paused']);
    }),
  'resume-sale': () =>
    ofSale('POST /sales/{saleId}/resume', undefined, ({ before, after }) => {
      expect([before?.status, after?.status]).toEqual(['active', 'active']);
    }),
  'reschedule-sale': () =>
    ofSale('POST /sales/{saleId}/reschedule', { shiftSeconds: 60 }, ({ before, after }) => {
      expect(Date.parse(String(after?.purchaseClosesAt)) - Date.parse(String(before?.purchaseClosesAt))).toBe(60_000);
    }),
  'cancel-sale': () =>
    ofSale('POST /sales/{saleId}/cancel', { refunds: 'keep' }, ({ asked, before, after }) => {
      expect([before?.status, after?.status, asked.body]).toEqual(['active', 'cancelled', { refunds: 'keep' }]);
    }),
  'adjust-stock': () =>
    ofSale('POST /sales/{saleId}/stock', { units: 7 }, ({ before, after }) => {
      expect([before?.stock, after?.stock]).toMatchObject([{ allotment: 100 }, { allotment: 107 }]);
    }),
  'refund-purchase': async () => {
    const purchaseId = await givenPurchase('captured');
    return {
      line: `POST /purchases/${purchaseId}/refund`,
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before, after]).toMatchObject([
          purchaseId,
          { state: 'captured', refunds: [] },
          { state: 'refunding', refunds: [{ amountMinor: 1_000, state: 'pending' }] },
        ]);
      },
    };
  },
  'decide-dispute': async () => {
    const purchaseId = await givenPurchase('disputed');
    return {
      line: `POST /purchases/${purchaseId}/dispute`,
      sent: { json: { decision: 'refund' } },
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before?.state, after?.state]).toEqual([purchaseId, 'disputed', 'refunding']);
      },
    };
  },
  'grant-reservation': async () => {
    const saleId = await givenSale(deps, { allotment: 0, waitlistSize: 5 });
    const { message, messageId } = delivered(saleId, { quantity: 1 });
    await deps.db.change('UPDATE sales SET allotment = 1, allocated = 1 WHERE id = ?', [toBytes(saleId)]);
    await deliver(allocate, [{ messageId, body: JSON.stringify(message) }]);
    const { reservationId } = message;
    return {
      line: `POST /sales/${saleId}/grants`,
      sent: { json: { reservationId, reason: 'It was promised' } },
      shows: ({ subjectId, before, after }, { body }) => {
        expect([subjectId, before]).toEqual([reservationId, { state: 'waitlisted', quantity: 1 }]);
        expect(after).toEqual({ ...body, reason: 'It was promised' });
      },
    };
  },
  'set-role': async () => {
    const { customerId } = await api.customer();
    return {
      line: 'POST /ops/operators',
      sent: { json: { customerId, role: 'viewer' }, token: admin },
      shows: (row) => {
        expect([row.subjectId, row.before, row.after]).toEqual([customerId, { role: 'customer' }, { role: 'viewer' }]);
      },
    };
  },
  'set-external-id': async () => {
    const { customerId } = await api.customer();
    return {
      line: `POST /ops/customers/${customerId}/external-id`,
      sent: { json: { externalId: 'member-7' } },
      shows: (row) => {
        expect([row.subjectId, row.before, row.after]).toEqual([
          customerId,
          { externalId: null },
          { externalId: 'member-7' },
        ]);
      },
    };
  },
  'create-api-key': async () => ({
    line: 'POST /ops/api-keys',
    sent: { json: { name: 'Storefront', scopes: ['sales:read'], expiresInDays: 1 }, token: admin },
    shows: (row, { body: { key, ...shown } }) => {
      expect([row.subjectId, row.before, row.after]).toEqual([shown.keyId, null, shown]);
      expect(JSON.stringify(row)).not.toContain(key);
    },
  }),
  'rotate-api-key': () =>
    ofKey('POST', '/secret', (row, { body }) => {
      expect([row.before?.previousSecretUntil, row.after?.previousSecretUntil]).toEqual([
        null,
        body.previousSecretUntil,
      ]);
      expect(JSON.stringify(row)).not.toContain(body.key);
    }),
  'revoke-api-key': () =>
    ofKey('DELETE', '', ({ before, after }) => {
      expect([before?.state, after?.state]).toEqual(['active', 'revoked']);
    }),
  'create-webhook-endpoint': async () => ({
    line: 'POST /webhook-endpoints',
    sent: { json: { url: 'https://shop.example.com/holdfast', events: ['purchase.changed'] } },
    shows: (row, { body: { secret, ...shown } }) => {
      expect(secret).toMatch(/^whsec_/);
      expect([row.subjectId, row.before, row.after]).toEqual([shown.endpointId, null, shown]);
      expect(JSON.stringify(row)).not.toContain(secret);
    },
  }),
  'update-webhook-endpoint': () =>
    ofEndpoint('PATCH', '', { state: 'paused' }, ({ before, after }) => {
      expect([before?.state, after?.state]).toEqual(['active', 'paused']);
    }),
  'delete-webhook-endpoint': () =>
    ofEndpoint('DELETE', '', undefined, ({ before, after }) => {
      expect([before?.state, after]).toEqual(['active', null]);
    }),
  'rotate-webhook-secret': () =>
    ofEndpoint('POST', '/secret', { overlapSeconds: 60 }, (row, { body }) => {
      expect([row.before?.secretOverlapUntil, row.after?.secretOverlapUntil]).toEqual([null, body.secretOverlapUntil]);
      expect(JSON.stringify(row)).not.toContain(body.secret);
    }),
  'test-webhook-endpoint': () =>
    ofEndpoint('POST', '/test', undefined, ({ before, after }, { body }) => {
      expect([before, after]).toEqual([null, body]);
    }),
  'redeliver-webhook': async () => {
    const endpoint = await givenEndpoint();
    const { messageId } = (await api.call(`POST ${endpoint}/test`, { token: operator })).body;
    await deps.db.change("UPDATE webhook_deliveries SET state = 'failed' WHERE message_id = ?", [toBytes(messageId)]);
    return {
      line: `POST ${endpoint}/deliveries/${messageId}/redeliver`,
      shows: ({ subjectId, before, after }) => {
        expect([subjectId, before?.state, after?.state]).toEqual([endpoint.split('/').at(-1), 'failed', 'pending']);
      },
    };
  },
  'redeliver-webhooks': () =>
    ofEndpoint('POST', '/redeliveries', { since: '2026-01-31T18:00:00Z', scope: 'failed' }, (row, { body }) => {
      expect([row.before, row.after]).toEqual([null, body]);
    }),
  'redrive-dead-letters': async () => ({
    line: 'POST /ops/dead-letters/redrive',
    sent: { json: { queue: 'settle', messageIds: 'all' } },
    shows: ({ before }) => expect(before).toEqual({ queue: 'settle', deadLetters: 0 }),
  }),
  'reconcile-now': async () => ({
    line: 'POST /ops/reconcile',
    sent: { json: {} },
    shows: (row, { body }) => expect([row.subjectId, row.after]).toEqual([body.reconciliationId, body]),
  }),
};

/** The same call with another body, for each that takes one. */
const withJson = (json: object) => (sent: Sent) => ({ json: { ...(sent.json as object), ...json } });
const others: Record<string, (sent: Sent) => Partial<Sent>> = {
  'create-product': withJson({ sku: 'ANOTHER' }),
  'update-product': withJson({ name: 'Bench' }),
  'add-picture': withJson({ bytes: 65 }),
  'update-label': withJson({ metadata: {} }),
  'import-products': () => ({ text: 'sku,name,description,price_minor,currency\nLAMP,Lamp,,6,EUR\n' }),
  'create-sale': withJson({ name: 'Tables' }),
  'update-sale': withJson({ capPerCustomer: 6 }),
  'reschedule-sale': withJson({ shiftSeconds: 61 }),
  'cancel-sale': withJson({ refunds: 'refund' }),
  'adjust-stock': withJson({ units: 8 }),
  'refund-purchase': withJson({ amountMinor: 1 }),
  'decide-dispute': withJson({ decision: 'accept' }),
  'grant-reservation': withJson({ reason: 'Another reason' }),
  'set-role': withJson({ role: 'operator' }),
  'set-external-id': withJson({ externalId: 'member-8' }),
  'create-api-key': withJson({ name: 'Another' }),
  'rotate-api-key': withJson({ overlapSeconds: 60 }),
  'create-webhook-endpoint': withJson({ url: 'https://shop.example.com/another' }),
  'update-webhook-endpoint': withJson({ state: 'active' }),
  'rotate-webhook-secret': withJson({ overlapSeconds: 61 }),
  'redeliver-webhooks': withJson({ scope: 'all' }),
  'redrive-dead-letters': withJson({ queue: 'pay' }),
  'reconcile-now': withJson({ restored: true }),
};

/** The operators' routes that change something. */
const changing = Object.entries(routes)
  .filter(([, { auth, method }]) => !['none', 'customer'].includes(auth) && method !== 'GET')
  .map(([name]) => name);

describe('an operator’s act', () => {
  test('is known here for each route that changes something', () => {
    expect(Object.keys(made).sort()).toEqual([...changing].sort());
  });

  test.each(changing)('of %s leaves one row, and none more when it is repeated under its key', async (name) => {
    const { line, sent = {}, shows } = (await made[name]?.()) ?? { line: '', shows: () => undefined };
    const before = await count();
    const headers = { ...sent.headers, 'x-correlation-id': `of-${name}-1` };
    const token = sent.token ?? operator;
    const call = { ...sent, token, key: newId(), headers };
    const answer = await api.call(line, call);
    expect(answer.status).toBeLessThan(300);
    const [row] = await acts();
    expect(await count()).toBe(before + 1);
    expect(row).toMatchObject({
      operatorId: (await api.call('GET /me', { token })).body.customerId,
      correlationId: `of-${name}-1`,
      act: `${routes[name]?.method} ${routes[name]?.path}`,
    });
    if (sent.json) expect(row?.asked.body).toMatchObject(sent.json);
    if (row) shows(row, answer);
    for (const form of [call.key, `"${call.key}"`]) {
      const again = await api.call(line, { ...call, key: form });
      expect([again.status, again.text, again.headers['idempotent-replayed']]).toEqual([
        answer.status,
        answer.text,
        'true',
      ]);
    }
    expect(others[name] === undefined).toBe(routes[name]?.body === undefined);
    if (others[name]) {
      const reused = await api.call(line, { ...call, ...others[name](sent) });
      expect([reused.status, reused.body.code]).toEqual([422, 'idempotency_key_reused']);
    }
    expect(await count()).toBe(before + 1);
  });

  test('leaves a row also without a key', async () => {
    const saleId = await givenSale(deps);
    const before = await count();
    await api.call(`POST /sales/${saleId}/pause`, { token: operator });
    expect(await count()).toBe(before + 1);
  });

  test('leaves none when it is refused or only a preview', async () => {
    const saleId = await givenSale(deps);
    const before = await count();
    const refused = await api.call(`POST /sales/${saleId}/stock`, { json: { units: -1_000 }, token: operator });
    expect(refused.body.code).toBe('illegal_state');
    const preview = await api.call(`POST /sales/${saleId}/reschedule`, {
      json: { shiftSeconds: 60, dryRun: true },
      token: operator,
    });
    expect(preview.status).toBe(200);
    expect(await count()).toBe(before);
  });

  const actor = { operatorId: null, act: 'a test', asked: {} };
  const stockOf = async (saleId: SaleId) =>
    (await deps.db.rows<{ allotment: number }>('SELECT allotment FROM sales WHERE id = ?', [toBytes(saleId)]))[0];

  test('is not carried out if its row cannot be written', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const failing = withDeps(deps, { db: failingAt(deps.db, /operator_acts/, 'gone') });
    const adding = answerOnce(failing, undefined, actor, (keep) => adjustStock(failing, saleId, 100, keep));
    await expect(adding).rejects.toThrow('gone');
    expect(await stockOf(saleId)).toEqual({ allotment: 10 });
  });

  test('must say what it changed: an answer that was not kept is a fault', async () => {
    await expect(answerOnce(deps, undefined, actor, async () => ({ done: true }))).rejects.toThrow('without keeping');
  });
});

describe('the trail', () => {
  test.each([
    ['UPDATE operator_acts SET act = ?', 'never changed'],
    ['DELETE FROM operator_acts WHERE act <> ?', 'never deleted'],
  ])('is refused by the server itself: %s', async (statement, message) => {
    const before = await acts();
    expect(before.length).toBeGreaterThan(0);
    await expect(deps.db.change(statement, ['x'])).rejects.toThrow(message);
    expect(await acts()).toEqual(before);
  });

  test('is read in pages, of one operator or about one subject', async () => {
    const saleId = await givenSale(deps);
    const other = await api.operator();
    for (const token of [operator, other, operator]) {
      await api.call(`POST /sales/${saleId}/stock`, { json: { units: 1 }, token });
    }
    const about = await acts(`&subjectId=${saleId}`);
    expect(about.map((row) => row.after?.stock)).toMatchObject([
      { allotment: 103 },
      { allotment: 102 },
      { allotment: 101 },
    ]);
    const mine = await acts(`&subjectId=${saleId}&operatorId=${operatorId}`);
    expect(mine).toEqual([about[0], about[2]]);
    const pages: Act[] = [];
    let cursor = '';
    do {
      const { body } = await api.call(`GET /ops/acts?limit=2${cursor && `&cursor=${cursor}`}`, { token: operator });
      pages.push(...body.items);
      cursor = body.nextCursor ?? '';
    } while (cursor);
    expect(pages).toEqual(await acts());
    expect((await api.call('GET /ops/acts?cursor=xx', { token: operator })).body.code).toBe('unprocessable');
  });
});
