/**
 * The EventBridge operations this emulator has, each as EventBridge answers it.
 *
 * What changes behaviour and is not emulated is refused with a ValidationException that says so: targets other than
 * SQS queues, InputPath and InputTransformer, bus encryption, replicated endpoints. As in AWS, schedules belong to
 * the default bus, PutEvents judges each entry alone, and an entry for a bus that does not exist is accepted and goes
 * nowhere (a line in the log says so). Called by server.ts.
 */
import type { Target } from '@aws-sdk/client-eventbridge';
import { type AcceptDeps, acceptEvents, type IncomingEvent } from './accept.ts';
import { ApiError, invalid } from './errors.ts';
import { compilePattern } from './pattern.ts';
import { DEFAULT_BUS, type RegisteredRule } from './registry.ts';

export type Input = Record<string, unknown>;
export type Operation = (input: Input) => unknown;
export type ApiDeps = AcceptDeps & { log: (message: string) => void };

const MAX_ENTRIES = 10;
const MAX_REQUEST_BYTES = 262_144;
const MAX_TARGETS_PER_RULE = 5;
const PAGE_SIZE = 100;

const BUS_NAME = /^[/.\-_A-Za-z0-9]{1,256}$/;
const RULE_NAME = /^[.\-_A-Za-z0-9]{1,64}$/;
const SQS_ARN = /^arn:aws[\w-]*:sqs:[\w-]+:\d{12}:[\w-]{1,80}(\.fifo)?$/;

/** All operations by the name they have in the X-Amz-Target header. */
export function operations(deps: ApiDeps): Record<string, Operation> {
  const { registry } = deps;
  return {
    CreateEventBus(input) {
      refuseUnsupported(input, ['EventSourceName', 'KmsKeyIdentifier', 'DeadLetterConfig']);
      const bus = registry.createBus(required(input, 'Name', BUS_NAME), optional(input, 'Description'));
      return { EventBusArn: registry.busArn(bus.name), Description: bus.description };
    },
    DescribeEventBus(input) {
      return describeBus(deps, busName(input, 'Name'));
    },
    ListEventBuses(input) {
      const buses = registry.listBuses().filter(({ name }) => name.startsWith(optional(input, 'NamePrefix') ?? ''));
      const { page, nextToken } = paginate(buses, ({ name }) => name, input);
      return { EventBuses: page.map(({ name }) => describeBus(deps, name)), NextToken: nextToken };
    },
    DeleteEventBus(input) {
      registry.deleteBus(busName(input, 'Name'));
      return {};
    },
    PutRule(input) {
      return { RuleArn: putRule(deps, input).rule.arn };
    },
    DescribeRule(input) {
      return describeRule(ruleOf(deps, input));
    },
    ListRules(input) {
      const bus = registry.bus(busName(input));
      const prefix = optional(input, 'NamePrefix') ?? '';
      const rules = registry.listRules(bus.name).filter(({ rule }) => rule.name.startsWith(prefix));
      const { page, nextToken } = paginate(rules, ({ rule }) => rule.name, input);
      return { Rules: page.map(describeRule), NextToken: nextToken };
    },
    DeleteRule(input) {
      registry.deleteRule(registry.bus(busName(input)).name, required(input, 'Name', RULE_NAME));
      return {};
    },
    EnableRule(input) {
      const { rule } = ruleOf(deps, input);
      registry.putRule({ ...rule, enabled: true });
      return {};
    },
    DisableRule(input) {
      const { rule } = ruleOf(deps, input);
      registry.putRule({ ...rule, enabled: false });
      return {};
    },
    PutTargets(input) {
      return putTargets(deps, input);
    },
    RemoveTargets(input) {
      const registered = ruleOf(deps, input, 'Rule');
      const ids = list(input, 'Ids').map(String);
      const present = new Set(registered.targets.map((target) => target.Id));
      registry.removeTargets(registered, ids);
      const failed = ids
        .filter((id) => !present.has(id))
        .map((id) => ({
          TargetId: id,
          ErrorCode: 'ResourceNotFoundException',
          ErrorMessage: `Rule ${registered.rule.name} does not have a target with the Id ${id}.`,
        }));
      return { FailedEntryCount: failed.length, FailedEntries: failed };
    },
    ListTargetsByRule(input) {
      const { page, nextToken } = paginate(ruleOf(deps, input, 'Rule').targets, (target) => target.Id ?? '', input);
      return { Targets: page, NextToken: nextToken };
    },
    PutEvents(input) {
      return putEvents(deps, input);
    },
    TestEventPattern(input) {
      const matches = compilePattern(required(input, 'EventPattern'));
      return { Result: matches(completeEvent(required(input, 'Event'))) };
    },
  };
}

