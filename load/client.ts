/**
 * The client of the API (`client/`) as everything that puts load on Holdfast uses it: over connections of its own, with each
 * attempt written down.
 *
 * Invariant: every attempt is in the clients' log with the time it was due, sent and answered, whatever its outcome, each
 * try of one call by itself. Only what the API documents is used; nothing is imported from the servers' side. Used by the
 * demo, the load scenarios and the chaos driver.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Agent, request as httpRequest } from 'node:http';
import {
  type Client,
  type components,
  createClient,
  dataOf,
  newKey,
  Problem,
  type Purchase,
  type PurchaseAccepted,
  type Reservation,
  type ReservationAccepted,
  type TokenSource,
} from '#client/index.ts';
import type { ClientLog, Facts, Operation, SaleAct } from './log.ts';
import { seenNotices, seenPurchase, seenReservation } from './seen.ts';

type Schemas = components['schemas'];
type Sale = Schemas['Sale'];
type Move = Schemas['Reschedule'];

/** What came back. Status 0 means that no answer came. */
export interface Answer<Body> {
  readonly status: number;
  /** The code of the problem, if it was one. */
  readonly code: string | undefined;
  /** The answer's body; only meaningful where the status says success. */
  readonly body: Body;
  /** How long the answer asks to wait before the call is repeated. */
  readonly retryAfterMs: number;
  /** When the last attempt was sent and answered. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

interface Credentials {
  readonly email: string;
  readonly password: string;
}

/** What goes out as it stands, so that garbage can be sent too. */
export interface Sending {
  method: string;
  path: string;
  token?: string | undefined;
  key?: string | undefined;
  body?: unknown;
  raw?: string;
  contentType?: string;
  headers?: Record<string, string>;
}

/** A call under way, as the log has it. */
interface Call {
  readonly op: Operation;
  readonly facts: Facts;
  learn(body: unknown): Facts;
  /** When its first attempt was due; none once that is sent. */
  dueMs: number | undefined;
  /** How and when the last attempt was answered. */
  status: number;
  sentMs: number;
  answeredMs: number;
}

interface ApiOptions {
  url: string;
  log: ClientLog;
  /** Bounds how many requests are on the wire at once; more wait for a connection. */
  connections?: number;
  /** How often a call is sent at most; as often as the client does, if not given. */
  tries?: number;
}

/** The time an answer may take; longer than the API's own limit. */
const answerMs = 30_000;
/** A token is renewed this long before it expires. */
const refreshEarlyMs = 60_000;
/** How often an operator's script asks before it gives up. */
const operatorTries = 10;
const unanswered = { status: 0, sentMs: 0, answeredMs: 0 };

/** The API at one address. */
export class Api {
  /** The client of somebody who is not signed in. */
  readonly anyone: Client;
  readonly #url: URL;
  readonly #log: ClientLog;
  readonly #tries: number | undefined;
  readonly #agent: Agent;
  /** The call that an attempt belongs to. */
  readonly #calls = new AsyncLocalStorage<Call>();

  constructor({ url, log, connections = 64, tries }: ApiOptions) {
    this.#url = new URL(url);
    this.#log = log;
    this.#tries = tries;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: 'lifo' });
    this.anyone = this.client(() => undefined);
  }

