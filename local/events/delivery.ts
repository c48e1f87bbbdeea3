/**
 * Delivers accepted events to their queues: at least once, with back-off, and to the dead-letter queue once retries are
 * exhausted.
 *
 * Each target queue has its deliveries in order of their due time, a few batches in flight, ten messages to a batch. A
 * delivery is removed from the store only after its queue has taken it, so a crash between the two sends it again and
 * loses nothing.
 *
 * A failed attempt waits twice as long each time, with jitter, until the target's retry policy ends it; then it goes
 * to the dead-letter queue with the attributes EventBridge sets, or is dropped with a line in the log if the target
 * has none. When a queue that had failed takes a message again, all that wait for it are sent at once. Dead letters
 * are retried until their queue takes them.
 *
 * Called by accept.ts (deliver) and server.ts (start, stop, wake after a change of faults).
 */
import TinyQueue from 'tinyqueue';
import type { Faults } from './faults.ts';
import type { Outcome, OutgoingMessage, QueueSender } from './sender.ts';
import type { DeadLetterReason, Delivery, Store } from './store.ts';

const batchMessages = 10;
/** SQS refuses a batch beyond 256 KiB; some room is left for attributes. */
const batchBytes = 250_000;
const batchesInFlight = 4;

export interface BackOff {
  firstMs: number;
  longestMs: number;
}

export interface DeliveryCounts {
  delivered: number;
  retried: number;
  deadLettered: number;
  dropped: number;
  /** Accepted and not yet taken by any queue. */
  pending: number;
}

export interface DeliveryDeps {
  store: Store;
  sender: QueueSender;
  faults: Faults;
  backOff: BackOff;
  now: () => number;
  log: (message: string) => void;
}

interface TargetQueue {
  queueArn: string;
  waiting: TinyQueue<Delivery>;
  /** Deliveries of a paused rule, put back when the pause ends. */
  held: Delivery[];
  batchesInFlight: number;
  failing: boolean;
  timer?: NodeJS.Timeout;
}

export class Deliverer {
  readonly counts: DeliveryCounts = { delivered: 0, retried: 0, deadLettered: 0, dropped: 0, pending: 0 };
  private readonly queues = new Map<string, TargetQueue>();
  private readonly inFlight = new Set<Promise<void>>();
  private stopped = false;
  private readonly deps: DeliveryDeps;

  constructor(deps: DeliveryDeps) {
    this.deps = deps;
  }

  /** Loads what an earlier process left undelivered. */
  start(): void {
    this.deliver(this.deps.store.undelivered());
  }

  /** Starts deliveries that are already in the store. */
  deliver(deliveries: Delivery[]): void {
    this.counts.pending += deliveries.length;
    const touched = new Set(deliveries.map((delivery) => this.queue(delivery)));
    for (const target of touched) this.sendDue(target);
  }

  /** Tries everything that waits, after the faults or the clock have changed. */
  wake(): void {
    for (const target of this.queues.values()) {
      for (const delivery of target.held.splice(0)) target.waiting.push(delivery);
      this.sendDue(target);
    }
  }

  /** Sends nothing more and waits for what is in flight. What is left stays in the store. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const target of this.queues.values()) clearTimeout(target.timer);
    await Promise.all(this.inFlight);
  }

  private queue(delivery: Delivery): TargetQueue {
    const { route, deadLetter } = delivery;
    const queueArn = deadLetter && route.deadLetterArn !== undefined ? route.deadLetterArn : route.targetArn;
    let target = this.queues.get(queueArn);
    if (!target) {
      target = { queueArn, waiting: queueOf(), held: [], batchesInFlight: 0, failing: false };
      this.queues.set(queueArn, target);
    }
    target.waiting.push(delivery);
    return target;
  }

  /** Sends as many batches to a queue as may be in flight and sets its timer for the next delivery that is due. */
  private sendDue(target: TargetQueue): void {
    if (this.stopped) return;
    clearTimeout(target.timer);
    // A failing queue is probed with one batch at a time, so that it costs little.
    const allowed = target.failing ? 1 : batchesInFlight;
    while (target.batchesInFlight < allowed) {
      const batch = this.takeBatch(target);
      if (batch.length === 0) break;
      target.batchesInFlight += 1;
      const sending = this.sendBatch(target, batch).finally(() => {
        target.batchesInFlight -= 1;
        this.inFlight.delete(sending);
        this.sendDue(target);
      });
      this.inFlight.add(sending);
    }
    const next = target.waiting.peek();
    if (next && target.batchesInFlight < allowed) {
      const waitMs = Math.min(Math.max(next.dueMs - this.deps.now(), 1), 60_000);
      target.timer = setTimeout(() => this.sendDue(target), waitMs);
    }
  }

  private takeBatch(target: TargetQueue): Delivery[] {
    const batch: Delivery[] = [];
    let bytes = 0;
    for (let next = target.waiting.peek(); next; next = target.waiting.peek()) {
      if (next.dueMs > this.deps.now() || batch.length === batchMessages) break;
      if (!next.deadLetter && this.deps.faults.holds(next.route.ruleArn)) {
        target.held.push(next);
        target.waiting.pop();
        continue;
      }
      bytes += Buffer.byteLength(next.body);
      if (batch.length > 0 && bytes > batchBytes) break;
      batch.push(next);
      target.waiting.pop();
    }
    return batch;
  }

