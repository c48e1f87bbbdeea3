/**
 * Artillery's hooks: who each virtual user is, what it asks for, and the clients' log.
 *
 * Invariant: every request of every virtual user is in the log with what was answered, or that nothing was, in the format
 * that the verifier reads. A virtual user is one customer with one key, and no two are the same customer. Artillery sends
 * the requests by itself, since what it sends and measures is the load; of the client only the shapes are used. Loaded by
 * artillery through processor.mjs; the run's own facts are in the file that HOLDFAST_LOAD_PLAN names.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import type { components } from '#client/index.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { ClientLog, type Facts, type Operation } from './log.ts';
import type { LoadPlan } from './plan.ts';
import { solve } from './proof-of-work.ts';
import { seenNotices, seenPurchase, seenReservation } from './seen.ts';

/** The part of artillery's objects that is used here. */
interface UserContext {
  vars: Vars;
  _httpAgent?: Agent;
}

interface Outgoing {
  name: Operation | 'sales';
  method: string;
  headers?: Record<string, string>;
  json?: unknown;
  sentMs?: number;
  asked?: Wish;
}

interface Incoming {
  statusCode: number;
  body?: unknown;
}

type Next = (error?: Error) => void;

interface Wish {
  quantity: number;
  atLeast: number;
}

interface Vars extends Wish {
  customerId: string;
  token: string;
  saleId: string;
  key: string;
  reservationId?: string;
  state?: string;
  purchaseId?: string;
  purchaseState?: string;
  lastCode?: string | undefined;
  /** The machine of one of a crowd. */
  address?: string;
  /** The work that the last answer asked for. */
  challenge?: Challenge | undefined;
  /** Work that is done and not sent yet. */
  proof?: string | undefined;
  /** How often this user has asked the same question. */
  asked: number;
}

/** After so many questions a user gives up: then the run has failed, and the verifier will say so. */
const mostQuestions = 60;
/** For so long after the first user came machines work; then they give up, so that a slow machine ends its run too. */
const workingMs = 45_000;
/** One in four customers takes less than they ask for. */
const flexibleShare = 0.25;

const plan = JSON.parse(readFileSync(process.env.HOLDFAST_LOAD_PLAN ?? '', 'utf8')) as LoadPlan;
const log = new ClientLog(plan.log);
let entered = 0;
let firstEnteredMs: number | undefined;
/** The work of each machine, which does one proof at a time. */
const machines = new Map<string, Promise<void>>();
/** Sales of which somebody was told that all is gone; a script that hears it stops working for them. */
const soldOut = new Set<string>();

/** Makes the next customer of this virtual user. */
export function enter(context: UserContext, _events: unknown, next: Next): void {
  firstEnteredMs ??= Date.now();
  const customer = plan.customers[entered++];
  if (!customer) {
    next(new Error(`this run has ${plan.customers.length} customers and needs more`));
    return;
  }
  const quantity = 1 + Math.floor(Math.random() * plan.mostPerRequest);
  Object.assign(context.vars, {
    ...customer,
    saleId: plan.saleIds[Math.floor(Math.random() ** 2 * plan.saleIds.length)],
    key: randomUUID(),
    quantity,
    atLeast: Math.random() < flexibleShare ? 1 : quantity,
    asked: 0,
  } satisfies Partial<Vars>);
  if (customer.address !== undefined) context._httpAgent = new Agent({ localAddress: customer.address });
  next();
}

