/**
 * Sending to WebSocket connections, through the management API of the gateway that holds them.
 *
 * A push is best effort: its content is stored elsewhere, and a client that missed it asks again. So sending never
 * throws, never exceeds its time limit, and skips connections that cannot be reached within it.
 */
import {
  ApiGatewayManagementApiClient,
  DeleteConnectionCommand,
  PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi';
import pLimit from 'p-limit';
import { log } from '#platform/kernel/log.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';

/** How long sending one message to one connection may take. */
const callTimeoutMs = 1_000;
/** How many connections are sent to at a time. */
const connectionsAtOnce = 32;

/** What is sent to one connection; the messages arrive in this order. */
export interface Push {
  readonly connectionId: string;
  readonly messages: readonly object[];
  /** The connection is closed after these messages, whether or not they arrived. */
  readonly thenClose?: boolean;
}

export interface PushResult {
  /** Connections that received all their messages. */
  readonly reached: number;
  /** Connections that the gateway no longer knows. */
  readonly gone: string[];
  /** Connections that were not reached: too slow, refused, or the time limit had passed. */
  readonly missed: number;
}

export interface Pusher {
  /** Sends to many connections at once, for at most `limitMs`. Never throws. */
  send(pushes: Push[], limitMs: number): Promise<PushResult>;
  close(): void;
}

/** Opens the pusher. A stack without a WebSocket API registers no address for it; then there are no connections. */
export function openPusher(endpoint: string | undefined, breakers: Breakers = openBreakers()): Pusher {
  if (!endpoint) {
    return { send: async (pushes) => ({ reached: 0, gone: [], missed: pushes.length }), close: () => undefined };
  }
  const client = new ApiGatewayManagementApiClient({ endpoint, maxAttempts: 1 });
  const guard = breakers.get('websocket', {
    resetTimeoutMs: 1_000,
    isRefusal: isGone,
  });

  type Outcome = 'reached' | 'gone' | 'missed';
  const abortAt = (limit: AbortSignal) => ({
    abortSignal: AbortSignal.any([limit, AbortSignal.timeout(callTimeoutMs)]),
  });

  async function sendTo({ connectionId, messages, thenClose }: Push, limit: AbortSignal): Promise<Outcome> {
    const outcome = await outcomeOf(connectionId, async () => {
      for (const message of messages) {
        const command = new PostToConnectionCommand({ ConnectionId: connectionId, Data: JSON.stringify(message) });
        await guard.run(() => client.send(command, abortAt(limit)));
      }
    });
    if (!thenClose || outcome === 'gone') return outcome;
    const closing = await outcomeOf(connectionId, async () => {
      const command = new DeleteConnectionCommand({ ConnectionId: connectionId });
      await guard.run(() => client.send(command, abortAt(limit)));
    });
    // A connection that is gone needs no closing.
    return closing === 'missed' ? 'missed' : outcome;
  }

  async function outcomeOf(connectionId: string, work: () => Promise<void>): Promise<Outcome> {
    try {
      await work();
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
      await pLimit(connectionsAtOnce).map(pushes, async (push) => {
        if (limit.aborted) return;
        const outcome = await sendTo(push, limit);
        if (outcome === 'gone') gone.push(push.connectionId);
        if (outcome === 'reached') reached++;
      });
      return { reached, gone, missed: pushes.length - reached - gone.length };
    },
    close: () => client.destroy(),
  };
}

/** True if the gateway answered that there is no such connection. Checks the status, since the name may be missing. */
function isGone(error: unknown): boolean {
  return (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode === 410;
}
