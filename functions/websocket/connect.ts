/** $connect: enters the connection of a customer, who then hears of everything that concerns them. */
import { outsideCaller } from '#identity/outside-caller.ts';
import { endSurplus, enterConnection } from '#notification/connections.ts';
import { limitCustomer } from '#platform/handlers/limits.ts';
import { connectHandler } from '#platform/handlers/websocket.ts';

export const handler = connectHandler(outsideCaller, async ({ deps, connectionId, caller }) => {
  const tooOften = await limitCustomer(deps, 'connections-customer', caller.customerId);
  if (tooOften) return tooOften;
  const refusal = await enterConnection(deps, caller, connectionId);
  if (refusal) return refusal;
  await endSurplus(deps, caller.customerId);
  return undefined;
});
