/**
 * What serverless.yml declares, as the local stack needs it: queues with their dead letters, buses, rules with
 * their targets, and functions with what triggers them.
 *
 * Invariant: nothing is guessed. A property, variable or function of the template that is not understood here is
 * refused at start with its place in the file, so that a stack which starts behaves as declared. Only what is
 * needed locally is resolved, so that what only a real account has (VPC, alarms, roles) may use anything.
 * Called by the local stack, the event source mappings and the contract tests.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseDocument, type ScalarTag, YAMLMap, YAMLSeq } from 'yaml';
import { projectRoot } from './folder.ts';

/** A queue, by its logical id in the template. */
export interface DeclaredQueue {
  logicalId: string;
  /** The physical name in this stage. */
  name: string;
  /** How the registry calls it: `queue/reservations`, or `dead/reservations` for its dead-letter queue. */
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
  /** Logical id of the queue it sends to. */
  queue: string;
  /** Logical id of the queue that takes what could not be delivered. */
  deadLetters?: string;
  retry?: { maximumRetryAttempts?: number; maximumEventAgeSeconds?: number };
  input?: string;
  inputPath?: string;
  inputTransformer?: { InputPathsMap?: Record<string, string>; InputTemplate: string };
}

export interface DeclaredRule {
  logicalId: string;
  name: string;
  /** Logical id of the bus; undefined is the account's default bus, the only one that schedules run on. */
  bus?: string;
  pattern?: Record<string, unknown>;
  schedule?: string;
  enabled: boolean;
  targets: DeclaredTarget[];
}

/** A queue that feeds a function, as Lambda's event source mapping has it. */
export interface DeclaredMapping {
  queue: string;
  batchSize: number;
  batchingWindowSeconds: number;
  /** Undefined: as many as Lambda likes. */
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
  /** Variables with a value known here; those that only CloudFormation can fill in are left out. */
  environment: Record<string, string>;
  mappings: DeclaredMapping[];
  routes: DeclaredRoute[];
  websocketRoutes: string[];
}

export interface Declared {
  service: string;
  stage: string;
  region: string;
  /** What the gateway is told beyond its routes, as the provider section has it. */
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

/** The account number every local emulator uses. */
export const LOCAL_ACCOUNT = '000000000000';

const LAMBDA_DEFAULT_TIMEOUT_SECONDS = 6;
const LAMBDA_DEFAULT_MEMORY_MB = 1024;

/** Reads and resolves the declarations of a stage. */
export function readDeclared(
  options: { file?: string; stage?: string; region?: string; env?: NodeJS.ProcessEnv } = {},
): Declared {
  const file = options.file ?? resolve(projectRoot, 'serverless.yml');
  const template = new Template(file, {
    stage: options.stage ?? 'local',
    region: options.region ?? 'us-east-1',
    env: options.env ?? process.env,
  });
  const service = text(template.at('service'), 'service');
  const resources = readResources(template);
  const queues = readQueues(template, resources, service);
  const buses = of(resources, 'AWS::Events::EventBus').map(([logicalId, properties]) => ({
    logicalId,
    name: template.text(properties.Name, `resources.${logicalId}.Name`),
  }));
  const declared: Declared = {
    service,
    stage: template.stage,
    region: template.region,
    gateway: readGateway(template),
    queues,
    buses,
    rules: readRules(template, resources, { service, queues, buses }),
    functions: readFunctions(template, service, queues),
  };
  return declared;
}

/** The queue with a logical id. */
export function queueOf(declared: Pick<Declared, 'queues'>, logicalId: string): DeclaredQueue {
  const queue = declared.queues.find((candidate) => candidate.logicalId === logicalId);
  if (!queue) throw new Error(`serverless.yml declares no queue ${logicalId}`);
  return queue;
}

type Properties = Record<string, unknown>;
type Resource = [logicalId: string, type: string, properties: Properties];

function isMap(value: unknown): value is Properties {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown, place: string): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new NotEmulated(place, `expected a text, found ${JSON.stringify(value)}`);
}

