/**
 * The client for SQS: the SDK's, with a short way for the call that customers wait for.
 *
 * The SDK takes some 500 µs of processor time to send one message, of which most of accepting a reservation consisted. So
 * the first attempt is signed by aws4 and made by undici. Anything but a plain success is done by the SDK, as if there
 * had been no attempt: it knows what to repeat, what to throw, and how far this clock is off. Credentials, region and clock
 * are the SDK client's, so they are found, and renewed, in one way.
 */
import {
  SendMessageBatchCommand,
  type SendMessageBatchCommandOutput,
  type SendMessageBatchRequestEntry,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import aws4 from 'aws4';
import { type Dispatcher, Pool } from 'undici';
import { awsCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { connectTimeoutMs } from './client-settings.ts';

/** How long an idle connection is kept. If SQS closes it earlier, the attempt fails and the SDK sends. */
const keepAliveTimeout = 30_000;

const commonHeaders = {
  'content-type': 'application/x-amz-json-1.0',
  'x-amz-target': 'AmazonSQS.SendMessageBatch',
};

/** Which entries SQS accepted and which it did not: it decides entry by entry. */
export type Sent = Pick<SendMessageBatchCommandOutput, 'Successful' | 'Failed'>;

export class SqsClient extends SQSClient {
  readonly #pools = new Map<string, Pool>();

  /** `md5: false`: digests of bodies add nothing to TLS, and cost a sixth of a call's processor time. */
  constructor(config: SQSClientConfig) {
    super({ ...config, md5: false });
  }

  /**
   * Sends up to ten messages. Throws if the call fails, or takes longer than `awsCallTimeoutMs`, repetitions included; then
   * some of them may have arrived.
   */
  async sendMessages(url: string, entries: SendMessageBatchRequestEntry[]): Promise<Sent> {
    const startedAtMs = performance.now();
    const input = { QueueUrl: url, Entries: entries };
    try {
      const sent = await this.#firstAttempt(new URL(url), JSON.stringify(input));
      if (sent) return sent;
    } catch (error) {
      if (error instanceof OutOfTime) throw error;
    }
    const leftMs = Math.max(1, Math.ceil(awsCallTimeoutMs - (performance.now() - startedAtMs)));
    return this.send(new SendMessageBatchCommand(input), { abortSignal: AbortSignal.timeout(leftMs) });
  }

  /** The first attempt. Undefined if it was answered with anything but a success. */
  async #firstAttempt({ origin, host }: URL, body: string): Promise<Sent | undefined> {
    const [credentials, region] = await Promise.all([this.config.credentials(), this.config.region()]);
    const date = new Date(Date.now() + this.config.systemClockOffset).toISOString().replace(/[:-]|\.\d{3}/g, '');
    const trace = process.env._X_AMZN_TRACE_ID;
    const { headers } = aws4.sign(
      {
        ...{ method: 'POST', path: '/', service: 'sqs', region, body },
        headers: {
          ...commonHeaders,
          host,
          'x-amz-date': date,
          // As the SDK does: Lambda's trace goes on through the queue, and a loop of functions is noticed.
          ...(trace === undefined ? {} : { 'x-amzn-trace-id': trace }),
        },
      },
      credentials,
    );
    const { status, text } = await post(this.#poolOf(origin), headers as Record<string, string>, body);
    return status === 200 ? (JSON.parse(text) as Sent) : undefined;
  }

  #poolOf(origin: string): Pool {
    const pool =
      this.#pools.get(origin) ?? new Pool(origin, { keepAliveTimeout, connect: { timeout: connectTimeoutMs } });
    this.#pools.set(origin, pool);
    return pool;
  }

  override destroy(): void {
    super.destroy();
    for (const pool of this.#pools.values()) void pool.destroy();
    this.#pools.clear();
  }
}

/** SQS did not answer in time. Named as every error of this kind is, so that it counts as an outage. */
class OutOfTime extends Error {
  override name = 'TimeoutError';
}

/** One request, by undici's lowest interface: a body that is read as a stream costs a fifth of all of it. */
function post(pool: Pool, headers: Record<string, string>, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let status = 0;
    let control: Dispatcher.DispatchController | undefined;
    let late: OutOfTime | undefined;
    const timer = setTimeout(() => {
      late = new OutOfTime('SQS did not answer in time');
      control?.abort(late);
      reject(late);
    }, awsCallTimeoutMs);
    pool.dispatch(
      { path: '/', method: 'POST', headers, body },
      {
        onRequestStart(controller) {
          control = controller;
          if (late) controller.abort(late);
        },
        onResponseStart(_, statusCode) {
          status = statusCode;
        },
        onResponseData(_, part) {
          parts.push(part);
        },
        onResponseEnd() {
          clearTimeout(timer);
          const [only] = parts;
          resolve({ status, text: (only && parts.length === 1 ? only : Buffer.concat(parts)).toString() });
        },
        onResponseError(_, error) {
          clearTimeout(timer);
          reject(error);
        },
      },
    );
  });
}
