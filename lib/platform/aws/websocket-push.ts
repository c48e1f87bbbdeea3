/**
 * Sending to WebSocket connections, through the management API of the gateway that holds them.
 *
 * A push is advice: what it says is stored elsewhere, and a client that missed it asks again. So sending never throws,
 * never takes longer than it was given, and whoever cannot be reached within that time is left out.
 */
import { ApiGatewayManagementApiClient, PostToConnectionCommand } from '@aws-sdk/client-apigatewaymanagementapi';
import { log } from '#platform/kernel/log.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';

/** How long sending one message to one connection may take. */
const callTimeoutMs = 1_000;
/** How many connections are served at a time. */
const connectionsAtOnce = 32;

/** What goes to one connection: its messages arrive in this order. */
export interface Push {
  readonly connectionId: string;
  readonly messages: readonly object[];
}

export interface PushResult {
  /** Connections that took all their messages. */
  readonly reached: number;
  /** Connections that the gateway no longer knows. */
  readonly gone: string[];
  /** Connections that were not reached: too slow, refused, or the time was over. */
  readonly missed: number;
}

export interface Pusher {
  /** Sends to many connections at once, for at most `limitMs`. Never throws. */
  send(pushes: Push[], limitMs: number): Promise<PushResult>;
  close(): void;
}

/** Opens the pusher. A stack without a WebSocket API registers no address for it; then nobody is ever connected. */
export function openPusher(endpoint: string | undefined, breakers: Breakers = openBreakers()): Pusher {
  if (!endpoint) {
    return { send: async (pushes) => ({ reached: 0, gone: [], missed: pushes.length }), close: () => undefined };
  }
  const client = new ApiGatewayManagementApiClient({ endpoint, maxAttempts: 1 });
  const guard = breakers.get('websocket', {
    resetTimeoutMs: 1_000,
    isRefusal: isGone,
  });

  async function sendTo({ connectionId, messages }: Push, limit: AbortSignal): Promise<'reached' | 'gone' | 'missed'> {
    try {
      for (const message of messages) {
        const command = new PostToConnectionCommand({ ConnectionId: connectionId, Data: JSON.stringify(message) });
        const abortSignal = AbortSignal.any([limit, AbortSignal.timeout(callTimeoutMs)]);
        await guard.run(() => client.send(command, { abortSignal }));
      }
      return 'reached';
    } catch (error) {
      if (isGone(error)) return 'gone';
      log.debug('a connection was not reached', { connectionId, error });
      return 'missed';
    }
  }

  return {
    async send(pushes, limitMs) {
      const limit = AbortSignal.timeout(Math.max(1, limitMs));
      const gone: string[] = [];
      let reached = 0;
      let next = 0;
      const serve = async () => {
        for (let push = pushes[next++]; push && !limit.aborted; push = pushes[next++]) {
          const outcome = await sendTo(push, limit);
          if (outcome === 'gone') gone.push(push.connectionId);
          if (outcome === 'reached') reached++;
        }
      };
      await Promise.all(Array.from({ length: Math.min(connectionsAtOnce, pushes.length) }, serve));
      return { reached, gone, missed: pushes.length - reached - gone.length };
    },
    close: () => client.destroy(),
  };
}

/** True if the gateway answered that there is no such connection. The status says so even where a name is not given. */
function isGone(error: unknown): boolean {
  return (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode === 410;
}