function integer(value: unknown, place: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number)) return number;
  throw new NotEmulated(place, `expected a whole number, found ${JSON.stringify(value)}`);
}

function refuseUnknown(properties: Properties, known: string[], place: string): void {
  for (const name of Object.keys(properties)) {
    if (!known.includes(name)) throw new NotEmulated(`${place}.${name}`, 'this property is not emulated locally');
  }
}

function of(resources: Resource[], type: string): [string, Properties][] {
  return resources
    .filter((resource) => resource[1] === type)
    .map(([logicalId, , properties]) => [logicalId, properties]);
}

/** Resource types the local stack creates; all others belong to the real account alone. */
const CREATED_TYPES = ['AWS::SQS::Queue', 'AWS::Events::EventBus', 'AWS::Events::Rule'];

/** Types that would do something at run time which nothing here would do. */
const REFUSED_TYPES = ['AWS::Scheduler::Schedule', 'AWS::Pipes::Pipe', 'AWS::Lambda::EventSourceMapping'];

function readResources(template: Template): Resource[] {
  const declared = template.at('resources');
  const parts = (Array.isArray(declared) ? declared : [declared]).map((part) => template.resolve(part, 'resources'));
  const found: Resource[] = [];
  for (const part of parts) {
    if (!isMap(part)) continue;
    const resources = template.resolve(part.Resources, 'resources.Resources');
    for (const [logicalId, raw] of Object.entries(isMap(resources) ? resources : {})) {
      const resource = template.resolve(raw, `resources.${logicalId}`);
      if (!isMap(resource)) continue;
      const type = String(resource.Type);
      if (REFUSED_TYPES.includes(type))
        throw new NotEmulated(`resources.${logicalId}`, `${type} is not emulated locally`);
      if (!CREATED_TYPES.includes(type)) continue;
      if (resource.Condition !== undefined) {
        throw new NotEmulated(`resources.${logicalId}.Condition`, 'conditions are not evaluated locally');
      }
      found.push([logicalId, type, template.deep(resource.Properties ?? {}, `resources.${logicalId}`) as Properties]);
    }
  }
  return found;
}

const QUEUE_ATTRIBUTES = [
  'VisibilityTimeout',
  'MessageRetentionPeriod',
  'DelaySeconds',
  'ReceiveMessageWaitTimeSeconds',
  'MaximumMessageSize',
];

/** Said of a queue in the account (encryption, who may redrive, tags); nothing local depends on it. */
const QUEUE_ACCOUNT_ONLY = [
  'SqsManagedSseEnabled',
  'KmsMasterKeyId',
  'KmsDataKeyReusePeriodSeconds',
  'RedriveAllowPolicy',
  'Tags',
];

function readQueues(template: Template, resources: Resource[], service: string): DeclaredQueue[] {
  const stem = `${service}-${template.stage}-`;
  return of(resources, 'AWS::SQS::Queue').map(([logicalId, properties]) => {
    const place = `resources.${logicalId}`;
    refuseUnknown(properties, ['QueueName', 'RedrivePolicy', ...QUEUE_ATTRIBUTES, ...QUEUE_ACCOUNT_ONLY], place);
    const name =
      properties.QueueName === undefined
        ? stem + kebab(logicalId)
        : template.text(properties.QueueName, `${place}.QueueName`);
    if (name.endsWith('.fifo')) throw new NotEmulated(place, 'FIFO queues are not emulated locally');
    const short = name.startsWith(stem) ? name.slice(stem.length) : name;
    const attributes: Record<string, string> = {};
    for (const attribute of QUEUE_ATTRIBUTES) {
      if (properties[attribute] === undefined) continue;
      attributes[attribute] = String(integer(properties[attribute], `${place}.${attribute}`));
    }
    const policy = properties.RedrivePolicy;
    const redrive = isMap(policy)
      ? {
          deadLetters: template.logicalIdOf(policy.deadLetterTargetArn, `${place}.RedrivePolicy`),
          maxReceiveCount: integer(policy.maxReceiveCount, `${place}.RedrivePolicy.maxReceiveCount`),
        }
      : undefined;
    const registryName = short.endsWith('-dead') ? `dead/${short.slice(0, -'-dead'.length)}` : `queue/${short}`;
    return { logicalId, name, registryName, attributes, redrive };
  });
}