  private async sendBatch(target: TargetQueue, batch: Delivery[]): Promise<void> {
    const outcomes = await this.attempt(target.queueArn, batch);
    const taken: Delivery[] = [];
    const kept: Delivery[] = [];
    for (const [index, delivery] of batch.entries()) {
      const outcome = outcomes[index] ?? noOutcome;
      if (outcome.sent) {
        taken.push(delivery);
        this.counts[delivery.deadLetter ? 'deadLettered' : 'delivered'] += 1;
      } else if (this.keep(delivery, outcome)) {
        kept.push(delivery);
      } else {
        taken.push(delivery);
        this.counts.dropped += 1;
        this.deps.log(`dropped an event of ${delivery.route.ruleArn}: ${outcome.errorCode} ${outcome.errorMessage}`);
      }
    }
    const recovered = target.failing && outcomes.some((outcome) => outcome.sent);
    target.failing = outcomes.every((outcome) => !outcome.sent && outcome.retryable);
    if (recovered) this.makeRetriesDue(target);
    try {
      await this.deps.store.commit({ removed: taken, updated: kept });
    } catch (error) {
      // The rows stay as they were: after a restart these deliveries may be sent again, none is lost.
      this.deps.log(`could not record ${batch.length} deliveries: ${String(error)}`);
    }
    this.counts.pending -= taken.length;
    for (const delivery of kept) {
      const next = this.queue(delivery);
      if (next !== target) this.sendDue(next);
    }
  }

  private async attempt(queueArn: string, batch: Delivery[]): Promise<Outcome[]> {
    const failing = batch.map(() => this.deps.faults.failsDelivery());
    const sending = batch.filter((_, index) => !failing[index]);
    const sent = sending.length > 0 ? await this.deps.sender.send(queueArn, sending.map(messageOf)) : [];
    let position = 0;
    return failing.map((failed) => (failed ? injected : (sent[position++] ?? noOutcome)));
  }

  /** Decides what follows a failed attempt: a later one, the dead-letter queue, or (false) nothing. */
  private keep(delivery: Delivery, outcome: Outcome & { sent: false }): boolean {
    const { route } = delivery;
    const nowMs = this.deps.now();
    if (delivery.deadLetter) {
      if (!outcome.retryable) return false;
      delivery.failures += 1;
      delivery.dueMs = nowMs + this.backOffMs(delivery.failures);
      return true;
    }
    const ageEndsMs = delivery.acceptedMs + route.maxAgeMs;
    let exhausted: DeadLetterReason['exhausted'];
    if (delivery.failures >= route.maxRetries) exhausted = 'MaximumRetryAttempts';
    else if (nowMs >= ageEndsMs) exhausted = 'MaximumEventAgeInSeconds';
    if (outcome.retryable && !exhausted) {
      delivery.failures += 1;
      this.counts.retried += 1;
      // The last attempt is made when the event reaches its age, not a back-off later.
      delivery.dueMs = Math.min(nowMs + this.backOffMs(delivery.failures), ageEndsMs);
      return true;
    }
    if (route.deadLetterArn === undefined) return false;
    delivery.deadLetter = {
      errorCode: outcome.errorCode,
      errorMessage: outcome.errorMessage,
      exhausted: outcome.retryable ? exhausted : undefined,
      retryAttempts: delivery.failures,
    };
    delivery.failures = 0;
    delivery.dueMs = nowMs;
    return true;
  }

  /** Ends the back-off of everything that has failed before; first attempts keep their time. */
  private makeRetriesDue(target: TargetQueue): void {
    const nowMs = this.deps.now();
    const deliveries = target.waiting.data;
    for (const delivery of deliveries) {
      if (delivery.failures > 0) delivery.dueMs = Math.min(delivery.dueMs, nowMs);
    }
    target.waiting = queueOf(deliveries);
  }

  private backOffMs(failures: number): number {
    const { firstMs, longestMs } = this.deps.backOff;
    const fullMs = Math.min(firstMs * 2 ** Math.min(failures - 1, 30), longestMs);
    return Math.ceil(fullMs * (0.5 + Math.random() / 2));
  }
}

const noOutcome: Outcome & { sent: false } = {
  sent: false,
  errorCode: 'UNKNOWN',
  errorMessage: 'The queue gave no result for the message.',
  retryable: true,
};

const injected: Outcome = {
  sent: false,
  errorCode: 'INTERNAL_ERROR',
  errorMessage: 'A failed delivery was asked for with /_faults.',
  retryable: true,
};

/** The event as its target gets it, or with the reasons EventBridge adds when it is a dead letter. */
function messageOf({ body, deadLetter, route }: Delivery): OutgoingMessage {
  if (!deadLetter) return { body };
  return {
    body,
    attributes: {
      RULE_ARN: route.ruleArn,
      TARGET_ARN: route.targetArn,
      ERROR_CODE: deadLetter.errorCode,
      ERROR_MESSAGE: deadLetter.errorMessage,
      RETRY_ATTEMPTS: String(deadLetter.retryAttempts),
      ...(deadLetter.exhausted ? { EXHAUSTED_RETRY_CONDITION: deadLetter.exhausted } : {}),
    },
  };
}

/** The earliest due first, ties in order of acceptance. */
function queueOf(deliveries: Delivery[] = []): TinyQueue<Delivery> {
  return new TinyQueue(deliveries, (a, b) => a.dueMs - b.dueMs || a.seq - b.seq);
}
