/**
 * Sends webhooks to the shop by the Standard Webhooks specification (github.com/standard-webhooks/standard-webhooks): headers
 * webhook-id (the same at every attempt), webhook-timestamp (of the attempt, in seconds) and webhook-signature
 * (`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`).
 *
 * Webhooks wait in the ledger, so they survive a kill. Any instance may send one; a lease keeps two from sending the
 * same at once, and ends by itself if its holder dies. Anything but a 2xx is tried again with back-off for a day;
 * 410 ends it, as the standard says. Delivery is at least once and in no order. Called by server.ts.
 */
import { Webhook as Signer } from 'standardwebhooks';
import type { Faults } from './faults.ts';
import type { Ledger, Webhook } from './ledger.ts';

const attemptTimeoutMs = 5_000;
/** Longer than two attempts, which webhookTwice makes under one lease. */
const leaseMs = 3 * attemptTimeoutMs;
const firstBackOffMs = 250;
const longestBackOffMs = 30_000;
const giveUpAfterMs = 86_400_000;
const lookEveryMs = 200;
const maxInFlight = 20;

export interface WebhookDeps {
  ledger: Ledger;
  faults: Faults;
  url: string;
  secret: string;
  now: () => number;
  log: (message: string) => void;
}

export class WebhookSender {
  private readonly inFlight = new Set<Promise<void>>();
  private timer?: NodeJS.Timeout;
  private readonly stopping = new AbortController();
  private readonly deps: WebhookDeps;

  constructor(deps: WebhookDeps) {
    this.deps = deps;
  }

  /** Starts looking for webhooks that are due, also those left by instances that died. */
  start(): void {
    this.timer = setTimeout(() => {
      this.sendDue();
      this.start();
    }, lookEveryMs);
  }

  /**
   * Sends a new webhook now, later or never, as the faults say. Resolves after the first attempt, or at once when there
   * is none now.
   */
  async announce(id: string): Promise<void> {
    const { ledger, faults, now } = this.deps;
    if (faults.happens('webhookLossRate')) {
      ledger.finishWebhook(id, 'abandoned');
    } else if (faults.settings.webhookDelayMs > 0) {
      ledger.postponeWebhook(id, now() + faults.settings.webhookDelayMs);
    } else if (this.inFlight.size < maxInFlight || faults.settings.webhookFirst) {
      await this.send(id);
    }
  }

  /** Stops sending and cuts requests in flight; the next instance sends their webhooks again. */
  async stop(): Promise<void> {
    clearTimeout(this.timer);
    this.stopping.abort();
    await Promise.all(this.inFlight);
  }

  private sendDue(): void {
    const free = maxInFlight - this.inFlight.size;
    if (free <= 0) return;
    try {
      for (const id of this.deps.ledger.dueWebhooks(free)) void this.send(id);
    } catch (error) {
      this.deps.log(`could not look for webhooks: ${String(error)}`);
    }
  }

  /** Never rejects: a webhook that failed now is still in the ledger and is tried again. */
  private send(id: string): Promise<void> {
    const sending = this.leaseAndAttempt(id)
      .catch((error: unknown) => this.deps.log(`webhook ${id}: ${String(error)}`))
      .finally(() => this.inFlight.delete(sending));
    this.inFlight.add(sending);
    return sending;
  }

  private async leaseAndAttempt(id: string): Promise<void> {
    if (this.stopping.signal.aborted) return;
    const webhook = this.deps.ledger.leaseWebhook(id, leaseMs);
    if (webhook) await this.attempt(webhook);
  }

  private async attempt(webhook: Webhook): Promise<void> {
    const { ledger, faults, now, log } = this.deps;
    const status = await this.post(webhook);
    if (status >= 200 && status < 300) {
      if (faults.settings.webhookTwice) await this.post(webhook);
      ledger.finishWebhook(webhook.id, 'delivered');
    } else if (status === 410 || now() - webhook.createdMs > giveUpAfterMs) {
      ledger.finishWebhook(webhook.id, 'abandoned');
      log(`giving up on webhook ${webhook.id}: the last answer was ${status}`);
    } else {
      const backOffMs = Math.min(firstBackOffMs * 2 ** Math.min(webhook.attempts - 1, 20), longestBackOffMs);
      ledger.postponeWebhook(webhook.id, now() + backOffMs);
    }
  }

  /** One request; the status of its answer, or 0 if there was none. */
  private async post({ id, body }: Webhook): Promise<number> {
    const sentAt = new Date(this.deps.now());
    try {
      const response = await fetch(this.deps.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
          'webhook-signature': new Signer(this.deps.secret).sign(id, sentAt, body),
        },
        body,
        redirect: 'error',
        signal: AbortSignal.any([this.stopping.signal, AbortSignal.timeout(attemptTimeoutMs)]),
      });
      // The body is not needed, but must be read to free the connection.
      await response.arrayBuffer();
      return response.status;
    } catch {
      // Refused, cut or timed out: the sender retries in each case.
      return 0;
    }
  }
}