function kebab(logicalId: string): string {
  return logicalId
    .replace(/Queue$/, '')
    .replace(/(?<=[a-z0-9])(?=[A-Z])/g, '-')
    .toLowerCase();
}

function readRules(
  template: Template,
  resources: Resource[],
  known: { service: string; queues: DeclaredQueue[]; buses: DeclaredBus[] },
): DeclaredRule[] {
  return of(resources, 'AWS::Events::Rule').map(([logicalId, properties]) => {
    const place = `resources.${logicalId}`;
    refuseUnknown(
      properties,
      ['Name', 'Description', 'EventBusName', 'EventPattern', 'ScheduleExpression', 'State', 'Targets', 'Tags'],
      place,
    );
    const rule: DeclaredRule = {
      logicalId,
      name:
        properties.Name === undefined
          ? `${known.service}-${template.stage}-${kebab(logicalId)}`
          : template.text(properties.Name, `${place}.Name`),
      bus: busOf(template, properties.EventBusName, known.buses, place),
      enabled: (properties.State ?? 'ENABLED') === 'ENABLED',
      targets: [],
    };
    if (properties.EventPattern !== undefined) {
      if (!isMap(properties.EventPattern)) throw new NotEmulated(`${place}.EventPattern`, 'expected a map');
      rule.pattern = properties.EventPattern;
    }
    if (properties.ScheduleExpression !== undefined) {
      rule.schedule = text(properties.ScheduleExpression, `${place}.ScheduleExpression`);
      // AWS refuses this too, but only when the stack is deployed.
      if (rule.bus) throw new NotEmulated(place, 'scheduled rules exist on the default event bus only');
    }
    if (!rule.pattern && !rule.schedule) throw new NotEmulated(place, 'a rule needs a pattern or a schedule');
    const targets = Array.isArray(properties.Targets) ? properties.Targets : [];
    if (targets.length === 0) throw new NotEmulated(place, 'a rule without targets does nothing');
    rule.targets = targets.map((target, index) =>
      readTarget(template, target as Properties, known.queues, `${place}.Targets[${index}]`),
    );
    return rule;
  });
}

function readTarget(template: Template, target: Properties, queues: DeclaredQueue[], place: string): DeclaredTarget {
  refuseUnknown(
    target,
    ['Id', 'Arn', 'DeadLetterConfig', 'RetryPolicy', 'Input', 'InputPath', 'InputTransformer'],
    place,
  );
  const queueAt = (value: unknown, where: string): string => {
    const logicalId = template.logicalIdOf(value, where);
    if (!queues.some((queue) => queue.logicalId === logicalId)) {
      throw new NotEmulated(where, `${logicalId} is not a queue; rules must target queues`);
    }
    return logicalId;
  };
  const declared: DeclaredTarget = { id: text(target.Id, `${place}.Id`), queue: queueAt(target.Arn, `${place}.Arn`) };
  if (isMap(target.DeadLetterConfig)) {
    declared.deadLetters = queueAt(target.DeadLetterConfig.Arn, `${place}.DeadLetterConfig`);
  }
  if (isMap(target.RetryPolicy)) {
    const { MaximumRetryAttempts: attempts, MaximumEventAgeInSeconds: age } = target.RetryPolicy;
    declared.retry = {
      ...(attempts === undefined ? {} : { maximumRetryAttempts: integer(attempts, `${place}.RetryPolicy`) }),
      ...(age === undefined ? {} : { maximumEventAgeSeconds: integer(age, `${place}.RetryPolicy`) }),
    };
  }
  if (target.Input !== undefined) declared.input = template.text(target.Input, `${place}.Input`);
  if (target.InputPath !== undefined) declared.inputPath = text(target.InputPath, `${place}.InputPath`);
  if (isMap(target.InputTransformer)) {
    declared.inputTransformer = target.InputTransformer as unknown as DeclaredTarget['inputTransformer'];
  }
  return declared;
}

