/**
 * The EventBridge operations that the local stack and the functions call, each answered as EventBridge answers it.
 *
 * A parameter that is not emulated is refused with a ValidationException that names it. As in AWS, scheduled rules exist
 * on the default bus only, PutEvents judges each entry alone, and an entry for a bus that does not exist is accepted and
 * dropped (with a line in the log). Called by server.ts.
 */
import type { Target } from '@aws-sdk/client-eventbridge';
import { z } from 'zod';
import { type AcceptDeps, acceptEvents, type IncomingEvent } from './accept.ts';
import { ApiError, invalid } from './errors.ts';
import { defaultBus, type RegisteredRule } from './registry.ts';

export type Operation = (input: unknown) => unknown;
export type ApiDeps = AcceptDeps & { log: (message: string) => void };

const maxRequestBytes = 262_144;
const maxTargetsPerRule = 5;

/** A bus is named by its name or its ARN. */
const busName = z
  .string()
  .transform((given) => /^arn:aws[\w-]*:events:[^:]*:[^:]*:event-bus\/(.+)$/.exec(given)?.[1] ?? given)
  .pipe(z.string().regex(/^[/.\-_A-Za-z0-9]{1,256}$/));
const name = z.string().regex(/^[.\-_A-Za-z0-9]{1,64}$/);
const queueArn = z
  .string()
  .regex(/^arn:aws[\w-]*:sqs:[\w-]+:\d{12}:[\w-]{1,80}$/, 'only standard SQS queues are emulated');

const onBus = { EventBusName: busName.default(defaultBus) };
const bus = z.strictObject({ Name: busName });
const rule = z.strictObject({ Name: name, ...onBus });
const ofRule = z.strictObject({ Rule: name, ...onBus });
const putRule = rule.extend({
  EventPattern: z.string().optional(),
  ScheduleExpression: z.string().optional(),
  State: z.enum(['ENABLED', 'DISABLED']).default('ENABLED'),
});
const target = z.strictObject({
  Id: name,
  Arn: queueArn,
  RetryPolicy: z
    .strictObject({
      MaximumEventAgeInSeconds: z.int().min(60).max(86_400).optional(),
      MaximumRetryAttempts: z.int().min(0).max(185).optional(),
    })
    .optional(),
  DeadLetterConfig: z.strictObject({ Arn: queueArn }).optional(),
});
const putTargets = ofRule.extend({ Targets: z.array(target).min(1) });
const removeTargets = ofRule.extend({ Ids: z.array(name).min(1) });
const putEvents = z.strictObject({ Entries: z.array(z.unknown()).min(1).max(10) });
const entrySchema = z.object({
  Source: z.string().min(1),
  DetailType: z.string().min(1).max(128),
  Detail: z.string().min(1),
  Resources: z.array(z.string()).default([]),
  /** Seconds since the epoch, as the SDK writes times. */
  Time: z.number().optional(),
  ...onBus,
});

