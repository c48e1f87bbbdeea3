/** $default: what a connected client asks for: watch or unwatch a sale, authenticate again, or ping. */
import { outsideCaller } from '#identity/outside-caller.ts';
import { listen } from '#notification/listen.ts';
import { ClientMessage } from '#notification/notification.shapes.ts';
import { messageHandler } from '#platform/handlers/websocket.ts';

export const handler = messageHandler(ClientMessage, outsideCaller, ({ deps, connectionId, message, verify }) =>
  listen(deps, verify, connectionId, message),
);