  /** A client whose calls are made within `call`. */
  client(token: TokenSource, tries = this.#tries): Client {
    return createClient({ api: this.#url.origin, token, tries, answerMs, fetch: (request) => this.#attempt(request) });
  }

  /**
   * Makes a call of a client, with each of its attempts in the log. A refusal is an answer, and so is none. `learn` adds what
   * a good answer said.
   */
  async call<Body>(
    op: Operation,
    make: () => Promise<Body>,
    { scheduledMs, ...facts }: Facts = {},
    learn: (body: Body) => Facts = () => ({}),
  ): Promise<Answer<Body>> {
    const call: Call = { op, facts, learn: learn as Call['learn'], dueMs: scheduledMs, ...unanswered };
    try {
      const body = await this.#calls.run(call, make);
      const { status, sentMs, answeredMs } = call;
      return { status, code: undefined, body, retryAfterMs: 0, sentMs, answeredMs };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { status, code, body, retryAfterMs } = error;
      return { status, code, body: body as Body, retryAfterMs, sentMs: call.sentMs, answeredMs: call.answeredMs };
    }
  }

  /**
   * Sends one request as it stands, which the client would not: garbage, a provider's webhook, and what asks for a single attempt.
   */
  send<Body>(op: Operation, sending: Sending, facts: Facts = {}, learn?: (body: Body) => Facts): Promise<Answer<Body>> {
    const { method, path, token, key, contentType = 'application/json' } = sending;
    const body = sending.raw ?? (sending.body === undefined ? undefined : JSON.stringify(sending.body));
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(body === undefined ? {} : { 'content-type': contentType }),
      ...sending.headers,
    };
    const init = { method, headers, signal: AbortSignal.timeout(answerMs), ...(body === undefined ? {} : { body }) };
    const make = async () => {
      const response = await this.#attempt(new Request(this.#url.origin + path, init)).catch((cause: unknown) => {
        throw Object.assign(new Problem(0, { code: 'unreachable' }), { cause });
      });
      const said = parsed(await response.text());
      if (!response.ok) throw new Problem(response.status, said);
      return said as Body;
    };
    return this.call<Body>(op, make, facts, learn);
  }

