/** $disconnect: removes a connection that has ended. */
import { leaveConnection } from '#notification/connections.ts';
import { disconnectHandler } from '#platform/handlers/websocket.ts';

export const handler = disconnectHandler(({ deps, connectionId }) => leaveConnection(deps, connectionId));
