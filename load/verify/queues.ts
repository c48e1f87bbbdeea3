/**
 * How full the queues are.
 */
import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Target } from './target.ts';

export interface Depth {
  /** Waiting to be delivered. */
  visible: number;
  /** Delivered and not acknowledged yet. */
  inFlight: number;
  /** Held back until their time. */
  delayed: number;
}

/** Reads the depth of queues. */
export class QueueReader {
  readonly #sqs: SQSClient;

  constructor({ endpoint, region }: Target['sqs']) {
    // Emulators take any credentials; a real account would be verified with its own tools.
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    this.#sqs = new SQSClient({ endpoint, region, credentials });
  }

  async depths(queues: Record<string, string>): Promise<Map<string, Depth>> {
    return new Map(
      await Promise.all(Object.entries(queues).map(async ([name, url]) => [name, await this.#depth(url)] as const)),
    );
  }

  close(): void {
    this.#sqs.destroy();
  }

  async #depth(QueueUrl: string): Promise<Depth> {
    const command = new GetQueueAttributesCommand({
      QueueUrl,
      AttributeNames: [
        'ApproximateNumberOfMessages',
        'ApproximateNumberOfMessagesNotVisible',
        'ApproximateNumberOfMessagesDelayed',
      ],
    });
    const { Attributes = {} } = await this.#sqs.send(command, { abortSignal: AbortSignal.timeout(5_000) });
    return {
      visible: Number(Attributes.ApproximateNumberOfMessages),
      inFlight: Number(Attributes.ApproximateNumberOfMessagesNotVisible),
      delayed: Number(Attributes.ApproximateNumberOfMessagesDelayed),
    };
  }
}