  /** Ends all connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** Sends a request once, and writes down what came of it. */
  async #attempt(request: Request): Promise<Response> {
    const call = this.#calls.getStore();
    if (!call) throw new Error(`${request.method} ${request.url} is not in the log`);
    const sentMs = Date.now();
    const scheduledMs = call.dueMs ?? sentMs;
    call.dueMs = undefined;
    const note = (status: number, code: string | undefined, learned: Facts) => {
      const answeredMs = Date.now();
      Object.assign(call, { status, sentMs, answeredMs });
      const key = request.headers.get('idempotency-key');
      this.#log.write({
        ...{ type: 'request', op: call.op, ...call.facts, ...(key === null ? {} : { key }) },
        ...{ scheduledMs, sentMs, answeredMs, status, ...(code === undefined ? {} : { code }), ...learned },
      });
    };
    const response = await this.#transport(request).catch((error: NodeJS.ErrnoException) => {
      note(0, error.code ?? error.message, {});
      throw error;
    });
    const said = parsed(response.text);
    if (response.status < 300) note(response.status, undefined, call.learn(said));
    else note(response.status, response.status < 400 ? undefined : String(said.code ?? ''), {});
    return new Response(response.text === '' ? null : response.text, response);
  }

  /** Less of a processor than `fetch`, and no more connections than it may have. */
  async #transport(request: Request): Promise<{ status: number; headers: [string, string][]; text: string }> {
    // A text goes out together with the headers; bytes would be written by themselves.
    const body = request.body === null ? undefined : await request.text();
    const { hostname: host, port } = this.#url;
    const { method, signal } = request;
    const path = request.url.slice(this.#url.origin.length);
    const headers = Object.fromEntries(request.headers);
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest({ agent: this.#agent, host, port, method, path, headers, signal }, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }
}

function parsed(text: string): { code?: string } {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** Whether a call is worth repeating: no answer came, or the answer says so. */
export function isWorthRepeating({ status }: Pick<Answer<unknown>, 'status'>): boolean {
  return status === 0 || status === 429 || status === 503;
}

/** A signed-in account. */
export class Account {
  readonly api: Api;
  readonly customerId: string;
  readonly #client: Client;
  readonly #credentials: Credentials;
  #session: Schemas['Session'];
  #expiresAtMs: number;
  #refreshing: Promise<void> | undefined;
  /** The status URL of each accepted request. */
  readonly #statusUrls = new Map<string, string>();

  private constructor(api: Api, credentials: Credentials, session: Schemas['Session']) {
    this.api = api;
    this.customerId = subjectOf(session.accessToken);
    this.#client = api.client(this.token);
    this.#credentials = credentials;
    this.#session = session;
    this.#expiresAtMs = Date.now() + session.expiresInSeconds * 1_000;
  }

  /** Registers, which signs in. Throws if that is refused for good. */
  static async register(api: Api, who: Credentials & { name: string }): Promise<Account> {
    const ask = () => dataOf(api.anyone.http.POST('/auth/register', { body: who }));
    return new Account(api, who, await insist(() => api.call('register', ask)));
  }

  /** Signs in. Throws if that is refused for good. */
  static async login(api: Api, { email, password }: Credentials): Promise<Account> {
    const body = { email, password };
    const ask = () => dataOf(api.anyone.http.POST('/auth/login', { body }));
    return new Account(api, body, await insist(() => api.call('login', ask)));
  }

  /** An access token that does not expire soon, and is not the one that was rejected. */
  readonly token = async (rejected?: string): Promise<string> => {
    if (rejected === this.#session.accessToken || Date.now() > this.#expiresAtMs - refreshEarlyMs) {
      this.#refreshing ??= this.#refresh().finally(() => {
        this.#refreshing = undefined;
      });
      await this.#refreshing;
    }
    return this.#session.accessToken;
  };

  /** Asks for units of a sale. */
  reserve(
    saleId: string,
    { quantity, atLeast, key, scheduledMs }: { quantity: number; atLeast: number; key: string; scheduledMs?: number },
  ): Promise<Answer<ReservationAccepted>> {
    const body = { quantity, ...(atLeast === quantity ? {} : { fill: { atLeast } }) };
    return this.api.call(
      'reserve',
      () => this.#client.reserve(saleId, body, { key }),
      { customerId: this.customerId, saleId, quantity, atLeast, ...(scheduledMs === undefined ? {} : { scheduledMs }) },
      ({ reservationId, ticket, position, statusUrl }) => {
        this.#statusUrls.set(reservationId, statusUrl);
        return { reservationId, ticket, position };
      },
    );
  }

  /** The state of one reservation. */
  reservation(reservationId: string): Promise<Answer<Reservation>> {
    return this.#reservation('reservation', 'GET', reservationId);
  }

  /** Gives a reservation back. */
  cancel(reservationId: string): Promise<Answer<Reservation>> {
    return this.#reservation('cancel', 'DELETE', reservationId);
  }

  #reservation(op: Operation, method: string, reservationId: string): Promise<Answer<Reservation>> {
    const url = this.#statusUrls.get(reservationId) ?? `/reservations/${reservationId}`;
    return this.api.call(
      op,
      async () => (await (await this.#client.send(url, { method })).json()) as Reservation,
      { customerId: this.customerId, reservationId },
      (view) => ({ reservations: [seenReservation(view)] }),
    );
  }

  /** All decided reservations of this customer, or undefined if a page did not come. */
  async reservations(): Promise<Reservation[] | undefined> {
    const all: Reservation[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = { limit: 100, ...(cursor === '' ? {} : { cursor }) };
      const page: Answer<Schemas['ReservationPage']> = await this.api.call(
        'reservations',
        () => dataOf(this.#client.http.GET('/reservations', { params: { query } })),
        { customerId: this.customerId },
        ({ items }) => ({ reservations: items.map(seenReservation) }),
      );
      if (page.status !== 200) return undefined;
      all.push(...page.body.items);
      cursor = page.body.nextCursor;
    }
    return all;
  }

  /** Buys reservations, all with one payment. */
  buy(reservationIds: string[], paymentToken: string, key: string): Promise<Answer<PurchaseAccepted>> {
    return this.api.call(
      'buy',
      () => this.#client.buy({ reservationIds, paymentToken }, { key }),
      { customerId: this.customerId, reservationIds },
      ({ purchaseId, amount }) => ({ purchaseId, ...amount }),
    );
  }

  /** Follows a payment until it is known what became of it. Rejects with the reason of the signal. */
  paid(purchaseId: string, signal: AbortSignal): Promise<Answer<Purchase>> {
    return this.api.call(
      'purchase',
      () => this.#client.waitForPayment({ purchaseId }, { signal }),
      { customerId: this.customerId, purchaseId },
      (view) => ({ purchases: [seenPurchase(view)] }),
    );
  }

  /** The latest notifications. */
  notifications(): Promise<Answer<Schemas['NotificationPage']>> {
    return this.api.call(
      'notifications',
      () => dataOf(this.#client.http.GET('/notifications', { params: { query: { limit: 100 } } })),
      { customerId: this.customerId },
      ({ items }) => ({ notices: seenNotices(items) }),
    );
  }

  /** Renews the session. If it has ended, as after a renewal whose answer was lost, signs in again. */
  async #refresh(): Promise<void> {
    const { api } = this;
    const { http } = api.anyone;
    const { refreshToken } = this.#session;
    const { email, password } = this.#credentials;
    let answer = await api.call('refresh', () => dataOf(http.POST('/auth/refresh', { body: { refreshToken } })));
    if (answer.status === 401) {
      answer = await api.call('login', () => dataOf(http.POST('/auth/login', { body: { email, password } })));
    }
    if (answer.status !== 200) throw new Error(`the session could not be renewed: ${answer.status} ${answer.code}`);
    this.#session = answer.body;
    this.#expiresAtMs = Date.now() + answer.body.expiresInSeconds * 1_000;
  }
}

/** An operator signed in. Each call throws unless it succeeds: an operator's script has no use for a refusal. */
export class Operator {
  readonly #account: Account;
  readonly #client: Client;

  constructor(account: Account) {
    this.#account = account;
    this.#client = account.api.client(account.token, operatorTries);
  }

  /** Imports products from CSV text. */
  importProducts(csv: string): Promise<Schemas['Imported']> {
    const headers = { 'content-type': 'text/csv' };
    const call = { headers, body: csv, bodySerializer: (text: string) => text };
    return this.#do(() => dataOf(this.#client.http.POST('/products/import', call)));
  }

  /** All products, newest first. */
  async products(): Promise<Schemas['Product'][]> {
    const params = { query: { limit: 100 } };
    return (await this.#do(() => dataOf(this.#client.http.GET('/products', { params })))).items;
  }

  createSale(sale: Schemas['NewSale']): Promise<Sale> {
    return this.#act(
      'create',
      () => dataOf(this.#client.http.POST('/sales', { body: sale })),
      (view) => view,
    );
  }

  /** Pauses a sale: its clock stands still. */
  pauseSale(saleId: string): Promise<Sale> {
    const params = { path: { saleId } };
    return this.#act(
      'pause',
      () => dataOf(this.#client.http.POST('/sales/{saleId}/pause', { params })),
      (view) => view,
    );
  }

  /** Resumes a sale; the time of the pause is given back. */
  resumeSale(saleId: string): Promise<Sale> {
    const params = { path: { saleId } };
    return this.#act(
      'resume',
      () => dataOf(this.#client.http.POST('/sales/{saleId}/resume', { params })),
      (view) => view,
    );
  }

  /** Previews moving a sale; nothing is changed. */
  previewReschedule(saleId: string, move: Move): Promise<Schemas['Rescheduled']> {
    return this.#do(this.#moving(saleId, { ...move, dryRun: true }));
  }

  /** Moves a sale. */
  rescheduleSale(saleId: string, move: Move): Promise<Schemas['Rescheduled']> {
    return this.#act('reschedule', this.#moving(saleId, move), ({ sale }) => sale);
  }

  /** Moves a sale when that must be refused; returns the code of the refusal, or undefined if the move was made. */
  async tryToReschedule(saleId: string, move: Move): Promise<string | undefined> {
    return (await this.#account.api.call('operator', this.#moving(saleId, move), { saleId })).code;
  }

  #moving(saleId: string, body: Move) {
    const params = { path: { saleId } };
    return () => dataOf(this.#client.http.POST('/sales/{saleId}/reschedule', { params, body }));
  }

  /** Calls a sale off, with refunds. */
  cancelSale(saleId: string): Promise<Sale> {
    const call = { params: { path: { saleId } }, body: { refunds: 'refund' } } as const;
    return this.#act(
      'cancel',
      () => dataOf(this.#client.http.POST('/sales/{saleId}/cancel', call)),
      (view) => view,
    );
  }

  cancellation(saleId: string): Promise<Schemas['SaleCancellation']> {
    const params = { path: { saleId } };
    return this.#do(() => dataOf(this.#client.http.GET('/ops/sales/{saleId}/cancellation', { params })));
  }

  adjustStock(saleId: string, units: number): Promise<Sale> {
    const call = { params: { path: { saleId } }, body: { units } };
    return this.#do(() => dataOf(this.#client.http.POST('/sales/{saleId}/stock', call)));
  }

  /** Orders a refund: of all that is left, or under a key of a part. */
  refund(purchaseId: string, part?: { key: string; amountMinor: number }): Promise<PurchaseAccepted> {
    const { key = newKey(), ...body } = part ?? {};
    const params = { path: { purchaseId }, header: { 'Idempotency-Key': key } };
    const call = { params, ...(part ? { body } : {}) };
    return this.#do(() => dataOf(this.#client.http.POST('/purchases/{purchaseId}/refund', call)), 'refund', {
      purchaseId,
    });
  }

  /** Changes the terms of a sale, once however often it has to be repeated, and logs the new ones. */
  #act<Body>(act: SaleAct, make: () => Promise<Body>, saleOf: (body: Body) => Sale): Promise<Body> {
    return this.#do(make, 'operator', { act, firstSentMs: Date.now() }, (answered) => {
      const { saleId, stock, status, pausedAt, clockStandsAt, ...sale } = saleOf(answered);
      const { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt } = sale;
      const times = { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt };
      return { saleId, terms: { version: stock.version, status, pausedAt, clockStandsAt, ...times } };
    });
  }

  async #do<Body>(
    make: () => Promise<Body>,
    op: Operation = 'operator',
    facts: Facts = {},
    learn?: (body: Body) => Facts,
  ): Promise<Body> {
    return bodyOf(await this.#account.api.call(op, make, facts, learn));
  }
}