function busOf(template: Template, value: unknown, buses: DeclaredBus[], place: string): string | undefined {
  if (value === undefined || value === 'default') return undefined;
  const byReference = isMap(value) ? template.logicalIdOf(value, `${place}.EventBusName`) : undefined;
  const bus = buses.find(({ logicalId, name }) => (byReference ? logicalId === byReference : name === value));
  if (!bus) throw new NotEmulated(`${place}.EventBusName`, 'this bus is not declared in the template');
  return bus.logicalId;
}

function readGateway(template: Template): Declared['gateway'] {
  const httpApi = template.deep(template.at('provider.httpApi'), 'provider.httpApi');
  const selection = template.at('provider.websocketsApiRouteSelectionExpression');
  return {
    ...(isMap(httpApi) ? { httpApi } : {}),
    ...(typeof selection === 'string' ? { websocketsApiRouteSelectionExpression: selection } : {}),
  };
}

function readFunctions(template: Template, service: string, queues: DeclaredQueue[]): DeclaredFunction[] {
  const provider = template.at('provider');
  const defaults = isMap(provider) ? provider : {};
  const setting = (own: Properties, name: string) => template.resolve(own[name] ?? defaults[name], `provider.${name}`);
  const declared = template.at('functions');
  const entries = (Array.isArray(declared) ? declared : [declared]).flatMap((part) => {
    const functions = template.resolve(part, 'functions');
    return Object.entries(isMap(functions) ? functions : {});
  });
  return entries.map(([key, raw]) => {
    const place = `functions.${key}`;
    const own = template.resolve(raw, place);
    if (!isMap(own)) throw new NotEmulated(place, 'expected a map');
    const read: DeclaredFunction = {
      key,
      name:
        own.name === undefined ? `${service}-${template.stage}-${key}` : text(template.resolve(own.name, place), place),
      handler: text(template.resolve(own.handler, place), `${place}.handler`),
      timeoutSeconds: integer(setting(own, 'timeout') ?? LAMBDA_DEFAULT_TIMEOUT_SECONDS, `${place}.timeout`),
      memoryMb: integer(setting(own, 'memorySize') ?? LAMBDA_DEFAULT_MEMORY_MB, `${place}.memorySize`),
      environment: {
        ...readEnvironment(template, defaults.environment, 'provider.environment'),
        ...readEnvironment(template, own.environment, `${place}.environment`),
      },
      mappings: [],
      routes: [],
      websocketRoutes: [],
    };
    const events = template.resolve(own.events, place);
    for (const [index, event] of (Array.isArray(events) ? events : []).entries()) {
      readEvent(template, read, template.deep(event, place), queues, `${place}.events[${index}]`);
    }
    return read;
  });
}

function readEnvironment(template: Template, value: unknown, place: string): Record<string, string> {
  const known: Record<string, string> = {};
  const variables = template.resolve(value, place);
  for (const [name, raw] of Object.entries(isMap(variables) ? variables : {})) {
    const filled = template.resolve(raw, `${place}.${name}`);
    if (!isMap(filled) && filled !== null && filled !== undefined) known[name] = text(filled, `${place}.${name}`);
  }
  return known;
}

function readEvent(
  template: Template,
  read: DeclaredFunction,
  event: unknown,
  queues: DeclaredQueue[],
  place: string,
): void {
  const [trigger, value] = Object.entries(isMap(event) ? event : {})[0] ?? [];
  switch (trigger) {
    case 'sqs':
      read.mappings.push(readMapping(template, value, queues, place));
      return;
    case 'httpApi':
      read.routes.push(readRoute(value, place));
      return;
    case 'websocket':
      if (isMap(value)) refuseUnknown(value, ['route'], place);
      read.websocketRoutes.push(text(isMap(value) ? value.route : value, place));
      return;
    default:
      throw new NotEmulated(place, `events of type "${trigger}" are not emulated locally`);
  }
}