/** All operations by their name in the X-Amz-Target header. */
export function operations(deps: ApiDeps): Record<string, Operation> {
  const { registry } = deps;
  const find = (input: z.infer<typeof ofRule>): RegisteredRule =>
    registry.rule(registry.bus(input.EventBusName).name, input.Rule);
  return {
    CreateEventBus(input) {
      return { EventBusArn: registry.busArn(registry.createBus(bus.parse(input).Name).name) };
    },
    DescribeEventBus(input) {
      const { name, createdMs } = registry.bus(bus.parse(input).Name);
      const CreationTime = createdMs / 1000;
      return { Name: name, Arn: registry.busArn(name), CreationTime, LastModifiedTime: CreationTime };
    },
    PutRule(input) {
      const { Name, EventBusName, EventPattern, ScheduleExpression, State } = putRule.parse(input);
      const bus = registry.bus(EventBusName).name;
      if (!EventPattern && !ScheduleExpression) {
        throw invalid('Parameter(s) EventPattern or ScheduleExpression must be specified.');
      }
      if (ScheduleExpression && bus !== defaultBus) {
        throw invalid('ScheduleExpression is supported only on the default event bus.');
      }
      const registered = registry.putRule({
        bus,
        name: Name,
        pattern: EventPattern,
        schedule: ScheduleExpression,
        enabled: State === 'ENABLED',
      });
      return { RuleArn: registered.rule.arn };
    },
    ListRules(input) {
      const { EventBusName } = z.strictObject(onBus).parse(input);
      return { Rules: registry.listRules(registry.bus(EventBusName).name).map(describeRule) };
    },
    DeleteRule(input) {
      const { Name, EventBusName } = rule.parse(input);
      registry.deleteRule(registry.bus(EventBusName).name, Name);
      return {};
    },
    PutTargets(input) {
      const parsed = putTargets.parse(input);
      const registered = find(parsed);
      const targets: Target[] = parsed.Targets;
      const ids = new Set([...registered.targets, ...targets].map(({ Id }) => Id));
      if (ids.size > maxTargetsPerRule) {
        const message = `A rule can have ${maxTargetsPerRule} targets; this would make ${ids.size}.`;
        throw new ApiError('LimitExceededException', message);
      }
      registry.putTargets(registered, targets);
      return { FailedEntryCount: 0, FailedEntries: [] };
    },
    RemoveTargets(input) {
      const parsed = removeTargets.parse(input);
      registry.removeTargets(find(parsed), parsed.Ids);
      return { FailedEntryCount: 0, FailedEntries: [] };
    },
    ListTargetsByRule(input) {
      return { Targets: find(ofRule.parse(input)).targets };
    },
    async PutEvents(input) {
      const { Entries } = putEvents.parse(input);
      if (Entries.reduce((sum: number, entry) => sum + sizeBytes(entry), 0) > maxRequestBytes) {
        throw invalid('Total size of the entries in the request is over the limit.');
      }
      const read = Entries.map((entry) => readEntry(deps, entry));
      const accepted = read.filter((entry): entry is ReadEntry => !('ErrorCode' in entry));
      const ids = await acceptEvents(deps, accepted);
      const results = read.map((entry) => ('ErrorCode' in entry ? entry : { EventId: ids.shift() }));
      return { FailedEntryCount: read.length - accepted.length, Entries: results };
    },
  };
}

interface EntryFailure {
  ErrorCode: string;
  ErrorMessage: string;
}

type ReadEntry = { bus: string; event: IncomingEvent; detail: unknown };

function readEntry(deps: ApiDeps, input: unknown): ReadEntry | EntryFailure {
  const { data: entry, error } = entrySchema.safeParse(input);
  if (error) return { ErrorCode: 'InvalidArgument', ErrorMessage: z.prettifyError(error) };
  if (entry.Source.startsWith('aws.')) {
    return { ErrorCode: 'NotAuthorizedForSourceException', ErrorMessage: 'Not authorized for the source.' };
  }
  const detail = parseDetail(entry.Detail);
  if (!detail) return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
  if (deps.faults.findsTooLarge(entry.Detail)) {
    return { ErrorCode: 'ValidationException', ErrorMessage: 'Total size of the entry is over the limit.' };
  }
  if (deps.faults.refusesEntry()) {
    return { ErrorCode: 'InternalFailure', ErrorMessage: 'A refused entry was asked for with /_faults.' };
  }
  if (!deps.registry.hasBus(entry.EventBusName)) {
    deps.log(`dropped an event from ${entry.Source}: bus ${entry.EventBusName} does not exist`);
  }
  return {
    bus: entry.EventBusName,
    detail,
    event: {
      source: entry.Source,
      detailType: entry.DetailType,
      timeMs: entry.Time === undefined ? deps.now() : entry.Time * 1000,
      resources: entry.Resources,
      detailText: entry.Detail,
    },
  };
}

/** Undefined unless it is a JSON object. */
function parseDetail(text: string): object | undefined {
  try {
    const detail: unknown = JSON.parse(text);
    return typeof detail === 'object' && detail !== null && !Array.isArray(detail) ? detail : undefined;
  } catch {
    return undefined;
  }
}

/** The size that AWS counts: 14 bytes for a time, and the UTF-8 of the texts. */
function sizeBytes(entry: unknown): number {
  const { data } = z
    .object({ Source: z.string(), DetailType: z.string(), Detail: z.string(), Resources: z.array(z.string()) })
    .partial()
    .extend({ Time: z.unknown().optional() })
    .safeParse(entry);
  if (!data) return 0;
  const texts = [data.Source, data.DetailType, data.Detail, ...(data.Resources ?? [])];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), data.Time === undefined ? 0 : 14);
}

function describeRule({ rule }: RegisteredRule) {
  return {
    Name: rule.name,
    Arn: rule.arn,
    EventBusName: rule.bus,
    EventPattern: rule.pattern,
    ScheduleExpression: rule.schedule,
    State: rule.enabled ? 'ENABLED' : 'DISABLED',
  };
}
