/**
 * The sandbox payment provider, over HTTP:
 *
 *   POST /v1/charges                {amountMinor, currency, token, reference}, with Idempotency-Key
 *                                     201 {id, status: captured | declined | requires_action, declineCode?,
 *                                     action?: {url, expiresAt}, …}; tokens in tokens.ts
 *   GET  /v1/charges/{key or id}      200 the charge, 404 if there is none
 *   POST /v1/charges/{key or id}/cancel  {reason?}: stops what waits for the customer
 *                                     200 the charge as it is now, stopped or not; 404 if there is none
 *   GET  /v1/charges?reference=R      200 {charges: […]}, 404 if there are none
 *   POST /v1/charges/{id}/refunds     {amountMinor?}, with Idempotency-Key; without an amount, all that is left
 *                                     201 {id, chargeId, amountMinor, status: refunded, …}; again answers the same
 *   GET  /v1/ledger                   200 {charges: […], refunds: […]}, everything, for a verifier
 *   GET | POST /actions/{action key}  the page on which a customer confirms or refuses (decision=confirm | refuse)
 *   GET  /health                      200 {status: ok}
 *   GET | POST | DELETE /_faults      the faults of this instance (faults.ts)
 *
 * All of /v1 needs `Authorization: Bearer <api key>`. Errors are {error: {code, message}}. The same key with the same
 * body answers the same, with `idempotent-replayed: true`; with another body it is 422.
 *
 * Invariants: what is answered is committed first; several instances on one data directory never charge a key twice.
 * A 404 to a query means "not charged yet": a request still on its way may yet be made. Webhooks are in webhooks.ts.
 * Started by main.ts, by the local stack and by tests.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { BodyTooLarge, readBody, sendJson, serveHttp } from '../service/http.ts';
import { actionPage } from './action-page.ts';
import { type FaultSettings, Faults } from './faults.ts';
import { type Charge, type Decision, Ledger, type PendingCharge, type Recorded, type RefundRefusal } from './ledger.ts';
import { verdictOn } from './tokens.ts';
import { WebhookSender } from './webhooks.ts';

export interface ProviderOptions {
  /** 0, the default, takes any free port. */
  port?: number;
  apiKey: string;
  /** Where the ledger is; instances that share it share everything. Absent means in memory. */
  dataDir?: string;
  /** Where webhooks go; absent means none are sent. */
  webhookUrl?: string;
  /** `whsec_` and base64; needed with webhookUrl. */
  webhookSecret?: string;
  faults?: Partial<FaultSettings>;
  now?: () => number;
  log?: (message: string) => void;
}

export interface Provider {
  url: string;
  port: number;
  stop(): Promise<void>;
}

const bodyLimitBytes = 16 * 1024;

const ChargeRequest = z.strictObject({
  amountMinor: z.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be a code of three capital letters'),
  token: z.string().min(1).max(200),
  reference: z.string().min(1).max(255),
});
const CancelRequest = z.strictObject({
  reason: z
    .string()
    .regex(/^[a-z_]{1,60}$/)
    .default('cancelled'),
});
const RefundRequest = z.strictObject({ amountMinor: z.number().int().positive().optional() });
const maxKeyLength = 255;

/** An answer that is not a success. */
class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Context {
  ledger: Ledger;
  faults: Faults;
  webhooks?: WebhookSender;
  /** The address of this instance. */
  url: string;
  now: () => number;
  /** Ends every wait when the server stops. */
  stopping: AbortSignal;
}

interface Answer {
  status: number;
  body: unknown;
  replayed?: boolean;
  /** Wait before the answer; the effect is already committed. */
  afterMs?: number;
  /** Cut the connection instead of answering. */
  lost?: boolean;
  /** For people: the body is a page. */
  isPage?: boolean;
}

