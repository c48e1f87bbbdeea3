/** $default: what a connected client asks for: watch or unwatch a sale, or ping. */
import { listen } from '../../lib/notification/listen.ts';
import { ClientMessage } from '../../lib/notification/notification.shapes.ts';
import { messageHandler } from '../../lib/platform/websocket.ts';

export const handler = messageHandler(ClientMessage, ({ deps, connectionId, message, tokens }) =>
  listen(deps, tokens, connectionId, message),
);
