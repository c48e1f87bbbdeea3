/**
 * What serverless.yml declares, as the local stack needs it: queues with their dead-letter queues, buses, rules with
 * their targets, and functions with their triggers.
 *
 * The framework's own reader and variable resolver read the file, so a variable has the same value here as in a
 * deployment. Invariant: the local stack never ignores a setting that it does not emulate. A queue, rule or event with
 * an unknown property is refused at start, with its place in the file. Resources of other types exist only in an
 * account. Called by the local stack, the event source mappings and the contract tests.
 */
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { projectRoot } from './state-folder.ts';

/** A queue, by its logical id in the template. */
export interface DeclaredQueue {
  logicalId: string;
  /** The physical name in this stage. */
  name: string;
  /** Its name in the registry: `queue/reservations`, or `dead/reservations` for its dead-letter queue. */
  registryName: string;
  /** Attributes as CreateQueue takes them, without the redrive policy. */
  attributes: Record<string, string>;
  redrive?: { deadLetters: string; maxReceiveCount: number };
}

export interface DeclaredBus {
  logicalId: string;
  name: string;
}

export interface DeclaredTarget {
  id: string;
  /** Logical id of the queue that gets the events. */
  queue: string;
  /** Logical id of the queue that gets the events that could not be delivered. */
  deadLetters?: string;
  retry?: { maximumRetryAttempts?: number; maximumEventAgeSeconds?: number };
}

export interface DeclaredRule {
  logicalId: string;
  name: string;
  /** Logical id of the bus; undefined is the account's default bus, the only one that has scheduled rules. */
  bus?: string;
  pattern?: Record<string, unknown>;
  schedule?: string;
  enabled: boolean;
  targets: DeclaredTarget[];
}

/** A queue that feeds a function through an event source mapping. */
export interface DeclaredMapping {
  queue: string;
  batchSize: number;
  batchingWindowSeconds: number;
  /** Undefined: Lambda sets no limit. */
  maximumConcurrency?: number;
  reportsBatchItemFailures: boolean;
  enabled: boolean;
}

export interface DeclaredRoute {
  method: string;
  path: string;
}

export interface DeclaredFunction {
  key: string;
  name: string;
  /** `functions/http/x.handler`: a path without extension and an exported name. */
  handler: string;
  timeoutSeconds: number;
  memoryMb: number;
  /** Variables whose value is known here; those that CloudFormation fills in are left out. */
  environment: Record<string, string>;
  mappings: DeclaredMapping[];
  routes: DeclaredRoute[];
  websocketRoutes: string[];
}

export interface Declared {
  service: string;
  stage: string;
  region: string;
  /** Settings of the gateway beyond its routes, from the provider section. */
  gateway: { httpApi?: Record<string, unknown>; websocketsApiRouteSelectionExpression?: string };
  queues: DeclaredQueue[];
  buses: DeclaredBus[];
  rules: DeclaredRule[];
  functions: DeclaredFunction[];
}

/** Thrown for anything in serverless.yml that the local stack does not emulate. */
export class NotEmulated extends Error {
  override name = 'NotEmulated';
  constructor(place: string, what: string) {
    super(`serverless.yml, ${place}: ${what}`);
  }
}

/** The account number of all local emulators. */
export const localAccount = '000000000000';

/** Reads serverless.yml, resolves its variables for a stage, and returns the parts that the local stack emulates. */
export async function readDeclared(
  options: { file?: string; stage?: string; region?: string } = {},
): Promise<Declared> {
  const { file = resolve(projectRoot, 'serverless.yml'), stage = 'local', region = 'us-east-1' } = options;
  const config = checked(configSchema, await resolveConfig(file, { stage, region }), '');
  const resources = createdResources(config.resources);
  const queues = ofType(resources, 'AWS::SQS::Queue').map(([logicalId, resource]) =>
    queueFrom(logicalId, checked(queueSchema, resource, `resources.${logicalId}`), `${config.service}-${stage}-`),
  );
  const buses = ofType(resources, 'AWS::Events::EventBus').map(([logicalId, resource]) => ({
    logicalId,
    name: checked(busSchema, resource, `resources.${logicalId}`).Properties.Name,
  }));
  const rules = ofType(resources, 'AWS::Events::Rule').map(([logicalId, resource]) =>
    ruleFrom(logicalId, checked(ruleSchema, resource, `resources.${logicalId}`), queues, buses),
  );
  const declared: Declared = {
    service: config.service,
    stage,
    region,
    gateway: {
      httpApi: config.provider.httpApi,
      websocketsApiRouteSelectionExpression: config.provider.websocketsApiRouteSelectionExpression,
    },
    queues,
    buses,
    rules,
    functions: Object.entries(config.functions).map(([key, written]) =>
      functionFrom(key, written, config.provider, `${config.service}-${stage}-${key}`, queues),
    ),
  };
  refuseUnresolved(declared);
  return declared;
}

