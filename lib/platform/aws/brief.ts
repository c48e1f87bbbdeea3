/**
 * The two calls that carry everything, SendMessageBatch and PutEvents, in few microseconds: written, signed and read here
 * instead of by the SDK, whose work for one such call costs several times everything else that accepting a request does,
 * and a tenth of what deciding a batch does. Called by `aws.ts`.
 *
 * Invariant: whoever sends cannot tell the difference. Credentials, region, clock and endpoint are the client's; whatever
 * is not a plain success (an error of any kind, an answer that cannot be read) is sent once more by the SDK, which knows
 * what to repeat and what to throw. What is sent may arrive twice by that, as by any repetition after a lost answer.
 */
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import { type EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { awsCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { openLines } from './http-line.ts';

/** What a signature needs of whoever signs. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** An operation of the AWS JSON protocols that has a short way. */
interface Operation {
  /** The service's name in signatures. */
  readonly service: string;
  readonly contentType: string;
  readonly target: string;
}

const sendMessageBatch: Operation = {
  service: 'sqs',
  contentType: 'application/x-amz-json-1.0',
  target: 'AmazonSQS.SendMessageBatch',
};

const putEvents: Operation = {
  service: 'events',
  contentType: 'application/x-amz-json-1.1',
  target: 'AWSEvents.PutEvents',
};

/** Makes a client send its batches in the short way. Everything else, and what fails, goes the SDK's. */
export function sendBriefly(client: SQSClient): SQSClient {
  return shorten(client, sendMessageBatch, {
    placeOf: (command) =>
      command instanceof SendMessageBatchCommand && (command.input.Entries ?? []).every(isPlain)
        ? new URL(command.input.QueueUrl ?? '')
        : undefined,
    isAnswer: ({ Successful }) => Array.isArray(Successful),
  });
}

/**
 * Makes a client publish its events in the short way. Everything else, and what fails, goes the SDK's, and so does the
 * first call, from which the client's endpoint is known.
 */
export function publishBriefly(client: EventBridgeClient): EventBridgeClient {
  let endpoint: URL | undefined;
  client.middlewareStack.add(
    (next) => (call) => {
      const { protocol, hostname, port, path } = call.request as Place;
      if (path === '/') endpoint = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`);
      return next(call);
    },
    { step: 'finalizeRequest', name: 'noteEndpoint' },
  );
  return shorten(client, putEvents, {
    placeOf: (command) => {
      if (!(command instanceof PutEventsCommand) || command.input.EndpointId !== undefined) return undefined;
      return (command.input.Entries ?? []).every(({ Time }) => Time === undefined) ? endpoint : undefined;
    },
    isAnswer: ({ Entries }) => Array.isArray(Entries),
  });
}

/** The part of the SDK's request that says where it goes. */
interface Place {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
}

/** Whether JSON alone can say it: attributes may hold bytes, which the SDK knows to write. */
function isPlain(entry: { MessageAttributes?: unknown; MessageSystemAttributes?: unknown }): boolean {
  return !entry.MessageAttributes && !entry.MessageSystemAttributes;
}

interface ShortWay {
  /** Where a command goes the short way; undefined if it must go the SDK's. */
  placeOf(command: unknown): URL | undefined;
  /** Whether an answer says what became of each entry. */
  isAnswer(body: Record<string, unknown>): boolean;
}

interface SendOptions {
  abortSignal?: AbortSignal;
}

/** A call without an abort signal of its own is given up after `awsCallTimeoutMs`, both ways together. */
function shorten<Client extends SQSClient | EventBridgeClient>(
  client: Client,
  operation: Operation,
  { placeOf, isAnswer }: ShortWay,
): Client {
  const lines = openLines();
  const viaSdk = client.send.bind(client) as (command: unknown, options?: SendOptions) => Promise<unknown>;
  const destroy = client.destroy.bind(client);
  const sign = signer(operation);

  async function brief(url: URL, input: unknown, dueMs: number, signal: AbortSignal | undefined): Promise<unknown> {
    const { config } = client;
    // Made into bytes once: it is measured, digested and sent.
    const payload = Buffer.from(JSON.stringify(input));
    const atMs = Date.now() + config.systemClockOffset;
    const head = sign(await config.credentials(), await config.region(), { host: url.host, payload, atMs });
    const { status, body } = await lines.call(url, Buffer.concat([Buffer.from(head), payload]), dueMs, signal);
    const answer = JSON.parse(body) as Record<string, unknown> | null;
    if (status !== 200 || !answer || !isAnswer(answer)) throw new Error(`${operation.target} was answered ${status}`);
    return answer;
  }

  async function send(command: { input: unknown }, options?: SendOptions): Promise<unknown> {
    const url = placeOf(command);
    const dueMs = Date.now() + awsCallTimeoutMs;
    const answer = url && (await brief(url, command.input, dueMs, options?.abortSignal).catch(() => undefined));
    if (answer) return answer;
    const abortSignal = options?.abortSignal ?? AbortSignal.timeout(Math.max(0, dueMs - Date.now()));
    return viaSdk(command, { ...options, abortSignal });
  }

  return Object.assign(client, {
    send,
    destroy() {
      lines.close();
      destroy();
    },
  });
}

/** What is signed: a POST of JSON to the root of a host. */
export interface Signed {
  readonly host: string;
  readonly payload: Buffer;
  readonly atMs: number;
}

/**
 * Signs calls of one operation with Signature Version 4; returns the head of the request to send. The signing key changes
 * once a day or with the credentials, and is kept until then.
 */
export function signer({ service, contentType, target }: Operation) {
  // Made into a key object once: turning bytes into a key takes several times as long as signing with it.
  let kept: { of: string; key: KeyObject } | undefined;
  const mac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

  return (credentials: Credentials, region: string, { host, payload, atMs }: Signed): string => {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const time = new Date(atMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const scope = `${time.slice(0, 8)}/${region}/${service}/aws4_request`;
    const of = `${secretAccessKey}/${scope}`;
    if (kept?.of !== of) {
      const bytes = scope.split('/').reduce<string | Buffer>(mac, `AWS4${secretAccessKey}`) as Buffer;
      kept = { of, key: createSecretKey(bytes) };
    }
    const token = sessionToken === undefined ? [] : [`x-amz-security-token:${sessionToken}`];
    const names = `content-type;host;x-amz-date;${token.length > 0 ? 'x-amz-security-token;' : ''}x-amz-target`;
    // In the order of their names, as they are signed.
    const fields = [
      `content-type:${contentType}`,
      `host:${host}`,
      `x-amz-date:${time}`,
      ...token,
      `x-amz-target:${target}`,
    ];
    const canonical = ['POST', '/', '', ...fields, '', names, hash('sha256', payload)].join('\n');
    const signed = ['AWS4-HMAC-SHA256', time, scope, hash('sha256', canonical)].join('\n');
    const signature = createHmac('sha256', kept.key).update(signed).digest('hex');
    return [
      'POST / HTTP/1.1',
      ...fields,
      `content-length:${payload.length}`,
      `authorization:AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
      '\r\n',
    ].join('\r\n');
  };
}