/** Before each request: who asks, under which key, for what, and when. */
export function stamp(request: Outgoing, context: UserContext, _events: unknown, next: Next): void {
  const { token, key, quantity, atLeast, reservationId } = context.vars;
  if (request.name !== 'sale' && request.name !== 'sales') {
    request.headers = { ...request.headers, authorization: `Bearer ${token}` };
  }
  if (request.name === 'reserve') {
    // Who was too early means it anew: under the same key the refusal would be given again.
    if (wasTooEarly(context.vars)) context.vars.key = randomUUID();
    request.headers = { ...request.headers, 'idempotency-key': context.vars.key };
    request.json = { quantity, ...(atLeast === quantity ? {} : { fill: { atLeast } }) };
    request.asked = { quantity, atLeast };
    if (context.vars.proof !== undefined) request.headers['x-proof-of-work'] = context.vars.proof;
    context.vars.proof = undefined;
  }
  if (request.name === 'buy') {
    request.headers = { ...request.headers, 'idempotency-key': `${key}-buy` };
    request.json = { reservationIds: [reservationId], paymentToken: paymentTokenOf(key) };
  }
  request.sentMs = Date.now();
  next();
}

/** After each answer: into the log, and what the user learned from it. */
export function note(request: Outgoing, response: Incoming, context: UserContext, _events: unknown, next: Next): void {
  const { vars } = context;
  const status = response.statusCode;
  const body = parse(response.body);
  const code = status >= 400 ? String(body.code ?? '') : undefined;
  vars.lastCode = code;
  vars.challenge = body.challenge;
  if (code === 'sold_out') soldOut.add(vars.saleId);
  write(request, vars, status, code, status < 300 ? learn(request, vars, body) : {});
  next();
}

/** When no answer came. */
export function noteFailure(
  error: Error & { code?: string },
  request: Outgoing,
  context: UserContext,
  _events: unknown,
  next: Next,
): void {
  // A hook that stops a user before it asks is no request.
  if (request.sentMs !== undefined) write(request, context.vars, 0, error.code ?? error.message, {});
  next();
}

/** Makes the next request of this user differ from the one before, under the same key. */
export function wishForAnother(context: UserContext, _events: unknown, next: Next): void {
  context.vars.quantity += 1;
  context.vars.atLeast = context.vars.quantity;
  next();
}

/** Does the work that was asked for, when the machine has done that of others before. */
export function work({ vars }: UserContext, _events: unknown, next: Next): void {
  const { challenge, address = '', saleId } = vars;
  vars.challenge = undefined;
  if (!challenge) {
    next();
    return;
  }
  const mine = (machines.get(address) ?? Promise.resolve()).then(async () => {
    if (isWorthWork(saleId)) vars.proof = await solve(challenge);
  });
  machines.set(address, mine);
  mine.then(() => next(), next);
}

/** For `ifTrue`: whether there is work to show. */
export function worked(vars: Vars): boolean {
  return vars.proof !== undefined;
}

/** For `whileTrue`: the last attempt was asked for work, and there is something left to work for. */
export function mustWork({ vars }: UserContext, next: (goOn: boolean) => void): void {
  next(vars.lastCode === 'work_required' && isWorthWork(vars.saleId) && mayAskAgain(vars));
}

function isWorthWork(saleId: string): boolean {
  return !soldOut.has(saleId) && Date.now() - (firstEnteredMs ?? 0) < workingMs;
}

/** For `ifTrue`: whether this user holds a 202. */
export function accepted(vars: Vars): boolean {
  return vars.reservationId !== undefined;
}

/** For `ifTrue`: whether it was given units. */
export function allocated(vars: Vars): boolean {
  return vars.state === 'allocated';
}

/** For `ifTrue`: whether there is something to give back. */
export function cancellable(vars: Vars): boolean {
  return vars.state === 'allocated' || vars.state === 'waitlisted';
}

/** For `ifTrue`: whether a purchase was accepted. */
export function buying(vars: Vars): boolean {
  return vars.purchaseId !== undefined;
}

/** For `whileTrue`: the request was accepted and is not decided yet. */
export function undecided({ vars }: UserContext, next: (goOn: boolean) => void): void {
  next(vars.reservationId !== undefined && (vars.state ?? 'requested') === 'requested' && mayAskAgain(vars));
}

/** For `whileTrue`: the sale had not opened. */
export function tooEarly({ vars }: UserContext, next: (goOn: boolean) => void): void {
  next(vars.lastCode === 'sale_not_open' && mayAskAgain(vars));
}