/** Starts an instance; resolves when it is ready. Rejects if the port or the data directory is not available. */
export async function startProvider(options: ProviderOptions): Promise<Provider> {
  if (options.apiKey === '') throw new Error('The provider needs an API key.');
  if (options.webhookUrl !== undefined && !options.webhookSecret) {
    throw new Error('A webhook URL needs a webhook secret.');
  }
  const now = options.now ?? Date.now;
  const log = options.log ?? ((message: string) => process.stderr.write(`provider: ${message}\n`));
  const faults = new Faults(options.faults);
  const ledger = new Ledger({ dataDir: options.dataDir, tellsWebhooks: options.webhookUrl !== undefined, now });
  const { webhookUrl: url, webhookSecret: secret } = options;
  const webhooks = url && secret ? new WebhookSender({ ledger, faults, url, secret, now, log }) : undefined;
  const stopping = new AbortController();
  const context: Context = { ledger, faults, webhooks, url: '', now, stopping: stopping.signal };
  const expected = digest(`Bearer ${options.apiKey}`);
  const running = new Set<Promise<void>>();

  const http = await serveHttp((request, response) => {
    const handling = handle(context, expected, request, response)
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) log(String(error));
        response.destroy();
      })
      .finally(() => running.delete(handling));
    running.add(handling);
  }, options.port ?? 0).catch((error: unknown) => {
    ledger.close();
    throw error;
  });
  context.url = http.url;
  webhooks?.start();

  return {
    url: http.url,
    port: http.port,
    async stop() {
      stopping.abort();
      await http.close();
      await webhooks?.stop();
      await Promise.all(running);
      ledger.close();
    },
  };
}

async function handle(context: Context, expected: Buffer, request: IncomingMessage, response: ServerResponse) {
  let answer: Answer;
  try {
    const body = await readBody(request, bodyLimitBytes);
    answer = await route(context, expected, request, body);
  } catch (error) {
    if (context.stopping.aborted) throw error;
    answer = refusalOf(error);
  }
  if (answer.afterMs) await sleep(answer.afterMs, undefined, { signal: context.stopping });
  if (answer.lost) {
    response.destroy();
    return;
  }
  if (answer.replayed) response.setHeader('idempotent-replayed', 'true');
  if (answer.isPage) sendPage(response, answer.status, String(answer.body));
  else sendJson(response, answer.status, answer.body);
}

async function route(context: Context, expected: Buffer, request: IncomingMessage, body: string): Promise<Answer> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://provider');
  const method = request.method ?? '';
  if (pathname === '/health' && method === 'GET') return ok({ status: 'ok' });
  if (pathname === '/_faults') return changeFaults(context.faults, method, body);
  const action = /^\/actions\/(act_[0-9a-f]+)$/.exec(pathname);
  if (action && (method === 'GET' || method === 'POST')) return act(context, action[1] ?? '', method, body);
  if (!pathname.startsWith('/v1/')) throw new Refusal(404, 'not_found', `There is nothing at ${pathname}.`);
  if (context.faults.settings.down) throw new Refusal(503, 'unavailable', 'The provider is down.');
  if (!timingSafeEqual(digest(request.headers.authorization ?? ''), expected)) {
    throw new Refusal(401, 'unauthorized', 'The API key is missing or wrong.');
  }
  if (pathname === '/v1/ledger' && method === 'GET') return ok(context.ledger.all());
  if (pathname === '/v1/charges' && method === 'POST') {
    return charge(context, keyOf(request), body);
  }
  if (pathname === '/v1/charges' && method === 'GET') {
    const charges = context.ledger.chargesWithReference(searchParams.get('reference') ?? '');
    if (charges.length === 0) throw new Refusal(404, 'no_such_charge', 'No charge has this reference.');
    return ok({ charges });
  }
  const named = /^\/v1\/charges\/([^/]+)$/.exec(pathname);
  if (named && method === 'GET') {
    const found = await find(context, decodeURIComponent(named[1] ?? ''));
    if (!found) throw new Refusal(404, 'no_such_charge', 'No charge has this id or idempotency key.');
    return ok(shown(context, found));
  }
  const cancelled = /^\/v1\/charges\/([^/]+)\/cancel$/.exec(pathname);
  if (cancelled && method === 'POST') return cancel(context, decodeURIComponent(cancelled[1] ?? ''), body);
  const refunded = /^\/v1\/charges\/([^/]+)\/refunds$/.exec(pathname);
  if (refunded && method === 'POST') return refund(context, decodeURIComponent(refunded[1] ?? ''), request, body);
  throw new Refusal(404, 'not_found', `There is no ${method} ${pathname}.`);
}

