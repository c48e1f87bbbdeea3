/**
 * Creates the queues, buses, rules and targets of serverless.yml on the embedded emulators or LocalStack.
 *
 * Invariants: idempotent; resources that differ from their declaration are corrected, and rules on our buses that are no
 * longer declared are deleted. Called by `startStack` and by `testBed`.
 */
import {
  CreateEventBusCommand,
  DeleteRuleCommand,
  EventBridgeClient,
  ListRulesCommand,
  ListTargetsByRuleCommand,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListObjectsV2Command,
  PutBucketCorsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { type Declared, type DeclaredQueue, type DeclaredRule, localAccount } from './serverless-config.ts';

export interface AwsEndpoints {
  sqs: string;
  /** Absent: no bus and no rules are created. */
  events?: string;
  region: string;
}

/** The emulators accept any credentials. */
export const localCredentials = { accessKeyId: 'test', secretAccessKey: 'test' };

/** Environment variables by which AWS SDK clients find the local endpoints. */
export function awsEnvironment(endpoints: AwsEndpoints): Record<string, string> {
  return {
    AWS_REGION: endpoints.region,
    AWS_DEFAULT_REGION: endpoints.region,
    AWS_ACCESS_KEY_ID: localCredentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: localCredentials.secretAccessKey,
    AWS_ENDPOINT_URL_SQS: endpoints.sqs,
    // Both emulators have S3 where they have SQS.
    AWS_ENDPOINT_URL_S3: endpoints.sqs,
    ...(endpoints.events ? { AWS_ENDPOINT_URL_EVENTBRIDGE: endpoints.events } : {}),
    // The machine's own AWS configuration must not affect a local stack.
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  };
}

/** A client for the local SQS. */
export function sqsClient(endpoints: AwsEndpoints, options: { maxAttempts?: number } = {}): SQSClient {
  const { sqs, region } = endpoints;
  return new SQSClient({ endpoint: sqs, region, credentials: localCredentials, md5: false, ...options });
}

/** A client for the local EventBridge. */
export function eventsClient(endpoints: AwsEndpoints): EventBridgeClient {
  return new EventBridgeClient({
    endpoint: endpoints.events,
    region: endpoints.region,
    credentials: localCredentials,
  });
}

/** Makes the bucket of pictures, to which browsers may bring files. LocalStack asks for that to be said; the other allows it. Returns its address. */
export async function createBucket(
  endpoints: AwsEndpoints,
  Bucket: string,
  aws: 'embedded' | 'localstack',
): Promise<string> {
  const address = `${endpoints.sqs}/${Bucket}?name=${Bucket}`;
  const s3 = s3Client(endpoints);
  try {
    await s3.send(new CreateBucketCommand({ Bucket }));
    if (aws === 'embedded') return address;
    const CORSRules = [{ AllowedMethods: ['POST'], AllowedOrigins: ['*'] }];
    await s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }));
    return address;
  } finally {
    s3.destroy();
  }
}

/** Deletes a bucket and what is in it. */
export async function deleteBucket(endpoints: AwsEndpoints, Bucket: string): Promise<void> {
  const s3 = s3Client(endpoints);
  try {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
    for (const { Key } of Contents) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
    await s3.send(new DeleteBucketCommand({ Bucket }));
  } finally {
    s3.destroy();
  }
}

function s3Client({ sqs: endpoint, region }: AwsEndpoints): S3Client {
  return new S3Client({ endpoint, region, credentials: localCredentials, forcePathStyle: true });
}

/** The URL of a queue in the path style, which every emulator accepts. */
export function queueUrl(endpoints: AwsEndpoints, name: string): string {
  return `${endpoints.sqs.replace(/\/$/, '')}/${localAccount}/${name}`;
}

/** Registry entries: `queue/<name>`, `dead/<name>` and `bus/main`. */
export type ResourceNames = Record<string, string>;

/** Creates or corrects everything declared. `prefix` sets a second set of resources apart from the first. */
export async function createResources(
  declared: Declared,
  endpoints: AwsEndpoints,
  options: { prefix?: string } = {},
): Promise<ResourceNames> {
  const named = (name: string) => (options.prefix ? `${options.prefix}-${name}` : name);
  const sqs = sqsClient(endpoints);
  try {
    const arns = await createQueues(sqs, declared.queues, named);
    const names: ResourceNames = {};
    for (const queue of declared.queues) names[queue.registryName] = queueUrl(endpoints, named(queue.name));
    const bus = declared.buses[0];
    if (bus) names['bus/main'] = named(bus.name);
    if (endpoints.events) {
      const events = eventsClient(endpoints);
      try {
        await createRules(events, declared, arns, named);
      } finally {
        events.destroy();
      }
    }
    return names;
  } finally {
    sqs.destroy();
  }
}

