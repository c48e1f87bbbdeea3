/**
 * Sends messages to SQS queues, ten at a time, and returns an outcome for each message.
 *
 * Invariant: never throws; an outcome says whether a retry can help. Error codes are those that EventBridge writes on dead
 * letters. Called by delivery.ts.
 */
import { GetQueueUrlCommand, SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';

export interface OutgoingMessage {
  body: string;
  attributes?: Record<string, string>;
}

export type Outcome = { sent: true } | { sent: false; errorCode: string; errorMessage: string; retryable: boolean };

export interface QueueSender {
  /** Sends up to ten messages to one queue; the outcomes are in the order of the messages. */
  send(queueArn: string, messages: OutgoingMessage[]): Promise<Outcome[]>;
  close(): void;
}

const sendTimeoutMs = 5_000;

/** A sender on the real SDK client, without retries: delivery.ts retries. */
export function sqsSender(options: { endpoint?: string; region: string }): QueueSender {
  const { AWS_ACCESS_KEY_ID: accessKeyId = 'local', AWS_SECRET_ACCESS_KEY: secretAccessKey = 'local' } = process.env;
  const client = new SQSClient({
    region: options.region,
    // Emulators accept any credentials; without these the SDK would look for real ones on the machine.
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
    // Queue URLs may name a host that only the emulator can resolve.
    useQueueUrlAsEndpoint: false,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
  });
  const urls = new Map<string, string>();

  async function urlOf(queueArn: string): Promise<string> {
    const known = urls.get(queueArn);
    if (known !== undefined) return known;
    const [, , , , account, name] = queueArn.split(':');
    const found = await client.send(new GetQueueUrlCommand({ QueueName: name, QueueOwnerAWSAccountId: account }), {
      abortSignal: AbortSignal.timeout(sendTimeoutMs),
    });
    const url = found.QueueUrl ?? '';
    urls.set(queueArn, url);
    return url;
  }

  async function send(queueArn: string, messages: OutgoingMessage[]): Promise<Outcome[]> {
    try {
      const command = new SendMessageBatchCommand({
        QueueUrl: await urlOf(queueArn),
        Entries: messages.map((message, index) => ({
          Id: String(index),
          MessageBody: message.body,
          MessageAttributes: message.attributes && stringAttributes(message.attributes),
        })),
      });
      const answer = await client.send(command, { abortSignal: AbortSignal.timeout(sendTimeoutMs) });
      const sent = new Set(answer.Successful?.map((entry) => entry.Id));
      const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]));
      return messages.map((_, index): Outcome => {
        if (sent.has(String(index))) return { sent: true };
        const failure = failed.get(String(index));
        return {
          sent: false,
          errorCode: failure?.SenderFault ? 'INVALID_PARAMETER' : 'ERROR_FROM_TARGET',
          errorMessage: failure?.Message ?? failure?.Code ?? 'The queue gave no result for the message.',
          retryable: !failure?.SenderFault,
        };
      });
    } catch (error) {
      const outcome = classify(error);
      if (outcome.errorCode === 'NO_RESOURCE') urls.delete(queueArn);
      return messages.map(() => outcome);
    }
  }

  return { send, close: () => client.destroy() };
}

function stringAttributes(attributes: Record<string, string>) {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name, { DataType: 'String', StringValue: value }]),
  );
}

/** SQS errors that no retry can cure, and EventBridge's names for them. */
const finalErrors: [RegExp, string][] = [
  [/QueueDoesNotExist|NonExistentQueue/, 'NO_RESOURCE'],
  [/AccessDenied/, 'NO_PERMISSIONS'],
  [/InvalidParameter|InvalidMessageContents|BatchRequestTooLong|MissingParameter/, 'INVALID_PARAMETER'],
];

function classify(error: unknown): Outcome & { sent: false } {
  const name = error instanceof Error ? error.name : 'Error';
  const errorMessage = (error instanceof Error && error.message) || name;
  for (const [pattern, errorCode] of finalErrors) {
    if (pattern.test(name)) return { sent: false, errorCode, errorMessage, retryable: false };
  }
  if (name === 'TimeoutError' || name === 'AbortError') {
    return { sent: false, errorCode: 'TIMEOUT', errorMessage, retryable: true };
  }
  if (/Throttl/.test(name)) return { sent: false, errorCode: 'THROTTLING', errorMessage, retryable: true };
  const answered = typeof error === 'object' && error !== null && '$metadata' in error;
  const errorCode = answered && '$fault' in error ? 'ERROR_FROM_TARGET' : 'CONNECTION_FAILURE';
  return { sent: false, errorCode, errorMessage, retryable: true };
}
