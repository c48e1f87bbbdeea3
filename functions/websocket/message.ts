/** $default: what a connected client asks for: watch or unwatch a sale, authenticate again, or ping. */
import { listen } from '#notification/listen.ts';
import { ClientMessage } from '#notification/notification.shapes.ts';
import { messageHandler } from '#platform/handlers/websocket.ts';

export const handler = messageHandler(ClientMessage, ({ deps, connectionId, message, tokens }) =>
  listen(deps, tokens, connectionId, message),
);