async function charge(context: Context, idempotencyKey: string, body: string): Promise<Answer> {
  const { ledger } = context;
  const request = ChargeRequest.parse(JSON.parse(body));
  const fingerprint = digest(JSON.stringify(request)).toString('hex');
  await beforeTheEffect(context);
  const known = await find(context, idempotencyKey);
  if (ledger.conflicts(idempotencyKey, fingerprint)) throw keyReused();
  if (known) return created(context, known, true);
  const verdict = verdictOn(request.token, () => ledger.countAttempt(idempotencyKey));
  if (!verdict.charge) throw new Refusal(500, 'internal_error', 'Something went wrong; nothing was charged.');
  if (verdict.status === 'requires_action') {
    const order = { ...request, idempotencyKey, fingerprint };
    return recordedAs(context, ledger.hold(order, verdict.waitsMs, urlOf(context)), verdict.answerAfterMs);
  }
  const { status } = verdict;
  const declineCode = status === 'declined' ? verdict.declineCode : undefined;
  const amountMinor = request.amountMinor + (context.faults.happens('otherAmountRate') ? 1 : 0);
  const recorded = ledger.charge({ ...request, amountMinor, idempotencyKey, fingerprint, status, declineCode });
  return recordedAs(context, recorded, verdict.answerAfterMs);
}

async function recordedAs(
  context: Context,
  recorded: Recorded<Charge | PendingCharge> | undefined,
  afterMs: number,
): Promise<Answer> {
  if (!recorded) throw keyReused();
  if (recorded.outcome === 'replayed') return created(context, recorded.value, true);
  await announce(context, recorded.webhookId);
  const lost = context.faults.happens('lostAnswerRate');
  return { ...created(context, recorded.value, false), afterMs, lost };
}

/** A charge, or a payment that waits for its customer; any look at it after its time declines it. */
async function find(context: Context, key: string): Promise<Charge | PendingCharge | undefined> {
  const pending = context.ledger.findPending(key);
  if (!pending) return context.ledger.findCharge(key);
  const isOver = context.now() >= Date.parse(pending.expiresAt);
  return isOver ? decide(context, key, { status: 'declined', declineCode: 'action_expired' }) : pending;
}

async function decide(context: Context, key: string, decision: Decision): Promise<Charge | undefined> {
  const decided = context.ledger.decide(key, decision);
  if (decided?.outcome === 'new') await announce(context, decided.webhookId);
  return decided?.value;
}

/**
 * The shop stops a payment that waits for its customer; the answer says what it became if the customer, or the time, was
 * faster.
 */
async function cancel(context: Context, key: string, body: string): Promise<Answer> {
  await beforeTheEffect(context);
  const { reason } = CancelRequest.parse(body === '' ? {} : JSON.parse(body));
  const charge = await decide(context, key, { status: 'declined', declineCode: reason });
  if (!charge) throw new Refusal(404, 'no_such_charge', 'No charge has this id or idempotency key.');
  return { ...ok(charge), lost: context.faults.happens('lostAnswerRate') };
}

/** The customer's page: shows what is to be confirmed, and takes the decision. */
async function act(context: Context, actionKey: string, method: string, body: string): Promise<Answer> {
  const page = (status: number, text: string, isOpen = false) => ({
    ...{ status, isPage: true, body: actionPage(text, isOpen) },
  });
  const pending = await find(context, actionKey);
  if (!pending) return page(404, 'There is nothing to confirm here, or it was decided already.');
  if (pending.status !== 'requires_action') return page(410, 'The time to confirm this payment is over.');
  const { amountMinor, currency } = pending;
  if (method === 'GET') return page(200, `Pay ${amountMinor} ${currency} (in minor units)?`, true);
  const decision = new URLSearchParams(body).get('decision');
  if (decision !== 'confirm' && decision !== 'refuse') return page(400, 'Confirm or refuse it.', true);
  const shifted = amountMinor + context.faults.settings.confirmShiftMinor;
  const decided: Decision =
    decision === 'confirm'
      ? { status: 'captured', amountMinor: Math.max(1, shifted) }
      : { status: 'declined', declineCode: 'refused_by_customer' };
  const charge = await decide(context, actionKey, decided);
  return page(200, charge?.status === 'captured' ? 'The payment is confirmed.' : 'The payment was not made.');
}