/** How bundles are made: esbuild's settings, and those of the plugin that packages. */
export async function readBundling(): Promise<Record<string, unknown>> {
  const file = resolve(projectRoot, 'serverless.yml');
  const { custom } = z
    .object({ custom: z.object({ esbuild: z.record(z.string(), z.unknown()) }) })
    .parse(await resolveConfig(file, { stage: 'local', region: 'us-east-1' }));
  return custom.esbuild;
}

/** The queue with a logical id. */
export function queueOf(declared: Pick<Declared, 'queues'>, logicalId: string): DeclaredQueue {
  const queue = declared.queues.find((candidate) => candidate.logicalId === logicalId);
  if (!queue) throw new Error(`serverless.yml declares no queue ${logicalId}`);
  return queue;
}

const load = createRequire(import.meta.url);

interface StageOptions {
  stage: string;
  region: string;
}

/** The parts of the framework (osls) that read a configuration without running a command. */
interface Framework {
  read: (file: string) => Promise<object>;
  resolveVariables: (input: {
    serviceDir: string;
    configuration: object;
    options: StageOptions;
    sources: Record<string, unknown>;
  }) => Promise<void>;
}

async function resolveConfig(file: string, options: StageOptions): Promise<unknown> {
  const framework: Framework = {
    read: load('serverless/lib/configuration/read.js'),
    resolveVariables: load('serverless/lib/configuration/variables/index.js'),
  };
  const source = (name: string): unknown => load(`serverless/lib/configuration/variables/sources/${name}.js`);
  const ofService = (name: string, service: object): unknown =>
    (source(`instance-dependent/${name}`) as (service: object) => unknown)(service);
  const configuration = await framework.read(file);
  const service = { configurationInput: configuration, processedInput: { options } };
  await framework.resolveVariables({
    serviceDir: dirname(file),
    configuration,
    options,
    sources: {
      env: source('env'),
      file: source('file'),
      opt: source('opt'),
      self: source('self'),
      strToBool: source('str-to-bool'),
      sls: ofService('get-sls', service),
      param: ofService('param', service),
    },
  });
  return configuration;
}

/** Variables whose source needs an account stay in the text. Parts that exist only in an account may use them. */
function refuseUnresolved(declared: Declared): void {
  const findVariables: (value: object) => Map<string, { value: string }> = load(
    'serverless/lib/configuration/variables/resolve-meta.js',
  );
  const [found] = findVariables(declared);
  if (found) throw new NotEmulated(found[0].replaceAll('\0', '.'), `${found[1].value} cannot be resolved locally`);
}

/** `!Ref X` or `!GetAtt X.Arn`: the logical id it refers to. */
const reference = z.union(
  [
    z.strictObject({ Ref: z.string() }).transform(({ Ref }) => Ref),
    z
      .strictObject({ 'Fn::GetAtt': z.tuple([z.string(), z.literal('Arn')]) })
      .transform((value) => value['Fn::GetAtt'][0]),
  ],
  { error: 'expected !GetAtt or !Ref of a resource of this template' },
);

/** Values that only CloudFormation can fill in are objects. */
const environment = z.record(z.string(), z.unknown()).default({});

/** Limits of Lambda's event source mappings for standard queues. */
const largestBatchWithoutWindow = 10;
const mappingSchema = z
  .strictObject({
    arn: reference,
    batchSize: z.int().min(1).max(10_000).default(largestBatchWithoutWindow),
    maximumBatchingWindow: z.int().min(0).max(300).default(0),
    maximumConcurrency: z.int().min(2).max(1_000).optional(),
    functionResponseType: z.literal('ReportBatchItemFailures').optional(),
    enabled: z.boolean().default(true),
  })
  .refine(
    ({ batchSize, maximumBatchingWindow }) => batchSize <= largestBatchWithoutWindow || maximumBatchingWindow > 0,
    {
      path: ['maximumBatchingWindow'],
      error: `a batch of more than ${largestBatchWithoutWindow} needs a window of at least 1 second`,
    },
  );

