/**
 * The messages of a connected client: watch a sale, unwatch it, and ping.
 *
 * Every message shows that the client is there; a ping does nothing else. A connection ends with its access token; a fresh
 * token, sent in time, keeps it, and registers it again if the registry was lost. A message on an expired connection is
 * answered with the reason, and the connection is closed: what it missed is not repeated, so its client has to connect and
 * read again. Called by functions/websocket/message.ts.
 */
import { readLiveSale, readMirroredSale } from '#mirror/live-sale.ts';
import type { MirrorNeeds } from '#mirror/mirror.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Verify } from '#platform/handlers/authentication.ts';
import { limitCustomer } from '#platform/handlers/limits.ts';
import type { Ending } from '#platform/handlers/websocket.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import {
  type Connection,
  enterConnection,
  findConnection,
  hearConnection,
  leaveConnection,
  overBecause,
  unwatchSale,
  watchSale,
} from './connections.ts';
import type { ClientMessage } from './notification.shapes.ts';

/** What answering a message needs. */
export type ListenNeeds = MirrorNeeds & Needs<'registry'>;

/** Handles a message, or the refusal of one that was not understood; the result is sent back to the connection. */
export async function listen(
  deps: ListenNeeds,
  verify: Verify,
  connectionId: string,
  message: ClientMessage | Refusal,
): Promise<object | Refusal | Ending> {
  const connection = await findConnection(deps, connectionId);
  const tooOften = await limitCustomer(deps, 'messages-customer', connection?.customerId ?? connectionId);
  if (tooOften) return tooOften;
  if (isRefusal(message)) return message;
  const ending = connection && overBecause(deps, connection);
  if (ending) {
    await leaveConnection(deps, connectionId);
    return { ending };
  }
  if ('token' in message && message.token !== undefined) {
    const refusal = await authenticate(deps, verify, connectionId, message.token, connection);
    return refusal ?? { type: message.action === 'ping' ? 'pong' : 'authenticated' };
  }
  if (!connection) {
    return refuse('unauthenticated', 'This connection is not registered; send {"action":"authenticate","token":…}.');
  }
  if (message.action === 'watch') {
    const refusal = await watch(deps, connection, message);
    return refusal ?? { type: 'watching', saleId: message.saleId };
  }
  await hearConnection(deps, connection);
  if (message.action !== 'unwatch') return { type: 'pong' };
  await unwatchSale(deps, connectionId, message.saleId);
  return { type: 'unwatched', saleId: message.saleId };
}

/** A connection stays with the customer who opened it; a token that is sent later does not change that. */
async function authenticate(
  deps: MirrorNeeds,
  verify: Verify,
  connectionId: string,
  token: string,
  known: Connection | undefined,
): Promise<undefined | Refusal> {
  const caller = await verify(token);
  if (isRefusal(caller)) return caller;
  if (!caller || caller.expiresAtMs <= deps.clock()) {
    return refuse('unauthenticated', 'The access token is not valid, or has expired.');
  }
  if (known && known.customerId !== caller.customerId) {
    return refuse('forbidden', 'This connection was opened by somebody else; open another.');
  }
  return enterConnection(deps, caller, connectionId, known);
}

async function watch(
  deps: MirrorNeeds,
  connection: Connection,
  { saleId, code }: { saleId: SaleId; code?: string | undefined },
): Promise<undefined | Refusal> {
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(connection.customerId);
  // Whoever must wait may not try further codes.
  const sale = mustWait ? await readMirroredSale(deps, saleId) : await readLiveSale(deps, saleId, code);
  if (sale) return watchSale(deps, connection, saleId);
  if (mustWait) return mustWait;
  misses.note(connection.customerId);
  return refuse('not_found', 'There is no such sale.');
}
