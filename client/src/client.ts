/**
 * The client: every call of the API with its types, the few that make a purchase as functions of their own, and what is
 * pushed.
 */
import type { TokenSource } from './calls.ts';
import { dataOf, type Http, type HttpOptions, openHttp } from './http.ts';
import { newKey } from './intents.ts';
import { type LinkState, type LiveMessage, openLive } from './live.ts';
import type { components as messages } from './messages.ts';
import type { components, paths } from './schema.ts';
import { waitUntil } from './wait.ts';

type Schemas = components['schemas'];
type Messages = messages['schemas'];
/** A request as a caller writes it: what has a default may be left out. */
export type ReservationRequest =
  paths['/sales/{saleId}/reservations']['post']['requestBody']['content']['application/json'];
export type PurchaseRequest = paths['/purchases']['post']['requestBody']['content']['application/json'];
export type ReservationAccepted = Schemas['ReservationAccepted'];
export type Reservation = Schemas['Reservation'];
export type PurchaseAccepted = Schemas['PurchaseAccepted'];
export type Purchase = Schemas['Purchase'];
/** What is pushed. */
export type News = Messages['Told'] | Messages['Stock'] | Messages['Phase'];
/** What a customer has to do for a payment: confirm it at an address, before a deadline. */
export type Action = NonNullable<Purchase['action']>;

export interface ClientOptions extends HttpOptions {
  /** The address of the WebSocket API; without it decisions are asked for, and nothing is pushed. */
  websocket?: string | undefined;
  /** An access token of the customer, fresh at each call. */
  token: TokenSource;
  /** How often the live connection is tried, in milliseconds. Default 25,000. */
  pingMs?: number | undefined;
  /** Hears whether the live connection is there. */
  onState?: ((state: LinkState) => void) | undefined;
}

