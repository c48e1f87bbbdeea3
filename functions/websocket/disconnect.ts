/** $disconnect: forgets a connection that has ended. */
import { leaveConnection } from '../../lib/notification/connections.ts';
import { disconnectHandler } from '../../lib/platform/websocket.ts';

export const handler = disconnectHandler(({ deps, connectionId }) => leaveConnection(deps.redis, connectionId));
