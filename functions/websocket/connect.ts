/** $connect: registers the connection of a customer, who then gets live pushes. */
import { enterConnection } from '#notification/connections.ts';
import { connectHandler } from '#platform/handlers/websocket.ts';

export const handler = connectHandler(async ({ deps, connectionId, caller }) => {
  await enterConnection(deps, caller.customerId, connectionId);
  return undefined;
});