function readRoute(value: unknown, place: string): DeclaredRoute {
  if (value === '*') return { method: '*', path: '*' };
  if (typeof value === 'string') {
    const [method, path] = value.trim().split(/\s+/);
    if (method && path) return { method: method.toUpperCase(), path };
  } else if (isMap(value)) {
    refuseUnknown(value, ['method', 'path'], place);
    return { method: text(value.method, place).toUpperCase(), path: text(value.path, place) };
  }
  throw new NotEmulated(place, `expected a method and a path, found ${JSON.stringify(value)}`);
}

/** Limits of Lambda's event source mappings for standard queues. */
const LARGEST_BATCH = 10_000;
const LARGEST_BATCH_WITHOUT_WINDOW = 10;
const LONGEST_WINDOW_SECONDS = 300;
const SMALLEST_CONCURRENCY = 2;
const LARGEST_CONCURRENCY = 1_000;

function readMapping(template: Template, value: unknown, queues: DeclaredQueue[], place: string): DeclaredMapping {
  const properties = isMap(value) && !isIntrinsic(value) ? value : { arn: value };
  refuseUnknown(
    properties,
    ['arn', 'batchSize', 'maximumBatchingWindow', 'functionResponseType', 'maximumConcurrency', 'enabled'],
    place,
  );
  const queue = template.logicalIdOf(properties.arn, `${place}.arn`);
  const declaredQueue = queues.find(({ logicalId }) => logicalId === queue);
  if (!declaredQueue) throw new NotEmulated(`${place}.arn`, `${queue} is not a queue of this template`);
  const mapping: DeclaredMapping = {
    queue,
    batchSize: integer(properties.batchSize ?? LARGEST_BATCH_WITHOUT_WINDOW, `${place}.batchSize`),
    batchingWindowSeconds: integer(properties.maximumBatchingWindow ?? 0, `${place}.maximumBatchingWindow`),
    reportsBatchItemFailures: properties.functionResponseType === 'ReportBatchItemFailures',
    enabled: properties.enabled !== false,
  };
  if (properties.functionResponseType !== undefined && !mapping.reportsBatchItemFailures) {
    throw new NotEmulated(`${place}.functionResponseType`, 'only ReportBatchItemFailures exists');
  }
  if (properties.maximumConcurrency !== undefined) {
    mapping.maximumConcurrency = integer(properties.maximumConcurrency, `${place}.maximumConcurrency`);
    if (mapping.maximumConcurrency < SMALLEST_CONCURRENCY || mapping.maximumConcurrency > LARGEST_CONCURRENCY) {
      throw new NotEmulated(
        `${place}.maximumConcurrency`,
        `Lambda takes ${SMALLEST_CONCURRENCY} to ${LARGEST_CONCURRENCY}`,
      );
    }
  }
  if (mapping.batchSize < 1 || mapping.batchSize > LARGEST_BATCH) {
    throw new NotEmulated(`${place}.batchSize`, `Lambda takes 1 to ${LARGEST_BATCH}`);
  }
  if (mapping.batchingWindowSeconds < 0 || mapping.batchingWindowSeconds > LONGEST_WINDOW_SECONDS) {
    throw new NotEmulated(`${place}.maximumBatchingWindow`, `Lambda takes 0 to ${LONGEST_WINDOW_SECONDS} seconds`);
  }
  if (mapping.batchSize > LARGEST_BATCH_WITHOUT_WINDOW && mapping.batchingWindowSeconds < 1) {
    throw new NotEmulated(place, 'a batch of more than 10 needs maximumBatchingWindow of at least 1 second');
  }
  return mapping;
}

