/**
 * Sending to SQS in few microseconds: SendMessageBatch written, signed and read here instead of by the SDK, whose work for
 * one such call costs several times everything else that accepting a request does. Called by `aws.ts`.
 *
 * Invariant: whoever sends cannot tell the difference. Credentials, region and clock are the client's; whatever is not a
 * plain success (an error of any kind, an answer that cannot be read) is sent once more by the SDK, which knows what to
 * repeat and what to throw. A message may be sent twice by that, as by any repetition after a lost answer.
 */
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import {
  SendMessageBatchCommand,
  type SendMessageBatchCommandInput,
  type SendMessageBatchCommandOutput,
  type SQSClient,
} from '@aws-sdk/client-sqs';
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
  const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };
  const viaSdk = client.send.bind(client) as (command: unknown, options?: SendOptions) => Promise<unknown>;
  const destroy = client.destroy.bind(client);
  const sign = signer('sqs');

  async function brief(
    input: SendMessageBatchCommandInput,
    dueMs: number,
    signal: AbortSignal | undefined,
  ): Promise<SendMessageBatchCommandOutput> {
    const { config } = client;
    const { protocol, hostname, port, host } = new URL(input.QueueUrl ?? '');
    const payload = JSON.stringify(input);
    const headers = sign(await config.credentials(), await config.region(), {
      host,
      payload,
      atMs: Date.now() + config.systemClockOffset,
    });
    const [request, agent] = protocol === 'https:' ? [requestHttps, agents.https] : [requestHttp, agents.http];
    let timer: NodeJS.Timeout | undefined;
    try {
      const text = await new Promise<string>((resolve, reject) => {
        const sent = request({ hostname, port, agent, method: 'POST', headers, signal }, (response) => {
          read(response).then(resolve, reject);
        });
        timer = setTimeout(() => sent.destroy(new Error('SQS did not answer in time')), dueMs - Date.now());
        sent.on('error', reject);
        sent.end(payload);
      });
      return JSON.parse(text) as SendMessageBatchCommandOutput;
    } finally {
      clearTimeout(timer);
    }
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
      for (const agent of Object.values(agents)) agent.destroy();
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

function read(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text += part;
    });
    response.on('end', () => {
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`SQS answered ${response.statusCode}`));
    });
    response.on('error', reject);
  });
}

/** What is signed: a POST of JSON to the root of a host. */
export interface Signed {
  readonly host: string;
  readonly payload: string;
  readonly atMs: number;
}

/**
 * Signs calls of one service with Signature Version 4 and returns the headers to send. The signing key changes once a day
 * or with the credentials, and is kept until then.
 */
export function signer(service: string) {
  // Made into a key object once: turning bytes into a key takes several times as long as signing with it.
  let kept: { of: string; key: KeyObject } | undefined;
  const mac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

  return (
    credentials: Credentials,
    region: string,
    { host, payload, atMs }: Signed,
  ): Record<string, string | number> => {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const time = new Date(atMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const scope = `${time.slice(0, 8)}/${region}/${service}/aws4_request`;
    const of = `${secretAccessKey}/${scope}`;
    if (kept?.of !== of) {
      const bytes = scope.split('/').reduce<string | Buffer>(mac, `AWS4${secretAccessKey}`) as Buffer;
      kept = { of, key: createSecretKey(bytes) };
    }
    const token = sessionToken === undefined ? '' : `x-amz-security-token:${sessionToken}\n`;
    const names = `content-type;host;x-amz-date;${token === '' ? '' : 'x-amz-security-token;'}x-amz-target`;
    const canonical = `POST\n/\n\ncontent-type:${contentType}\nhost:${host}\nx-amz-date:${time}\n${token}x-amz-target:${target}\n\n${names}\n${hash('sha256', payload)}`;
    const signature = createHmac('sha256', kept.key)
      .update(`AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash('sha256', canonical)}`)
      .digest('hex');
    return {
      host,
      'content-type': contentType,
      'content-length': Buffer.byteLength(payload),
      'x-amz-date': time,
      'x-amz-target': target,
      ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
      authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    };
  };
}