function urlOf({ url }: Context): (actionKey: string) => string {
  return (actionKey) => `${url}/actions/${actionKey}`;
}

/** A charge as the shop sees it. */
function shown(context: Context, charge: Charge | PendingCharge): object {
  if (charge.status !== 'requires_action') return charge;
  const { actionKey, expiresAt, ...rest } = charge;
  return { ...rest, action: { url: urlOf(context)(actionKey), expiresAt } };
}

async function refund(context: Context, chargeId: string, request: IncomingMessage, body: string): Promise<Answer> {
  await beforeTheEffect(context);
  const { refuseRefunds } = context.faults.settings;
  if (refuseRefunds > 0) throw new Refusal(refuseRefunds, 'refund_refused', 'A refusal was asked for with /_faults.');
  const { amountMinor } = RefundRequest.parse(body === '' ? {} : JSON.parse(body));
  const key = request.headers['idempotency-key'] === undefined ? undefined : keyOf(request);
  const recorded = context.ledger.refund(chargeId, { key, amountMinor });
  if (typeof recorded === 'string') throw new Refusal(refundRefusals[recorded], recorded, 'Nothing was given back.');
  if (recorded.outcome === 'replayed') return { status: 201, body: recorded.value, replayed: true };
  await announce(context, recorded.webhookId);
  return { status: 201, body: recorded.value, lost: context.faults.happens('lostAnswerRate') };
}

const refundRefusals: Record<RefundRefusal, number> = {
  no_such_charge: 404,
  not_captured: 409,
  exceeds_charge: 402,
  idempotency_key_reused: 422,
};

async function beforeTheEffect({ faults, stopping }: Context): Promise<void> {
  if (faults.happens('failRate')) throw new Refusal(500, 'internal_error', 'A failure was asked for with /_faults.');
  const { slowMs } = faults.settings;
  if (slowMs > 0) await sleep(slowMs, undefined, { signal: stopping });
}

/** Sends the webhook of a new fact: before the answer if the faults say so, otherwise beside it. */
async function announce({ webhooks, faults }: Context, webhookId: string | undefined): Promise<void> {
  if (!webhooks || webhookId === undefined) return;
  const announced = webhooks.announce(webhookId);
  if (faults.settings.webhookFirst) await announced;
}

function created(context: Context, charge: Charge | PendingCharge, replayed: boolean): Answer {
  return { status: 201, body: shown(context, charge), replayed };
}

function sendPage(response: ServerResponse, status: number, page: string): void {
  response.writeHead(status, {
    ...{ 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' },
    'content-security-policy':
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
  });
  response.end(page);
}

function ok(body: unknown): Answer {
  return { status: 200, body };
}

function keyOf(request: IncomingMessage): string {
  const key = request.headers['idempotency-key'];
  if (typeof key === 'string' && key !== '' && key.length <= maxKeyLength) return key;
  throw new Refusal(400, 'idempotency_key_needed', `Idempotency-Key must have 1 to ${maxKeyLength} characters.`);
}

function keyReused(): Refusal {
  return new Refusal(422, 'idempotency_key_reused', 'This Idempotency-Key was used with another body.');
}

function changeFaults(faults: Faults, method: string, body: string): Answer {
  if (method === 'POST') faults.set(JSON.parse(body));
  else if (method === 'DELETE') faults.set({});
  else if (method !== 'GET') throw new Refusal(405, 'method_not_allowed', `There is no ${method} /_faults.`);
  return ok(faults.settings);
}

function refusalOf(error: unknown): Answer {
  const refusal = (status: number, code: string, message: string) => ({ status, body: { error: { code, message } } });
  if (error instanceof Refusal) return refusal(error.status, error.code, error.message);
  if (error instanceof z.ZodError) return refusal(400, 'invalid_request', z.prettifyError(error));
  if (error instanceof SyntaxError) return refusal(400, 'invalid_json', 'The body is not JSON.');
  if (error instanceof URIError) return refusal(400, 'invalid_path', 'The path is not well encoded.');
  if (error instanceof BodyTooLarge) return refusal(413, 'body_too_large', error.message);
  return refusal(500, 'internal_error', String(error));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
