/**
 * The messages of a connected client: watch a sale, unwatch it, and ping.
 *
 * A ping is a keep-alive: the gateway closes idle connections. With an access token it registers the connection again,
 * which a client does when the connection has just opened and whenever it has a new token; so a registry that was lost
 * is rebuilt. Called by functions/websocket/message.ts.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { Tokens } from '#platform/security/access-token.ts';
import { enterConnection, ownerOf, unwatchSale, watchSale } from './connections.ts';
import type { ClientMessage } from './notification.shapes.ts';

/** Handles a message; the result is sent back to the connection. */
export async function listen(
  deps: Needs<'redis' | 'clock'>,
  tokens: Tokens,
  connectionId: string,
  message: ClientMessage,
): Promise<object | Refusal> {
  switch (message.action) {
    case 'watch': {
      const refusal = await watchSale(deps, connectionId, message.saleId);
      return refusal ?? { type: 'watching', saleId: message.saleId };
    }
    case 'unwatch':
      await unwatchSale(deps, connectionId, message.saleId);
      return { type: 'unwatched', saleId: message.saleId };
    case 'ping':
      return message.token === undefined ? { type: 'pong' } : enterAgain(deps, tokens, connectionId, message.token);
  }
}

/** A connection belongs to the customer who opened it, whatever token is sent later. */
async function enterAgain(
  deps: Needs<'redis' | 'clock'>,
  tokens: Tokens,
  connectionId: string,
  token: string,
): Promise<object | Refusal> {
  const caller = await tokens.verify(token);
  if (!caller) return refuse('unauthenticated', 'The access token is not valid or has expired.');
  const owner = await ownerOf(deps, connectionId);
  if (owner !== undefined && owner !== caller.customerId) {
    return refuse('forbidden', 'This connection was opened by another account; open a new one.');
  }
  await enterConnection(deps, caller.customerId, connectionId);
  return { type: 'pong' };
}