const eventSchema = z.strictObject({
  sqs: mappingSchema.optional(),
  httpApi: z
    .string()
    .regex(/^[A-Z]+ \/\S*$/, 'expected a method and a path')
    .optional(),
  websocket: z.strictObject({ route: z.string() }).optional(),
});

const functionSchema = z.object({
  handler: z.string(),
  timeout: z.int().optional(),
  memorySize: z.int().optional(),
  environment,
  events: z.array(eventSchema).default([]),
});

const configSchema = z.object({
  service: z.string(),
  provider: z.object({
    timeout: z.int().default(6),
    memorySize: z.int().default(1024),
    environment,
    httpApi: z.record(z.string(), z.unknown()).optional(),
    websocketsApiRouteSelectionExpression: z.string().optional(),
  }),
  functions: z.record(z.string(), functionSchema).default({}),
  resources: z
    .array(z.object({ Resources: z.record(z.string(), z.looseObject({ Type: z.string() })).default({}) }))
    .default([]),
});

/** Attributes of a queue that the local stack sets. */
const queueAttributes = {
  VisibilityTimeout: z.int().optional(),
  MessageRetentionPeriod: z.int().optional(),
  DelaySeconds: z.int().optional(),
  ReceiveMessageWaitTimeSeconds: z.int().optional(),
  MaximumMessageSize: z.int().optional(),
};

const queueSchema = z.strictObject({
  Type: z.string(),
  Properties: z.strictObject({
    QueueName: z.string().regex(/^[\w-]+$/, 'FIFO queues are not emulated locally'),
    RedrivePolicy: z.strictObject({ deadLetterTargetArn: reference, maxReceiveCount: z.int() }).optional(),
    // Only an account encrypts.
    SqsManagedSseEnabled: z.boolean().optional(),
    ...queueAttributes,
  }),
});

const busSchema = z.strictObject({ Type: z.string(), Properties: z.strictObject({ Name: z.string() }) });

const targetSchema = z.strictObject({
  Id: z.string(),
  Arn: reference,
  DeadLetterConfig: z.strictObject({ Arn: reference }).optional(),
  RetryPolicy: z
    .strictObject({ MaximumRetryAttempts: z.int().optional(), MaximumEventAgeInSeconds: z.int().optional() })
    .optional(),
});

const ruleSchema = z.strictObject({
  Type: z.string(),
  Properties: z
    .strictObject({
      Name: z.string(),
      EventBusName: reference.optional(),
      EventPattern: z.record(z.string(), z.unknown()).optional(),
      ScheduleExpression: z.string().optional(),
      State: z.enum(['ENABLED', 'DISABLED']).default('ENABLED'),
      Targets: z.array(targetSchema).min(1),
    })
    .refine((rule) => rule.EventPattern !== undefined || rule.ScheduleExpression !== undefined, {
      error: 'a rule needs a pattern or a schedule',
    })
    // AWS refuses this too, but only when the stack is deployed.
    .refine((rule) => rule.ScheduleExpression === undefined || rule.EventBusName === undefined, {
      error: 'only the default event bus has scheduled rules',
    }),
});

/** Parses, or throws NotEmulated with the place of the first problem. */
function checked<T>(schema: z.ZodType<T>, value: unknown, place: string): T {
  const { data, error } = schema.safeParse(value);
  if (!error) return data as T;
  const [issue] = error.issues;
  const keys = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const path = [...(place ? [place] : []), ...(issue?.path ?? []), ...keys].join('.');
  throw new NotEmulated(path, keys.length > 0 ? 'this is not emulated locally' : (issue?.message ?? 'not valid'));
}

type Resource = { Type: string } & Record<string, unknown>;

/** Types that would do something at run time which the local stack does not emulate. */
const refusedTypes = ['AWS::Scheduler::Schedule', 'AWS::Pipes::Pipe', 'AWS::Lambda::EventSourceMapping'];

