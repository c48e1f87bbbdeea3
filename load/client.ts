/**
 * A client of the public API, as a shop's app would be one, that writes down everything it does.
 *
 * Invariant: every attempt is in the clients' log with the time it was due, sent and answered, whatever its outcome.
 * Only what the API documents is used; nothing is imported from the servers' side. Used by the demo, the load scenarios
 * and the chaos driver.
 */
import { randomUUID } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type {
  ClientLog,
  Facts,
  Operation,
  SaleAct,
  SeenNotice,
  SeenPurchase,
  SeenReservation,
  SeenStock,
  SeenTerms,
} from './log.ts';

/** What came back. Status 0 means that no answer came; `code` then names the error of the connection. */
export interface Answer<Body> {
  readonly status: number;
  readonly code: string | undefined;
  /** The answer's body; only meaningful where the status says success. */
  readonly body: Body;
  readonly headers: IncomingHttpHeaders;
  readonly scheduledMs: number;
  readonly sentMs: number;
  readonly answeredMs: number;
}

export interface Money {
  amountMinor: number;
  currency: string;
}

export interface ReservationView extends SeenReservation {
  saleId: string;
  quantity: number;
  ticket: number | null;
  position: number | null;
  reason: string | null;
  deadline: string | null;
  purchaseId: string | null;
}

export interface ReservationAccepted {
  reservationId: string;
  state: string;
  ticket: number | null;
  position: number | null;
  statusUrl: string;
}

export interface PurchaseView {
  purchaseId: string;
  state: string;
  amount: Money;
  reason?: string | null;
}

export interface SaleView extends Omit<SeenTerms, 'version'> {
  saleId: string;
  name: string;
  phase: string;
  price: Money;
  stock: Omit<SeenStock, 'saleId'>;
}

export interface ProductView {
  productId: string;
  sku: string;
  name: string;
  price: Money;
}

export interface NewSale {
  productId: string;
  name: string;
  allotment: number;
  capPerCustomer: number;
  waitlistSize: number;
  offerLifeSeconds: number;
  reserveOpensAt: string;
  reserveClosesAt: string;
  purchaseOpensAt: string;
  purchaseClosesAt: string;
}

/** The effects of a move of a sale, or of its preview. */
export interface Rescheduled {
  sale: SaleView;
  dangers: string[];
  concerned: { holding: number; offered: number; waiting: number; shortened: number };
  confirmation: string | null;
}

/** How far the cancellation of a sale has come. */
export interface CancellationView {
  done: boolean;
  reservations: Record<string, number>;
  refundsByState: Record<string, { refunds: number; amountMinor: number }>;
  currency: string;
}

interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

interface Credentials {
  readonly email: string;
  readonly password: string;
}

interface Session {
  accessToken: string;
  expiresInSeconds: number;
  refreshToken: string;
}

/** What goes out. `raw` is sent as it stands, so that garbage can be sent too. */
export interface Sending {
  method: string;
  path: string;
  token?: string | undefined;
  key?: string | undefined;
  body?: unknown;
  raw?: string | Buffer;
  contentType?: string;
  headers?: Record<string, string>;
  /** When it should have been sent; now, if not given. */
  scheduledMs?: number | undefined;
}

/** The timeout of a request; longer than the API's own limit. */
const answerTimeoutMs = 30_000;
/** A token is renewed this long before it expires. */
const refreshEarlyMs = 60_000;

/** The API at one address. */
export class Api {
  readonly #url: URL;
  readonly #log: ClientLog;
  readonly #agent: Agent;

