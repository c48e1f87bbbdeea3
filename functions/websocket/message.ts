/** $default: messages of a connected client: watch or unwatch a sale, or ping. */
import { listen } from '#notification/listen.ts';
import { ClientMessage } from '#notification/notification.shapes.ts';
import { messageHandler } from '#platform/handlers/websocket.ts';

export const handler = messageHandler(ClientMessage, ({ deps, connectionId, message, tokens }) =>
  listen(deps, tokens, connectionId, message),
);