function isIntrinsic(value: Properties): boolean {
  const names = Object.keys(value);
  return names.length === 1 && (names[0] === 'Ref' || names[0]?.startsWith('Fn::') === true);
}

/** Short forms of CloudFormation's functions, read as the long forms they stand for. */
const INTRINSICS: [tag: string, name: string][] = [
  ['!Ref', 'Ref'],
  ['!Condition', 'Condition'],
  ...[
    'GetAtt',
    'Sub',
    'Join',
    'Select',
    'Split',
    'ImportValue',
    'If',
    'Equals',
    'And',
    'Or',
    'Not',
    'FindInMap',
    'Base64',
    'Cidr',
    'GetAZs',
    'Transform',
  ].map((name): [string, string] => [`!${name}`, `Fn::${name}`]),
];

function cloudFormationTags(): ScalarTag[] {
  return INTRINSICS.flatMap(([tag, name]) => {
    const wrap = (value: unknown) =>
      name === 'Fn::GetAtt' && typeof value === 'string'
        ? { [name]: value.split(/\.(.*)/s).slice(0, 2) }
        : { [name]: value };
    return [
      { tag, resolve: (value: string) => wrap(value) },
      {
        tag,
        collection: 'seq',
        resolve: (value: unknown) => (value instanceof YAMLSeq ? wrap(value.toJSON()) : value),
      },
      {
        tag,
        collection: 'map',
        resolve: (value: unknown) => (value instanceof YAMLMap ? wrap(value.toJSON()) : value),
      },
      // The library types scalar and collection tags apart; one list of both is what it takes.
    ] as unknown as ScalarTag[];
  });
}

