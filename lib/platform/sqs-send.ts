/**
 * Sending to SQS in few microseconds: SendMessageBatch written, signed and read here instead of by the SDK, whose work for
 * one such call costs several times everything else that accepting a request does. Called by `aws.ts`.
 *
 * Invariant: whoever sends cannot tell the difference. Credentials, region and clock are the client's; whatever is not a
 * plain success (an error of any kind, an answer that cannot be read) is sent once more by the SDK, which knows what to
 * repeat and what to throw. A message may be sent twice by that, as by any repetition after a lost answer.
 */
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import {
  SendMessageBatchCommand,
  type SendMessageBatchCommandInput,
  type SendMessageBatchCommandOutput,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { openLines } from './http-line.ts';
import { awsCallTimeoutMs } from './timings.ts';

/** What a signature needs of whoever signs. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

const contentType = 'application/x-amz-json-1.0';
const target = 'AmazonSQS.SendMessageBatch';

/**
 * Makes a client send its batches in the short way. Everything else, and what fails, goes the SDK's. A batch without an
 * abort signal of its own is given up after `awsCallTimeoutMs`, both ways together.
 */
export function sendBriefly(client: SQSClient): SQSClient {
  const lines = openLines();
  const viaSdk = client.send.bind(client) as (command: unknown, options?: SendOptions) => Promise<unknown>;
  const destroy = client.destroy.bind(client);
  const sign = signer('sqs');

  async function brief(
    input: SendMessageBatchCommandInput,
    dueMs: number,
    signal: AbortSignal | undefined,
  ): Promise<SendMessageBatchCommandOutput> {
    const { config } = client;
    const url = new URL(input.QueueUrl ?? '');
    const payload = JSON.stringify(input);
    const atMs = Date.now() + config.systemClockOffset;
    const head = sign(await config.credentials(), await config.region(), { host: url.host, payload, atMs });
    const { status, body } = await lines.call(url, head + payload, dueMs, signal);
    if (status !== 200) throw new Error(`SQS answered ${status}`);
    return JSON.parse(body) as SendMessageBatchCommandOutput;
  }

  async function send(command: unknown, options?: SendOptions): Promise<unknown> {
    if (!(command instanceof SendMessageBatchCommand) || !isPlain(command.input)) return viaSdk(command, options);
    const dueMs = Date.now() + awsCallTimeoutMs;
    const answer = await brief(command.input, dueMs, options?.abortSignal).catch(() => undefined);
    if (Array.isArray(answer?.Successful)) return answer;
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

interface SendOptions {
  abortSignal?: AbortSignal;
}

/** Whether JSON alone can say it: attributes may hold bytes, which the SDK knows to write. */
function isPlain({ Entries = [] }: SendMessageBatchCommandInput): boolean {
  return Entries.every((entry) => !entry.MessageAttributes && !entry.MessageSystemAttributes);
}

/** What is signed: a POST of JSON to the root of a host. */
export interface Signed {
  readonly host: string;
  readonly payload: string;
  readonly atMs: number;
}

/**
 * Signs calls of one service with Signature Version 4; returns the head of the request to send. The signing key changes
 * once a day or with the credentials, and is kept until then.
 */
export function signer(service: string) {
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
      `content-length:${Buffer.byteLength(payload)}`,
      `authorization:AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
      '\r\n',
    ].join('\r\n');
  };
}