  /** `connections` bounds how many requests are on the wire at once; more wait for a connection. */
  constructor(options: { url: string; log: ClientLog; connections?: number }) {
    this.#url = new URL(options.url);
    this.#log = options.log;
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.connections ?? 64, scheduling: 'lifo' });
  }

  /** Sends one request and logs it. Never throws: no answer is an answer too. `learn` adds what the answer said. */
  async send<Body>(
    op: Operation,
    sending: Sending,
    facts: Facts = {},
    learn: (body: Body) => Facts = () => ({}),
  ): Promise<Answer<Body>> {
    const answer = await this.#attempt<Body>(sending);
    const learned = answer.status >= 200 && answer.status < 300 ? learn(answer.body) : {};
    this.#log.write({
      type: 'request',
      op,
      ...facts,
      ...(sending.key === undefined ? {} : { key: sending.key }),
      scheduledMs: answer.scheduledMs,
      sentMs: answer.sentMs,
      answeredMs: answer.answeredMs,
      status: answer.status,
      ...(answer.code === undefined ? {} : { code: answer.code }),
      ...learned,
    });
    return answer;
  }

  /** Ends all connections. */
  close(): void {
    this.#agent.destroy();
  }

  #attempt<Body>(sending: Sending): Promise<Answer<Body>> {
    const sentMs = Date.now();
    const scheduledMs = sending.scheduledMs ?? sentMs;
    const { body, contentType } = bodyOf(sending);
    return new Promise((resolve) => {
      const done = (status: number, code: string | undefined, parsed: unknown, headers: IncomingHttpHeaders = {}) =>
        resolve({ status, code, body: parsed as Body, headers, scheduledMs, sentMs, answeredMs: Date.now() });
      const outgoing = httpRequest(
        {
          agent: this.#agent,
          host: this.#url.hostname,
          port: this.#url.port,
          method: sending.method,
          path: sending.path,
          headers: {
            ...(sending.token === undefined ? {} : { authorization: `Bearer ${sending.token}` }),
            ...(sending.key === undefined ? {} : { 'idempotency-key': sending.key }),
            ...(body === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }),
            ...sending.headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', (error: NodeJS.ErrnoException) => done(0, error.code ?? error.message, undefined));
          incoming.on('end', () => {
            const parsed = parse(Buffer.concat(chunks).toString('utf8'));
            const status = incoming.statusCode ?? 0;
            const code = status >= 400 ? String((parsed as { code?: unknown } | undefined)?.code ?? '') : undefined;
            done(status, code, parsed, incoming.headers);
          });
        },
      );
      outgoing.setTimeout(answerTimeoutMs, () => outgoing.destroy(new Error('no answer in time')));
      outgoing.on('error', (error: NodeJS.ErrnoException) => done(0, error.code ?? error.message, undefined));
      outgoing.end(body);
    });
  }
}