/** For `ifTrue`: the same. */
export function wasTooEarly(vars: Vars): boolean {
  return vars.lastCode === 'sale_not_open';
}

/** For `whileTrue`: the payment is under way. */
export function unpaid({ vars }: UserContext, next: (goOn: boolean) => void): void {
  const state = vars.purchaseState ?? 'requested';
  next(
    vars.purchaseId !== undefined && ['requested', 'unknown', 'requires_action'].includes(state) && mayAskAgain(vars),
  );
}

function mayAskAgain(vars: Vars): boolean {
  vars.asked += 1;
  return vars.asked < mostQuestions;
}

function write(request: Outgoing, vars: Vars, status: number, code: string | undefined, learned: Facts): void {
  const answeredMs = Date.now();
  const sentMs = request.sentMs ?? answeredMs;
  const { customerId, saleId, key, reservationId, purchaseId } = vars;
  const { name, asked } = request;
  const facts: Record<string, Facts> = {
    reserve: { key, saleId, ...asked },
    buy: { key: `${key}-buy`, reservationIds: reservationId === undefined ? [] : [reservationId] },
    reservation: { reservationId },
    cancel: { reservationId },
    purchase: { purchaseId },
    sale: { saleId },
  };
  log.write({
    type: 'request',
    op: name === 'sales' ? 'sale' : name,
    ...(name === 'sale' || name === 'sales' ? {} : { customerId }),
    ...facts[name],
    scheduledMs: sentMs,
    sentMs,
    answeredMs,
    status,
    ...(code === undefined ? {} : { code }),
    ...learned,
  });
}

type Schemas = components['schemas'];
/** Any body as the API documents it, as far as it is read here; which one it is the request says. */
type Body = { code?: string; challenge?: Challenge; items?: unknown[] } & Partial<
  Pick<Schemas['ReservationAccepted'], 'ticket' | 'position'> &
    Omit<Schemas['Reservation'], 'state'> &
    Omit<Schemas['Purchase'], 'state' | 'items'> &
    Pick<Schemas['Sale'], 'stock'> & { state: string }
>;

function learn(request: Outgoing, vars: Vars, body: Body): Facts {
  const { ticket = null, position = null, reservationId = '', purchaseId = '', state = '', amount } = body;
  switch (request.name) {
    case 'reserve':
      vars.reservationId = reservationId;
      return { reservationId, ticket, position };
    case 'reservation':
    case 'cancel':
      vars.state = state;
      return { reservations: [seenReservation(body as Schemas['Reservation'])] };
    case 'reservations':
      return { reservations: (body as Schemas['ReservationPage']).items.map(seenReservation) };
    case 'buy':
      vars.purchaseId = purchaseId;
      return { purchaseId, ...amount };
    case 'purchase':
      vars.purchaseState = state;
      return { purchases: [seenPurchase(body as Schemas['Purchase'])] };
    case 'sale':
      return body.stock ? { stocks: [{ saleId: vars.saleId, ...body.stock }] } : {};
    case 'sales':
      return {
        stocks: (body as Schemas['SalePage']).items.map(({ saleId, stock }) => ({ saleId, ...stock })),
      };
    case 'notifications':
      return { notices: seenNotices((body as Schemas['NotificationPage']).items) };
    default:
      return {};
  }
}

/** Most cards are good; some are declined, slow, or charged without an answer that arrives. */
function paymentTokenOf(key: string): string {
  const chance = Number.parseInt(key.slice(0, 4), 16) / 0x1_0000;
  if (chance < 0.85) return 'tok_approve';
  if (chance < 0.92) return 'tok_decline';
  return chance < 0.97 ? 'tok_flaky_1' : 'tok_slow_500';
}

function parse(body: unknown): Body {
  if (typeof body === 'object' && body !== null) return body as Body;
  try {
    return JSON.parse(String(body)) as Body;
  } catch {
    return {};
  }
}