export interface SendOptions {
  /** The Idempotency-Key, if this intent has one already. */
  key?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface WaitOptions {
  signal?: AbortSignal | undefined;
}

export interface PaymentOptions extends WaitOptions {
  /** Called when the customer has to confirm the payment, once for each address. */
  onAction?: ((action: Action) => void) | undefined;
}

export interface Client extends Http {
  /** Asks for units of a sale. */
  reserve(saleId: string, request: ReservationRequest, options?: SendOptions): Promise<ReservationAccepted>;
  /** Waits until a reservation is decided. Being put on the waitlist is a decision too. */
  waitForDecision(reservation: ReservationAccepted | Reservation, options?: WaitOptions): Promise<Reservation>;
  /** Buys one reservation or many, all with one payment. */
  buy(request: PurchaseRequest, options?: SendOptions): Promise<PurchaseAccepted>;
  /** Waits until it is known what became of a payment, the customer's confirmation included. */
  waitForPayment(purchase: Pick<PurchaseAccepted, 'purchaseId'>, options?: PaymentOptions): Promise<Purchase>;
  /** Hears everything that is pushed to this customer. Gives what ends it. */
  listen(hear: (news: News) => void): () => void;
  /** Hears of the stock and the phase of a sale; of one that asks for a code, with it. Gives what ends it. */
  watch(saleId: string, hear: (news: News) => void, code?: string): () => void;
  /** Ends the live connection, and with it everything that listens. */
  close(): void;
}

/** The states that decide a reservation, and those in which a payment's end is known; others go on. */
const decided = new Set<string>([
  'allocated',
  'waitlisted',
  'rejected',
  'purchased',
  'cancelled',
  'expired',
  'refunded',
] satisfies Reservation['state'][]);
const settled = new Set<string>([
  'captured',
  'declined',
  'refunding',
  'refunded',
  'refund_failed',
  'disputed',
] satisfies Purchase['state'][]);

/** What is told; the server's answers to what this client says are its own affair. */
const newsTypes = new Set<string>(['reservation', 'purchase', 'reminder', 'stock', 'sale'] satisfies News['type'][]);

/** Whoever comes back asks again, but not all at one moment. */
const spreadMs = 1_000;

interface Listener {
  hear(message: LiveMessage): void;
  /** The connection has come, or has gone. */
  turned?(): void;
}

/** Opens the API at an address for one customer. Nothing is sent before something is called. */
export function createClient(options: ClientOptions): Client {
  const { websocket, token, onState, pingMs } = options;
  const { http, send } = openHttp(options);
  const listeners = new Set<Listener>();
  /** Who watches each sale. */
  const watchers = new Map<string, Set<object>>();
  let state: LinkState = 'off';
  const live =
    websocket === undefined
      ? undefined
      : openLive({
          url: websocket,
          pingMs,
          token: async (rejected) => token(rejected),
          onMessage(message) {
            for (const one of [...listeners]) one.hear(message);
          },
          onState(next) {
            state = next;
            onState?.(next);
            for (const one of [...listeners]) one.turned?.();
          },
        });

  function add(listener: Listener): () => void {
    listeners.add(listener);
    live?.open();
    return () => {
      if (listeners.delete(listener) && listeners.size === 0) live?.close();
    };
  }

  /** Wakes whoever waits when something is said about it, and a moment after the connection has come or gone. */
  function wakeFor(isAbout: (message: LiveMessage) => boolean) {
    return (wake: () => void) => {
      let turning: ReturnType<typeof setTimeout> | undefined;
      const stop = add({
        hear: (message) => isAbout(message) && wake(),
        turned() {
          clearTimeout(turning);
          turning = setTimeout(wake, spreadMs * Math.random());
        },
      });
      return () => {
        clearTimeout(turning);
        stop();
      };
    };
  }

  const sent = ({ key = newKey(), signal }: SendOptions) => ({
    params: { header: { 'Idempotency-Key': key } },
    ...(signal ? { signal } : {}),
  });
  const isLive = () => state === 'live';

  return {
    http,
    send,
    reserve(saleId, body, options = {}) {
      const { params, ...rest } = sent(options);
      const path = { saleId };
      return dataOf(http.POST('/sales/{saleId}/reservations', { ...rest, params: { ...params, path }, body }));
    },
    waitForDecision(reservation, { signal } = {}) {
      const { reservationId } = reservation;
      // The status URL of an accepted request proves that there is one, though no store knows it yet.
      const { statusUrl = `/reservations/${reservationId}` } = reservation as Partial<ReservationAccepted>;
      return waitUntil<Reservation>({
        read: async () => (await (await send(statusUrl, signal && { signal })).json()) as Reservation,
        isOver: (view) => decided.has(view.state),
        listen: wakeFor((message) => message.reservationId === reservationId),
        isLive,
        signal,
      });
    },
    buy: (body, options = {}) => dataOf(http.POST('/purchases', { ...sent(options), body })),
    waitForPayment({ purchaseId }, { signal, onAction } = {}) {
      const params = { path: { purchaseId } };
      const told = new Set<string>();
      return waitUntil<Purchase>({
        read: () => dataOf(http.GET('/purchases/{purchaseId}', { params, ...(signal && { signal }) })),
        isOver: (view) => settled.has(view.state),
        saw({ action }) {
          if (!action || told.has(action.url)) return;
          told.add(action.url);
          onAction?.(action);
        },
        listen: wakeFor((message) => message.purchaseId === purchaseId),
        isLive,
        signal,
      });
    },
    listen: (hear) => add({ hear: (message) => newsTypes.has(message.type ?? '') && hear(message as News) }),
    watch(saleId, hear, code) {
      const watching = watchers.get(saleId) ?? new Set();
      const watcher = {};
      watchers.set(saleId, watching.add(watcher));
      live?.watch(saleId, code);
      const isAbout = ({ type, saleId: about }: LiveMessage) =>
        about === saleId && (type === 'stock' || type === 'sale');
      const stop = add({ hear: (message) => isAbout(message) && hear(message as News) });
      return () => {
        stop();
        if (!watching.delete(watcher) || watching.size > 0) return;
        watchers.delete(saleId);
        live?.unwatch(saleId);
      };
    },
    close() {
      listeners.clear();
      for (const [saleId, watching] of watchers) {
        watching.clear();
        live?.unwatch(saleId);
      }
      watchers.clear();
      live?.close();
    },
  };
}