/** The live stock of a sale, for anyone. */
export function readSale(api: Api, saleId: string): Promise<Answer<Sale>> {
  const params = { path: { saleId } };
  const ask = () => dataOf(api.anyone.http.GET('/sales/{saleId}', { params }));
  return api.call('sale', ask, { saleId }, ({ stock }) => ({ stocks: [{ saleId, ...stock }] }));
}

/** Repeats a call that is refused for now for longer than the client does; each time it is meant anew. */
async function insist<Body>(attempt: () => Promise<Answer<Body>>): Promise<Body> {
  for (let tries = 1; ; tries++) {
    const answer = await attempt();
    if (tries >= 10 || !isWorthRepeating(answer)) return bodyOf(answer);
    await new Promise((resolve) => setTimeout(resolve, answer.retryAfterMs || 250));
  }
}

/** What a good answer says; throws what another one does. */
function bodyOf<Body>({ status, code, body }: Answer<Body>): Body {
  if (code !== undefined) throw new Error(`the API answered ${status} ${code}: ${JSON.stringify(body)}`);
  return body;
}

/** The customer id in an access token. It is not verified: nothing is granted by it on this side. */
function subjectOf(accessToken: string): string {
  const payload = Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString('utf8');
  return String((JSON.parse(payload) as { sub: unknown }).sub);
}