function putRule({ registry }: ApiDeps, input: Input): RegisteredRule {
  const bus = registry.bus(busName(input)).name;
  const pattern = optional(input, 'EventPattern');
  const schedule = optional(input, 'ScheduleExpression');
  if (!pattern && !schedule) {
    throw invalid('Parameter(s) EventPattern or ScheduleExpression must be specified.');
  }
  if (schedule && bus !== DEFAULT_BUS) {
    throw invalid('ScheduleExpression is supported only on the default event bus.');
  }
  const state = optional(input, 'State') ?? 'ENABLED';
  if (state !== 'ENABLED' && state !== 'DISABLED') throw invalid(`State ${state} is not emulated.`);
  return registry.putRule({
    bus,
    name: required(input, 'Name', RULE_NAME),
    pattern: pattern || undefined,
    schedule: schedule || undefined,
    enabled: state === 'ENABLED',
    description: optional(input, 'Description'),
    roleArn: optional(input, 'RoleArn'),
  });
}

function putTargets(deps: ApiDeps, input: Input) {
  const registered = ruleOf(deps, input, 'Rule');
  const targets = list(input, 'Targets').map(readTarget);
  const ids = new Set([...registered.targets, ...targets].map((target) => target.Id));
  if (ids.size > MAX_TARGETS_PER_RULE) {
    const message = `A rule can have ${MAX_TARGETS_PER_RULE} targets; this would make ${ids.size}.`;
    throw new ApiError('LimitExceededException', message);
  }
  deps.registry.putTargets(registered, targets);
  return { FailedEntryCount: 0, FailedEntries: [] };
}

const TARGET_FIELDS = ['Id', 'Arn', 'RoleArn', 'Input', 'RetryPolicy', 'DeadLetterConfig', 'SqsParameters'];

function readTarget(value: unknown): Target {
  if (!isObject(value)) throw invalid('A target must be an object.');
  refuseUnsupported(
    value,
    Object.keys(value).filter((name) => !TARGET_FIELDS.includes(name)),
  );
  // Each field is checked below, or read only where the checks allow.
  const target: Target = { Id: undefined, Arn: undefined, ...value };
  required(value, 'Id', RULE_NAME);
  const arn = required(value, 'Arn');
  if (!SQS_ARN.test(arn)) throw invalid(`Target ${arn} is not an SQS queue; only SQS queues are emulated.`);
  const groupId = target.SqsParameters?.MessageGroupId;
  if (arn.endsWith('.fifo') !== (groupId !== undefined)) {
    throw invalid('SqsParameters.MessageGroupId must be given for a FIFO queue, and only for one.');
  }
  const constant = optional(value, 'Input');
  if (constant !== undefined) parseJson(constant, 'Input');
  const deadLetterArn = target.DeadLetterConfig?.Arn;
  if (deadLetterArn !== undefined && (!SQS_ARN.test(deadLetterArn) || deadLetterArn.endsWith('.fifo'))) {
    throw invalid(`DeadLetterConfig.Arn ${deadLetterArn} is not a standard SQS queue.`);
  }
  inRange(target.RetryPolicy?.MaximumEventAgeInSeconds, 'MaximumEventAgeInSeconds', 60, 86_400);
  inRange(target.RetryPolicy?.MaximumRetryAttempts, 'MaximumRetryAttempts', 0, 185);
  return target;
}

interface EntryFailure {
  ErrorCode: string;
  ErrorMessage: string;
}

type ReadEntry = { bus: string; event: IncomingEvent; detail: unknown };

async function putEvents(deps: ApiDeps, input: Input) {
  refuseUnsupported(input, ['EndpointId']);
  const entries = list(input, 'Entries');
  if (entries.length > MAX_ENTRIES) {
    throw invalid(`Value at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10`);
  }
  const sizeBytes = entries.reduce((sum: number, entry) => sum + entryBytes(entry), 0);
  if (sizeBytes > MAX_REQUEST_BYTES) throw invalid('Total size of the entries in the request is over the limit.');
  const read = entries.map((entry) => readEntry(deps, entry));
  const good = read.filter((entry): entry is ReadEntry => !('ErrorCode' in entry));
  const ids = await acceptEvents(deps, good);
  const results = read.map((entry) => ('ErrorCode' in entry ? entry : { EventId: ids.shift() }));
  return { FailedEntryCount: read.length - good.length, Entries: results };
}

function readEntry(deps: ApiDeps, entry: unknown): ReadEntry | EntryFailure {
  if (!isObject(entry)) return badArgument('Entry', 'an entry must be an object');
  for (const name of ['Source', 'DetailType', 'Detail']) {
    const value = entry[name];
    if (typeof value !== 'string' || value === '') return badArgument(name, `${name} is a required argument.`);
  }
  const source = String(entry.Source);
  const detailType = String(entry.DetailType);
  const detailText = String(entry.Detail);
  if (source.startsWith('aws.')) {
    return { ErrorCode: 'NotAuthorizedForSourceException', ErrorMessage: 'Not authorized for the source.' };
  }
  if (detailType.length > 128) return badArgument('DetailType', 'DetailType is longer than 128 characters.');
  const resources = entry.Resources ?? [];
  if (!Array.isArray(resources) || !resources.every((resource) => typeof resource === 'string')) {
    return badArgument('Resources', 'Resources must be a list of strings.');
  }
  const timeMs = entry.Time === undefined ? deps.now() : Number(entry.Time) * 1000;
  if (Number.isNaN(new Date(timeMs).getTime())) return badArgument('Time', 'Time is not a timestamp.');
  const detail = tryParse(detailText);
  if (!isObject(detail)) return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
  if (deps.faults.refusesEntry()) {
    return { ErrorCode: 'InternalFailure', ErrorMessage: 'A refused entry was asked for with /_faults.' };
  }
  const bus = busName(entry);
  if (!deps.registry.hasBus(bus)) deps.log(`an event from ${source} was put on bus ${bus}, which does not exist`);
  return { bus, event: { source, detailType, timeMs, resources, detailText }, detail };
}

