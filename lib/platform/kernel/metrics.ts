/**
 * Metrics: one line of JSON per request or batch, in CloudWatch's embedded metric format, from which CloudWatch makes the
 * metrics that alarms and the dashboard watch. Writing a line needs no network call and cannot fail a request.
 *
 * Every name is in the catalog below with its unit and meaning; the contract test checks the alarms and the dashboard
 * against it. Call `measure` to record values; lines are written only where `HOLDFAST_METRICS=emf` is set, in AWS.
 */
import { correlationId } from './log.ts';

type Unit = 'Count' | 'Milliseconds';

/** What is measured. All have the dimension Stage; those of a queue have Queue as well. */
export const metrics = {
  Requests: { unit: 'Count', means: 'HTTP requests answered' },
  Refusals: { unit: 'Count', means: 'of these, answered with a 4xx: the request was refused' },
  RequestFaults: { unit: 'Count', means: 'of these, answered with a 5xx: something failed on the server side' },
  RequestMs: { unit: 'Milliseconds', means: 'time from the event to the answer, within the function' },
  Messages: { unit: 'Count', means: 'messages delivered to a worker' },
  MessagesRepeated: { unit: 'Count', means: 'of these, to be delivered again' },
  MessagesDeadLettered: { unit: 'Count', means: 'of these, sent to the dead-letter queue' },
  BatchMs: { unit: 'Milliseconds', means: 'time a batch took' },
  OldestMessageAgeMs: { unit: 'Milliseconds', means: 'age of the oldest message of a batch when the worker got it' },
  BreakersOpened: { unit: 'Count', means: 'breakers that opened; the line names the breaker' },
  PaymentsDisputed: {
    unit: 'Count',
    means: 'captures and refunds that contradict the order, or a second charge for a purchase',
  },
  RefundsFailed: { unit: 'Count', means: 'refunds that the provider refused' },
  Reconciliations: { unit: 'Count', means: 'steps of reconcile; small sales need one' },
  Drifts: { unit: 'Count', means: 'differences that reconcile found between MySQL, ledger, mirror and gate' },
  WebhooksDelivered: { unit: 'Count', means: 'webhooks that their endpoint has taken' },
  WebhooksFailed: { unit: 'Count', means: 'attempts at a webhook that its endpoint did not take' },
  WebhooksSwitchedOff: { unit: 'Count', means: 'endpoints of webhooks that were switched off after days of failure' },
  MailsSent: { unit: 'Count', means: 'mails that the mail server has taken' },
  MailsDelayed: { unit: 'Count', means: 'attempts at a mail that the mail server did not take; they are made again' },
  MailsGivenUp: { unit: 'Count', means: 'mails that were refused for good, or could not be sent in time' },
  OutboxEvents: { unit: 'Count', means: 'committed events that wait to be published' },
  OutboxOldestMs: { unit: 'Milliseconds', means: 'age of the oldest of them' },
} as const satisfies Record<string, { unit: Unit; means: string }>;

export type MetricName = keyof typeof metrics;

/** What goes with the values: the queue, which is a dimension, and facts that can be searched but not alarmed on. */
export interface Circumstances {
  readonly queue?: string;
  readonly facts?: Readonly<Record<string, string | number | readonly string[]>>;
}

const namespace = 'Holdfast';
/** Whether metrics are written. If not, facts that are costly to gather need not be gathered. */
export const listens = process.env.HOLDFAST_METRICS === 'emf';
const stage = process.env.HOLDFAST_STAGE ?? 'local';

/** Writes values that belong together as one line. Does nothing unless metrics are enabled. */
export function measure(values: Partial<Record<MetricName, number>>, circumstances: Circumstances = {}): void {
  if (listens) process.stdout.write(`${JSON.stringify(embedded(values, circumstances, stage, Date.now()))}\n`);
}

/** The line itself, in the embedded metric format. */
export function embedded(
  values: Partial<Record<MetricName, number>>,
  { queue, facts }: Circumstances,
  stage: string,
  nowMs: number,
): Record<string, unknown> {
  const id = correlationId();
  return {
    _aws: {
      Timestamp: nowMs,
      CloudWatchMetrics: [
        {
          Namespace: namespace,
          Dimensions: [queue === undefined ? ['Stage'] : ['Stage', 'Queue']],
          Metrics: Object.keys(values).map((name) => ({ Name: name, Unit: metrics[name as MetricName].unit })),
        },
      ],
    },
    Stage: stage,
    ...(queue === undefined ? {} : { Queue: queue }),
    ...(id === undefined ? {} : { correlationId: id }),
    ...facts,
    ...values,
  };
}