function readYaml(file: string): unknown {
  const document = parseDocument(readFileSync(file, 'utf8'), { customTags: cloudFormationTags(), merge: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new Error(`${file}: ${problem.message}`);
  return document.toJS();
}

/** `${name:address, fallback}` or `${name(argument):address, fallback}`, with nothing nested left inside. */
const VARIABLE = /\$\{\s*(self|param|sls|opt|env|aws|file|strToBool)(?:\(([^)]*)\))?(?::([^,${}]*))?(?:,([^${}]*))?\}/;

/** serverless.yml with its variables, resolved where one looks and not before. */
class Template {
  readonly stage: string;
  readonly region: string;
  #file: string;
  #root: Properties;
  #env: NodeJS.ProcessEnv;
  #resolving = new Set<string>();

  constructor(file: string, options: { stage: string; region: string; env: NodeJS.ProcessEnv }) {
    if (!existsSync(file)) throw new Error(`${file} is missing: the local stack reads its declarations there`);
    const root = readYaml(file);
    if (!isMap(root)) throw new Error(`${file} holds no declarations`);
    this.#file = file;
    this.#root = root;
    this.stage = options.stage;
    this.region = options.region;
    this.#env = options.env;
  }

  /** The value at a dotted path from the root, variables on the way resolved. */
  at(path: string): unknown {
    return this.#walk(this.#root, path, path);
  }

  /** The value itself, without descending: a variable that stands for it is resolved. */
  resolve(value: unknown, place: string): unknown {
    return typeof value === 'string' ? this.#fill(value, place) : value;
  }

  /** The value with everything below it resolved. */
  deep(value: unknown, place: string): unknown {
    const own = this.resolve(value, place);
    if (Array.isArray(own)) return own.map((item, index) => this.deep(item, `${place}[${index}]`));
    if (!isMap(own)) return own;
    return Object.fromEntries(Object.entries(own).map(([name, item]) => [name, this.deep(item, `${place}.${name}`)]));
  }

  /** A text, also one that CloudFormation would put together from what is known locally. */
  text(value: unknown, place: string): string {
    if (!isMap(value)) return text(value, place);
    if (typeof value.Ref === 'string') return this.#pseudo(value.Ref, place);
    if (typeof value['Fn::Sub'] === 'string') {
      return value['Fn::Sub'].replace(/\$\{([^}]+)\}/g, (_, name: string) => this.#pseudo(name, place));
    }
    const join = value['Fn::Join'];
    if (Array.isArray(join) && Array.isArray(join[1])) {
      return join[1].map((part: unknown) => this.text(part, place)).join(String(join[0]));
    }
    throw new NotEmulated(place, `${Object.keys(value)[0]} is not understood here`);
  }

  /** The logical id a `!Ref X` or `!GetAtt X.Arn` points to. */
  logicalIdOf(value: unknown, place: string): string {
    if (isMap(value)) {
      if (typeof value.Ref === 'string') return value.Ref;
      const attribute = value['Fn::GetAtt'];
      if (Array.isArray(attribute) && typeof attribute[0] === 'string') return attribute[0];
    }
    throw new NotEmulated(place, `expected !GetAtt or !Ref of something declared here, found ${JSON.stringify(value)}`);
  }

  #pseudo(name: string, place: string): string {
    switch (name) {
      case 'AWS::Region':
        return this.region;
      case 'AWS::AccountId':
        return LOCAL_ACCOUNT;
      case 'AWS::Partition':
        return 'aws';
      case 'AWS::StackName':
        return `${text(this.at('service'), 'service')}-${this.stage}`;
      default:
        throw new NotEmulated(place, `\${${name}} is only known when CloudFormation creates the stack`);
    }
  }

  #walk(from: unknown, path: string, place: string): unknown {
    let value = this.resolve(from, place);
    for (const step of path.split('.')) {
      if (value === undefined || value === null) return undefined;
      value = this.resolve((value as Properties)[step], place);
    }
    return value;
  }

  #fill(value: string, place: string): unknown {
    let filled = value;
    for (;;) {
      const match = VARIABLE.exec(filled);
      if (!match) break;
      const found = this.#lookUp(match, place);
      if (match[0] === filled.trim()) {
        if (typeof found !== 'string') return found;
        filled = found;
      } else {
        filled = filled.replace(match[0], () => text(found, place));
      }
    }
    const unknown = /\$\{\s*(\w+)(\([^)]*\))?:(?!:)/.exec(filled);
    if (unknown) throw new NotEmulated(place, `the variable "${unknown[1]}" is not resolved locally`);
    return filled;
  }

  #lookUp(match: RegExpExecArray, place: string): unknown {
    const [whole, source = '', argument, address = '', fallback] = match;
    if (this.#resolving.has(whole)) throw new NotEmulated(place, `${whole} refers to itself`);
    this.#resolving.add(whole);
    try {
      const found = this.#source(source, argument, address.trim(), place);
      if (found !== undefined && found !== null) return found;
    } finally {
      this.#resolving.delete(whole);
    }
    if (fallback === undefined) throw new NotEmulated(place, `${whole} has no value`);
    return literal(fallback.trim());
  }

  #source(source: string, argument: string | undefined, address: string, place: string): unknown {
    switch (source) {
      case 'self':
        return this.at(address);
      case 'sls':
        return address === 'stage' ? this.stage : undefined;
      case 'opt':
        return address === 'stage' ? this.stage : address === 'region' ? this.region : undefined;
      case 'aws':
        return address === 'region' ? this.region : address === 'accountId' ? LOCAL_ACCOUNT : undefined;
      case 'env':
        return this.#env[address];
      case 'param':
        return this.at(`params.${this.stage}.${address}`) ?? this.at(`params.default.${address}`);
      case 'strToBool':
        return argument === 'true' || argument === '1';
      default: {
        const path = resolve(dirname(this.#file), argument ?? '');
        const content = readYaml(path);
        return address ? this.#walk(content, address, place) : content;
      }
    }
  }
}

function literal(value: string): unknown {
  const quoted = /^(['"])(.*)\1$/s.exec(value);
  if (quoted) return quoted[2];
  if (value === 'true' || value === 'false') return value === 'true';
  if (value === 'null') return null;
  return value !== '' && Number.isFinite(Number(value)) ? Number(value) : value;
}