/** The size AWS counts: 14 bytes for a time, and the UTF-8 of the texts. */
function entryBytes(entry: unknown): number {
  if (!isObject(entry)) return 0;
  const resources = Array.isArray(entry.Resources) ? entry.Resources : [];
  const texts = [entry.Source, entry.DetailType, entry.Detail, ...resources];
  const timeBytes = entry.Time === undefined ? 0 : 14;
  return texts.reduce((sum: number, text) => sum + (typeof text === 'string' ? Buffer.byteLength(text) : 0), timeBytes);
}

function badArgument(name: string, reason: string): EntryFailure {
  return { ErrorCode: 'InvalidArgument', ErrorMessage: `Parameter ${name} is not valid. Reason: ${reason}` };
}

function completeEvent(text: string): unknown {
  const event = parseJson(text, 'Event');
  if (!isObject(event)) throw invalid('Parameter Event is not valid. Reason: it must be a JSON object.');
  for (const name of ['id', 'account', 'source', 'time', 'region', 'resources', 'detail-type']) {
    if (event[name] === undefined) throw invalid(`Parameter Event is not valid. Reason: ${name} is required.`);
  }
  return event;
}

function describeBus({ registry }: ApiDeps, name: string) {
  const bus = registry.bus(name);
  return {
    Name: bus.name,
    Arn: registry.busArn(bus.name),
    Description: bus.description,
    CreationTime: bus.createdMs / 1000,
    LastModifiedTime: bus.createdMs / 1000,
  };
}

function describeRule({ rule }: RegisteredRule) {
  return {
    Name: rule.name,
    Arn: rule.arn,
    EventBusName: rule.bus,
    EventPattern: rule.pattern,
    ScheduleExpression: rule.schedule,
    State: rule.enabled ? 'ENABLED' : 'DISABLED',
    Description: rule.description,
    RoleArn: rule.roleArn,
  };
}

function ruleOf({ registry }: ApiDeps, input: Input, nameField = 'Name'): RegisteredRule {
  return registry.rule(registry.bus(busName(input)).name, required(input, nameField, RULE_NAME));
}

/** A bus is named by its name or its ARN; absent means the default bus. */
function busName(input: Input, field = 'EventBusName'): string {
  const given = optional(input, field) ?? DEFAULT_BUS;
  const name = /^arn:aws[\w-]*:events:[^:]*:[^:]*:event-bus\/(.+)$/.exec(given)?.[1] ?? given;
  if (!BUS_NAME.test(name)) throw invalid(`Parameter ${field} is not valid: ${name}`);
  return name;
}

/** One page in order of the key; the token is the last key of the page before. */
function paginate<T>(items: T[], keyOf: (item: T) => string, input: Input): { page: T[]; nextToken?: string } {
  const limit = typeof input.Limit === 'number' ? input.Limit : PAGE_SIZE;
  inRange(limit, 'Limit', 1, PAGE_SIZE);
  const token = optional(input, 'NextToken');
  const after = token === undefined ? undefined : Buffer.from(token, 'base64url').toString('utf8');
  const rest = after === undefined ? items : items.filter((item) => keyOf(item) > after);
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  if (last === undefined || rest.length === page.length) return { page };
  return { page, nextToken: Buffer.from(keyOf(last)).toString('base64url') };
}

function required(input: Input, field: string, shape?: RegExp): string {
  const value = optional(input, field);
  if (value === undefined || value === '') throw invalid(`Parameter ${field} is required.`);
  if (shape && !shape.test(value)) throw invalid(`Parameter ${field} is not valid: ${value.slice(0, 100)}`);
  return value;
}

function optional(input: Input, field: string): string | undefined {
  const value = input[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalid(`Parameter ${field} must be a string.`);
  return value;
}

function list(input: Input, field: string): unknown[] {
  const value = input[field];
  if (!Array.isArray(value) || value.length === 0)
    throw invalid(`Parameter ${field} must be a list that is not empty.`);
  return value;
}

function inRange(value: number | undefined, field: string, least: number, most: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalid(`Parameter ${field} must be a whole number from ${least} to ${most}.`);
  }
}

function refuseUnsupported(input: Input, fields: string[]): void {
  for (const field of fields) {
    if (input[field] !== undefined && input[field] !== null) throw invalid(`${field} is not emulated.`);
  }
}

function parseJson(text: string, field: string): unknown {
  const value = tryParse(text);
  if (value === undefined) throw invalid(`Parameter ${field} is not valid JSON.`);
  return value;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