function createdResources(parts: { Resources: Record<string, Resource> }[]): [string, Resource][] {
  const resources = parts.flatMap(({ Resources }) => Object.entries(Resources));
  for (const [logicalId, { Type }] of resources) {
    if (refusedTypes.includes(Type)) throw new NotEmulated(`resources.${logicalId}`, `${Type} is not emulated locally`);
  }
  return resources;
}

function ofType(resources: [string, Resource][], type: string): [string, Resource][] {
  return resources.filter(([, { Type }]) => Type === type);
}

function queueFrom(logicalId: string, { Properties }: z.infer<typeof queueSchema>, stem: string): DeclaredQueue {
  const { QueueName: name, RedrivePolicy: policy } = Properties;
  const short = name.startsWith(stem) ? name.slice(stem.length) : name;
  return {
    logicalId,
    name,
    registryName: short.endsWith('-dead') ? `dead/${short.slice(0, -'-dead'.length)}` : `queue/${short}`,
    attributes: Object.fromEntries(
      Object.entries(Properties)
        .filter(([attribute, value]) => attribute in queueAttributes && value !== undefined)
        .map(([attribute, value]) => [attribute, String(value)]),
    ),
    redrive: policy && { deadLetters: policy.deadLetterTargetArn, maxReceiveCount: policy.maxReceiveCount },
  };
}

function ruleFrom(
  logicalId: string,
  { Properties }: z.infer<typeof ruleSchema>,
  queues: DeclaredQueue[],
  buses: DeclaredBus[],
): DeclaredRule {
  const place = `resources.${logicalId}`;
  const bus = Properties.EventBusName;
  if (bus && !buses.some((one) => one.logicalId === bus)) {
    throw new NotEmulated(`${place}.EventBusName`, `${bus} is not a bus of this template`);
  }
  return {
    logicalId,
    name: Properties.Name,
    bus,
    pattern: Properties.EventPattern,
    schedule: Properties.ScheduleExpression,
    enabled: Properties.State === 'ENABLED',
    targets: Properties.Targets.map(({ Id, Arn, DeadLetterConfig, RetryPolicy }) => ({
      id: Id,
      queue: knownQueue(Arn, queues, place),
      deadLetters: DeadLetterConfig && knownQueue(DeadLetterConfig.Arn, queues, place),
      retry: RetryPolicy && {
        maximumRetryAttempts: RetryPolicy.MaximumRetryAttempts,
        maximumEventAgeSeconds: RetryPolicy.MaximumEventAgeInSeconds,
      },
    })),
  };
}

function knownQueue(logicalId: string, queues: DeclaredQueue[], place: string): string {
  if (queues.some((queue) => queue.logicalId === logicalId)) return logicalId;
  throw new NotEmulated(place, `${logicalId} is not a queue of this template`);
}

function functionFrom(
  key: string,
  declared: z.infer<typeof functionSchema>,
  provider: z.infer<typeof configSchema>['provider'],
  name: string,
  queues: DeclaredQueue[],
): DeclaredFunction {
  const place = `functions.${key}`;
  return {
    key,
    name,
    handler: declared.handler,
    timeoutSeconds: declared.timeout ?? provider.timeout,
    memoryMb: declared.memorySize ?? provider.memorySize,
    environment: knownValues({ ...provider.environment, ...declared.environment }),
    mappings: declared.events.flatMap(({ sqs }) =>
      sqs
        ? {
            queue: knownQueue(sqs.arn, queues, place),
            batchSize: sqs.batchSize,
            batchingWindowSeconds: sqs.maximumBatchingWindow,
            maximumConcurrency: sqs.maximumConcurrency,
            reportsBatchItemFailures: sqs.functionResponseType !== undefined,
            enabled: sqs.enabled,
          }
        : [],
    ),
    routes: declared.events.flatMap(({ httpApi }) => {
      const [method, path] = httpApi?.split(' ') ?? [];
      return method && path ? { method, path } : [];
    }),
    websocketRoutes: declared.events.flatMap(({ websocket }) => websocket?.route ?? []),
  };
}

function knownValues(variables: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables)
      .filter(([, value]) => typeof value !== 'object')
      .map(([name, value]) => [name, String(value)]),
  );
}
