/**
 * Every answer that is not a success, in one table.
 *
 * Each code answers two questions: which HTTP status does a client see, and is it worth trying the same thing again?
 * A refusal (sold out, over the cap, bad input) is an outcome: verbs return it. Only faults throw.
 */
import * as z from 'zod';

interface CodeMeaning {
  status: number;
  /** Whether the identical request can succeed when it is repeated, without any other change first. */
  retry: boolean;
  /** For people. It is fixed for each code; the detail beside it varies. */
  title: string;
}

export const codes = {
  invalid_input: { status: 400, retry: false, title: 'The request is not valid' },
  invalid_json: { status: 400, retry: false, title: 'The body is not valid JSON' },
  idempotency_key_missing: { status: 400, retry: false, title: 'The Idempotency-Key header is missing or not valid' },
  unauthenticated: { status: 401, retry: false, title: 'Sign in first' },
  invalid_credentials: { status: 401, retry: false, title: 'E-mail or password is wrong' },
  invalid_api_key: { status: 401, retry: false, title: 'The API key is not valid' },
  token_not_accepted: { status: 401, retry: false, title: 'The access token of your sign-in is not accepted here' },
  unknown_token_key: { status: 401, retry: true, title: 'The access token is signed with a key that is not known yet' },
  invalid_signature: { status: 401, retry: false, title: 'The signature is not valid' },
  not_entitled: { status: 403, retry: false, title: 'This sale asks for something that you have not shown' },
  contact_not_verified: { status: 403, retry: false, title: 'This sale is for customers with a verified address' },
  external_id_missing: { status: 403, retry: false, title: 'This sale is for customers whom the shop knows' },
  person_known_elsewhere: {
    status: 403,
    retry: false,
    title: 'Another account had your address or id when this sale was made',
  },
  invalid_code: { status: 403, retry: false, title: 'The code is wrong, was used before, or has expired' },
  external_id_taken: { status: 409, retry: false, title: 'Another account has this external id' },
  contact_taken: { status: 409, retry: false, title: 'Another account has shown that this address is its own' },
  forbidden: { status: 403, retry: false, title: 'This account is not allowed to do that' },
  missing_scope: { status: 403, retry: false, title: 'The API key lacks the scope for that' },
  customer_missing: { status: 403, retry: false, title: 'An API key must say for which customer it acts' },
  keys_only: { status: 403, retry: false, title: 'Only an API key of the shop may say that' },
  people_only: { status: 403, retry: false, title: 'Only people who sign in may do that' },
  own_account_needed: { status: 403, retry: false, title: 'That is for people with an account of Holdfast’s own' },
  own_accounts_off: { status: 404, retry: false, title: 'Accounts are kept elsewhere: sign in at the shop itself' },
  not_found: { status: 404, retry: false, title: 'There is no such thing, or it is not yours' },
  idempotency_in_progress: { status: 409, retry: true, title: 'The first request with this key is still running' },
  sale_not_open: { status: 409, retry: false, title: 'Reservations have not opened yet' },
  sale_closed: { status: 409, retry: false, title: 'Reservations are closed' },
  sale_paused: { status: 409, retry: true, title: 'The sale is paused' },
  sale_cancelled: { status: 409, retry: false, title: 'The sale was cancelled' },
  sold_out: { status: 409, retry: false, title: 'Not enough is free for this request, and the waitlist is full' },
  over_cap: { status: 409, retry: false, title: 'That is more than one customer may have in this sale' },
  over_allotment: { status: 409, retry: false, title: 'The sale does not have that many units' },
  window_not_open: { status: 409, retry: false, title: 'The purchase window has not opened yet' },
  window_closed: { status: 409, retry: false, title: 'The purchase window is closed' },
  deadline_passed: { status: 409, retry: false, title: 'The time to buy these units is over' },
  illegal_state: { status: 409, retry: false, title: 'Its state does not allow that' },
  not_decided_yet: { status: 409, retry: true, title: 'The request has not been decided yet' },
  cannot_grow: { status: 409, retry: false, title: 'A reservation can only become smaller' },
  already_resolved: { status: 409, retry: false, title: 'That has already been decided' },
  purchase_in_progress: { status: 409, retry: true, title: 'A purchase of this reservation is under way' },
  sku_taken: { status: 409, retry: false, title: 'There is a product with this SKU' },
  too_many_pictures: { status: 409, retry: false, title: 'The product has as many pictures as it may have' },
  picture_missing: { status: 409, retry: true, title: 'The file of this picture has not come yet' },
  reference_taken: { status: 409, retry: false, title: 'Another one has this reference' },
  connection_silent: { status: 408, retry: true, title: 'No message arrived on this connection for too long' },
  confirmation_required: {
    status: 409,
    retry: false,
    title: 'The change takes time from customers or ends the sale, and must be confirmed',
  },
  conflict: { status: 409, retry: true, title: 'Somebody else changed it at the same time' },
  payload_too_large: { status: 413, retry: false, title: 'The body is too large' },
  unsupported_media_type: { status: 415, retry: false, title: 'The body must be JSON in UTF-8' },
  idempotency_key_reused: { status: 422, retry: false, title: 'This key was used with another request' },
  unprocessable: {
    status: 422,
    retry: false,
    title: 'Well formed, but it does not go together, or names what there is not',
  },
  mixed_currencies: { status: 422, retry: false, title: 'One purchase can have one currency only' },
  mixed_providers: { status: 422, retry: false, title: 'One purchase can be paid with one provider only' },
  import_rejected: { status: 422, retry: false, title: 'Some rows of the file are not valid; nothing was imported' },
  not_a_picture: { status: 422, retry: false, title: 'The file is not the picture that was announced' },
  work_required: { status: 429, retry: true, title: 'Solve the challenge, or wait, and try again' },
  too_many_requests: { status: 429, retry: true, title: 'Too many requests' },
  too_many_connections: { status: 429, retry: false, title: 'This account has opened newer connections' },
  internal: { status: 500, retry: true, title: 'Something went wrong on our side' },
  queue_unavailable: { status: 503, retry: true, title: 'The request could not be queued; please repeat it' },
  status_unknown: { status: 503, retry: true, title: 'The status cannot be determined right now' },
  issuer_unavailable: { status: 503, retry: true, title: 'Tokens of this issuer cannot be checked at the moment' },
  store_unavailable: { status: 503, retry: true, title: 'The store is unavailable' },
} as const satisfies Record<string, CodeMeaning>;