function bodyOf(sending: Sending): { body: string | Buffer | undefined; contentType: string } {
  const contentType = sending.contentType ?? 'application/json';
  if (sending.raw !== undefined) return { body: sending.raw, contentType };
  return { body: sending.body === undefined ? undefined : JSON.stringify(sending.body), contentType };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether the request is retryable: no answer came, or the answer says so. */
export function isWorthRepeating({ status }: Pick<Answer<unknown>, 'status'>): boolean {
  return status === 0 || status === 429 || status === 503;
}

/** How long an answer asks to wait before the request is repeated, in milliseconds. */
export function retryAfterMs({ headers }: Pick<Answer<unknown>, 'headers'>): number {
  const seconds = Number(headers['retry-after']);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 250;
}

/** A signed-in account. */
export class Account {
  readonly api: Api;
  readonly customerId: string;
  readonly #credentials: Credentials;
  #session: Session;
  #expiresAtMs: number;
  #refreshing: Promise<void> | undefined;
  /** The status URL of each accepted request. */
  readonly #statusUrls = new Map<string, string>();

  private constructor(api: Api, credentials: Credentials, session: Session) {
    this.api = api;
    this.customerId = subjectOf(session.accessToken);
    this.#credentials = credentials;
    this.#session = session;
    this.#expiresAtMs = Date.now() + session.expiresInSeconds * 1_000;
  }

  /** Registers, which signs in. Throws if that is refused for good. */
  static async register(api: Api, who: { email: string; password: string; name: string }): Promise<Account> {
    const { body: session } = await insist('register', () =>
      api.send<Session>('register', { method: 'POST', path: '/auth/register', body: who }),
    );
    return new Account(api, { email: who.email, password: who.password }, session);
  }

  /** Signs in. Throws if that is refused for good. */
  static async login(api: Api, { email, password }: Credentials): Promise<Account> {
    const body = { email, password };
    const { body: session } = await insist('login', () =>
      api.send<Session>('login', { method: 'POST', path: '/auth/login', body }),
    );
    return new Account(api, body, session);
  }

  /** An access token that does not expire soon. */
  async token(): Promise<string> {
    if (Date.now() > this.#expiresAtMs - refreshEarlyMs) {
      this.#refreshing ??= this.#refresh().finally(() => {
        this.#refreshing = undefined;
      });
      await this.#refreshing;
    }
    return this.#session.accessToken;
  }

  /** Asks for units of a sale. */
  async reserve(
    saleId: string,
    wish: { quantity: number; atLeast: number; key: string; scheduledMs?: number },
  ): Promise<Answer<ReservationAccepted>> {
    const { quantity, atLeast, key, scheduledMs } = wish;
    const body = { quantity, ...(atLeast === quantity ? {} : { fill: { atLeast } }) };
    return this.api.send<ReservationAccepted>(
      'reserve',
      { method: 'POST', path: `/sales/${saleId}/reservations`, token: await this.token(), key, body, scheduledMs },
      { customerId: this.customerId, saleId, quantity, atLeast },
      ({ reservationId, ticket, position, statusUrl }) => {
        this.#statusUrls.set(reservationId, statusUrl);
        return { reservationId, ticket, position };
      },
    );
  }

  #urlOf(reservationId: string): string {
    return this.#statusUrls.get(reservationId) ?? `/reservations/${reservationId}`;
  }

  /** The state of one reservation. */
  async reservation(reservationId: string): Promise<Answer<ReservationView>> {
    return this.api.send<ReservationView>(
      'reservation',
      { method: 'GET', path: this.#urlOf(reservationId), token: await this.token() },
      { customerId: this.customerId, reservationId },
      (view) => ({ reservations: [seenReservation(view)] }),
    );
  }

  /** All decided reservations of this customer, or undefined if a page did not come. */
  async reservations(): Promise<ReservationView[] | undefined> {
    const all: ReservationView[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const path: string = `/reservations?limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
      const page: Answer<Page<ReservationView>> = await this.api.send<Page<ReservationView>>(
        'reservations',
        { method: 'GET', path, token: await this.token() },
        { customerId: this.customerId },
        ({ items }) => ({ reservations: items.map(seenReservation) }),
      );
      if (page.status !== 200) return undefined;
      all.push(...page.body.items);
      cursor = page.body.nextCursor;
    }
    return all;
  }

  /** Gives a reservation back. */
  async cancel(reservationId: string): Promise<Answer<ReservationView>> {
    return this.api.send<ReservationView>(
      'cancel',
      { method: 'DELETE', path: this.#urlOf(reservationId), token: await this.token() },
      { customerId: this.customerId, reservationId },
      (view) => ({ reservations: [seenReservation(view)] }),
    );
  }

  /** Buys reservations, all with one payment. */
  async buy(reservationIds: string[], paymentToken: string, key: string): Promise<Answer<PurchaseView>> {
    return this.api.send<PurchaseView>(
      'buy',
      {
        method: 'POST',
        path: '/purchases',
        token: await this.token(),
        key,
        body: { reservationIds, paymentToken },
      },
      { customerId: this.customerId, reservationIds },
      ({ purchaseId, amount }) => ({ purchaseId, ...amount }),
    );
  }

  /** The state of a purchase. */
  async purchase(purchaseId: string): Promise<Answer<PurchaseView>> {
    return this.api.send<PurchaseView>(
      'purchase',
      { method: 'GET', path: `/purchases/${purchaseId}`, token: await this.token() },
      { customerId: this.customerId, purchaseId },
      (view) => ({ purchases: [seenPurchase(view)] }),
    );
  }

  /** The latest notifications. */
  async notifications(): Promise<Answer<Page<SeenNotice> & { unread: number }>> {
    return this.api.send<Page<SeenNotice> & { unread: number }>(
      'notifications',
      { method: 'GET', path: '/notifications?limit=100', token: await this.token() },
      { customerId: this.customerId },
      ({ items }) => ({
        notices: items.map(({ notificationId, subjectId, version, kind }) => ({
          notificationId,
          subjectId,
          version,
          kind,
        })),
      }),
    );
  }

  /** Renews the session. If it has ended, as after a renewal whose answer was lost, signs in again. */
  async #refresh(): Promise<void> {
    const body = { refreshToken: this.#session.refreshToken };
    let answer = await this.api.send<Session>('refresh', { method: 'POST', path: '/auth/refresh', body });
    if (answer.status === 401) {
      answer = await this.api.send<Session>('login', { method: 'POST', path: '/auth/login', body: this.#credentials });
    }
    if (answer.status !== 200) throw new Error(`the session could not be renewed: ${answer.status} ${answer.code}`);
    this.#session = answer.body;
    this.#expiresAtMs = Date.now() + answer.body.expiresInSeconds * 1_000;
  }
}

/** An operator signed in. Each call throws unless it succeeds: an operator's script has no use for a refusal. */
export class Operator {
  readonly #account: Account;

  constructor(account: Account) {
    this.#account = account;
  }

  /** Imports products from CSV text. */
  importProducts(csv: string): Promise<{ created: number; updated: number }> {
    return this.#do('POST', '/products/import', { raw: csv, contentType: 'text/csv' });
  }

  /** All products, newest first. */
  async products(): Promise<ProductView[]> {
    return (await this.#do<Page<ProductView>>('GET', '/products?limit=100')).items;
  }

  createSale(sale: NewSale): Promise<SaleView> {
    return this.#act('create', '/sales', sale, (view) => view);
  }

  /** Pauses a sale: its clock stands still. */
  pauseSale(saleId: string): Promise<SaleView> {
    return this.#act('pause', `/sales/${saleId}/pause`, undefined, (view) => view);
  }

  /** Resumes a sale; the time of the pause is given back. */
  resumeSale(saleId: string): Promise<SaleView> {
    return this.#act('resume', `/sales/${saleId}/resume`, undefined, (view) => view);
  }

  /** Previews moving a sale; nothing is changed. */
  previewReschedule(saleId: string, move: object): Promise<Rescheduled> {
    return this.#do('POST', `/sales/${saleId}/reschedule`, { body: { ...move, dryRun: true } });
  }

  /** Moves a sale. */
  rescheduleSale(saleId: string, move: object): Promise<Rescheduled> {
    return this.#act('reschedule', `/sales/${saleId}/reschedule`, move, ({ sale }) => sale);
  }

  /** Moves a sale when that must be refused; returns the code of the refusal, or undefined if the move was made. */
  async tryToReschedule(saleId: string, move: object): Promise<string | undefined> {
    const { api } = this.#account;
    const sending = { method: 'POST', path: `/sales/${saleId}/reschedule`, body: move };
    return (await api.send('operator', { ...sending, token: await this.#account.token() }, { saleId })).code;
  }

  /** Calls a sale off, with refunds. */
  cancelSale(saleId: string): Promise<SaleView> {
    return this.#act('cancel', `/sales/${saleId}/cancel`, { refunds: 'refund' }, (view) => view);
  }

  cancellation(saleId: string): Promise<CancellationView> {
    return this.#do('GET', `/ops/sales/${saleId}/cancellation`);
  }

  adjustStock(saleId: string, units: number): Promise<SaleView> {
    return this.#do('POST', `/sales/${saleId}/stock`, { body: { units } });
  }

  /** Orders a refund: of all that is left, or under a key of a part. */
  refund(purchaseId: string, part?: { key: string; amountMinor: number }): Promise<PurchaseView> {
    const { key, ...body } = part ?? {};
    const sending = part ? { key, body } : {};
    return this.#do('POST', `/purchases/${purchaseId}/refund`, sending, 'refund', { purchaseId });
  }

  /** Changes the terms of a sale, once however often it has to be repeated, and logs the new ones. */
  #act<Body>(act: SaleAct, path: string, body: object | undefined, saleOf: (body: Body) => SaleView): Promise<Body> {
    const learn = (answered: Body): Facts => {
      const { saleId, stock, status, pausedAt, clockStandsAt, ...sale } = saleOf(answered);
      const { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt } = sale;
      const times = { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt };
      return { saleId, terms: { version: stock.version, status, pausedAt, clockStandsAt, ...times } };
    };
    const sending = { key: randomUUID(), ...(body === undefined ? {} : { body }) };
    return this.#do('POST', path, sending, 'operator', { act, firstSentMs: Date.now() }, learn);
  }

  async #do<Body>(
    method: string,
    path: string,
    sending: Pick<Sending, 'body' | 'raw' | 'contentType' | 'key'> = {},
    op: Operation = 'operator',
    facts: Facts = {},
    learn?: (body: Body) => Facts,
  ): Promise<Body> {
    const { api } = this.#account;
    const token = await this.#account.token();
    const { body } = await insist(`${method} ${path}`, () =>
      api.send<Body>(op, { method, path, token, ...sending }, facts, learn),
    );
    return body;
  }
}

/** The live stock of a sale, for anyone. */
export function readSale(api: Api, saleId: string): Promise<Answer<SaleView>> {
  return api.send<SaleView>('sale', { method: 'GET', path: `/sales/${saleId}` }, { saleId }, ({ stock }) => ({
    stocks: [{ saleId, ...stock }],
  }));
}

/** Repeats a request while it is retryable, and throws unless it succeeds in the end. */
async function insist<Body>(what: string, attempt: () => Promise<Answer<Body>>): Promise<Answer<Body>> {
  for (let tries = 1; ; tries++) {
    const answer = await attempt();
    if (answer.status >= 200 && answer.status < 300) return answer;
    if (tries >= 10 || !isWorthRepeating(answer)) {
      throw new Error(`${what} was answered ${answer.status} ${answer.code ?? ''}: ${JSON.stringify(answer.body)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs(answer)));
  }
}

function seenReservation({ reservationId, state, version, units }: SeenReservation): SeenReservation {
  return { reservationId, state, version, units };
}

function seenPurchase({ purchaseId, state, amount }: PurchaseView): SeenPurchase {
  return { purchaseId, state, ...amount };
}

/** The customer id in an access token. It is not verified: nothing is granted by it on this side. */
function subjectOf(accessToken: string): string {
  const payload = Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString('utf8');
  return String((JSON.parse(payload) as { sub: unknown }).sub);
}