/** Deletes resources that were created with a prefix. */
export async function deleteResources(
  declared: Declared,
  endpoints: AwsEndpoints,
  options: { prefix: string },
): Promise<void> {
  const sqs = sqsClient(endpoints);
  const events = endpoints.events ? eventsClient(endpoints) : undefined;
  try {
    if (events) {
      for (const rule of declared.rules) {
        const bus = declared.buses.find(({ logicalId }) => logicalId === rule.bus);
        await dropRule(events, `${options.prefix}-${rule.name}`, bus ? `${options.prefix}-${bus.name}` : undefined);
      }
    }
    await Promise.all(
      declared.queues.map((queue) =>
        sqs.send(new DeleteQueueCommand({ QueueUrl: queueUrl(endpoints, `${options.prefix}-${queue.name}`) })),
      ),
    );
  } finally {
    sqs.destroy();
    events?.destroy();
  }
}

type Named = (name: string) => string;

async function createQueues(sqs: SQSClient, queues: DeclaredQueue[], named: Named): Promise<Map<string, string>> {
  const arns = new Map<string, string>();
  const create = async (queue: DeclaredQueue): Promise<void> => {
    const attributes = { ...queue.attributes };
    if (queue.redrive) {
      attributes.RedrivePolicy = JSON.stringify({
        deadLetterTargetArn: arns.get(queue.redrive.deadLetters),
        maxReceiveCount: queue.redrive.maxReceiveCount,
      });
    }
    // Created bare and then set, because creating a queue that exists with other attributes is refused.
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: named(queue.name) }));
    if (Object.keys(attributes).length > 0) {
      await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: attributes }));
    }
    const answer = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }));
    arns.set(queue.logicalId, answer.Attributes?.QueueArn ?? '');
  };
  // Dead letters first: the others point to them.
  await Promise.all(queues.filter((queue) => !queue.redrive).map(create));
  await Promise.all(queues.filter((queue) => queue.redrive).map(create));
  return arns;
}

async function createRules(
  events: EventBridgeClient,
  declared: Declared,
  arns: Map<string, string>,
  named: Named,
): Promise<void> {
  const busName = (rule: DeclaredRule) => {
    const bus = declared.buses.find(({ logicalId }) => logicalId === rule.bus);
    return bus ? named(bus.name) : undefined;
  };
  for (const bus of declared.buses) {
    await events.send(new CreateEventBusCommand({ Name: named(bus.name) })).catch((error: Error) => {
      if (error.name !== 'ResourceAlreadyExistsException') throw error;
    });
    const wanted = new Set(declared.rules.filter((rule) => rule.bus === bus.logicalId).map((rule) => named(rule.name)));
    const { Rules = [] } = await events.send(new ListRulesCommand({ EventBusName: named(bus.name) }));
    for (const rule of Rules) {
      if (rule.Name && !wanted.has(rule.Name)) await dropRule(events, rule.Name, named(bus.name));
    }
  }
  await Promise.all(declared.rules.map((rule) => createRule(events, rule, busName(rule), arns, named)));
}

async function createRule(
  events: EventBridgeClient,
  rule: DeclaredRule,
  bus: string | undefined,
  arns: Map<string, string>,
  named: Named,
): Promise<void> {
  const place = { ...(bus ? { EventBusName: bus } : {}) };
  await events.send(
    new PutRuleCommand({
      Name: named(rule.name),
      ...place,
      State: rule.enabled ? 'ENABLED' : 'DISABLED',
      ...(rule.pattern ? { EventPattern: JSON.stringify(rule.pattern) } : {}),
      ...(rule.schedule ? { ScheduleExpression: rule.schedule } : {}),
    }),
  );
  const answer = await events.send(
    new PutTargetsCommand({
      Rule: named(rule.name),
      ...place,
      Targets: rule.targets.map((target) => ({
        Id: target.id,
        Arn: arns.get(target.queue),
        ...(target.deadLetters ? { DeadLetterConfig: { Arn: arns.get(target.deadLetters) } } : {}),
        ...(target.retry
          ? {
              RetryPolicy: {
                MaximumRetryAttempts: target.retry.maximumRetryAttempts,
                MaximumEventAgeInSeconds: target.retry.maximumEventAgeSeconds,
              },
            }
          : {}),
      })),
    }),
  );
  const failed = answer.FailedEntries?.[0];
  if (failed)
    throw new Error(`target ${failed.TargetId} of rule ${rule.name}: ${failed.ErrorCode} ${failed.ErrorMessage}`);
}

async function dropRule(events: EventBridgeClient, name: string, bus: string | undefined): Promise<void> {
  const place = { ...(bus ? { EventBusName: bus } : {}) };
  const { Targets = [] } = await events.send(new ListTargetsByRuleCommand({ Rule: name, ...place }));
  const ids = Targets.map(({ Id }) => Id).filter((id) => id !== undefined);
  if (ids.length > 0) await events.send(new RemoveTargetsCommand({ Rule: name, ...place, Ids: ids }));
  await events.send(new DeleteRuleCommand({ Name: name, ...place }));
}