export type Code = keyof typeof codes;

/** The codes with which the server ends a WebSocket connection. */
export const closingCodes = ['unauthenticated', 'connection_silent', 'too_many_connections'] as const satisfies Code[];

/** An object of an answer, which may grow; typed as what is given. */
const growing = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.looseObject(shape) as unknown as z.ZodType<z.output<z.ZodObject<Shape>>>;
const anyObject = growing({}) as unknown as z.ZodType<object>;
const mistake = { field: z.string(), message: z.string() };

/**
 * The facts that a refusal may give to programs, shown beside its code. The API's document has each of them, so that a generated
 * client can read what it is told.
 */
export const Facts = z.object({
  fields: z.array(growing(mistake)).optional().describe('What of the input is not valid'),
  rows: z
    .array(growing({ row: z.int(), ...mistake }))
    .optional()
    .describe('What of a file is not valid, where import_rejected says so; rows count from 1, with the header'),
  retryAfterSeconds: z.int().optional().describe('When to try again; in the header Retry-After as well'),
  challenge: anyObject.optional().describe('The work that lets a call pass which was refused as work_required'),
  confirmation: z
    .string()
    .optional()
    .describe('What to send with the same call if it is meant, where confirmation_required gives it'),
  dangers: z.array(z.string()).optional().describe('Why a change of times wants a confirmation'),
  concerned: anyObject.optional().describe('How many customers such a change concerns, and how'),
  scope: z.string().optional().describe('What an API key lacks that was refused as missing_scope'),
  reason: z.string().optional().describe('Why a token is not accepted, or a refund disputed'),
  reservationId: z
    .string()
    .optional()
    .describe('Which reservation of a purchase, or of a refund, the refusal is about'),
  purchaseId: z.string().optional().describe('Which purchase is paying already'),
  state: z.string().optional().describe('In which state what was to be changed is'),
  decided: z.string().optional().describe('How somebody else has decided in the meantime'),
  quantity: z.int().optional().describe('How many units the reservation asks for now'),
  units: z.int().optional().describe('How many units the reservation has'),
  available: z.int().optional().describe('How many units of a sale belong to nobody'),
  allotment: z.int().optional().describe('How many units a sale has in all'),
  leftUnits: z.int().optional().describe('How many units are left to be given back'),
  leftMinor: z.int().optional().describe('How much is left to be given back, in minor units'),
  recordedMinor: z.int().optional().describe('Which amount is recorded already, in minor units'),
  captured: growing({ amountMinor: z.int(), currency: z.string() }).optional().describe('What the provider has taken'),
  refund: z.string().optional().describe('The key of the refund that is disputed'),
  currency: z.string().optional().describe('Which currency the provider does not take'),
  currencies: z.array(z.string()).optional().describe('The currencies that one payment cannot have together'),
  paymentProvider: z.string().optional().describe('Which provider cannot be chosen'),
  paymentProviders: z
    .array(z.string().nullable())
    .optional()
    .describe('The providers that one payment cannot have together; null for the usual one'),
  parts: z.array(anyObject).optional().describe('How the parts are, where the API is not healthy'),
  breakers: z.record(z.string(), z.string()).optional().describe('In which state its circuit breakers are'),
});
export type Facts = z.input<typeof Facts>;

/** A refusal as a value: what a verb returns when the answer is a well-founded no. */
export interface Refusal {
  refused: Code;
  detail: string;
  facts?: Facts;
}

/** Builds a refusal; the detail is one sentence that a customer could read. */
export function refuse(code: Code, detail: string, facts?: Facts): Refusal {
  return facts ? { refused: code, detail, facts } : { refused: code, detail };
}

/** True for a refusal, so that callers can narrow a verb's result. */
export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'refused' in value;
}

/** A fault: a dependency failed, and the caller may try again after `retryAfterSeconds`. */
export class Fault extends Error {
  readonly code: Code;
  readonly retryAfterSeconds: number;

  constructor(code: Code, message: string, options: { cause?: unknown; retryAfterSeconds?: number } = {}) {
    super(message, { cause: options.cause });
    this.name = 'Fault';
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds ?? 1;
  }
}
