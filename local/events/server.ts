/**
 * The local EventBridge: the AWS JSON 1.1 protocol over HTTP, as @aws-sdk/client-eventbridge speaks it.
 *
 * `POST /` with `X-Amz-Target: AWSEvents.<Operation>` runs an operation of api.ts. Besides, for people and tests:
 *
 *   GET    /health   {"status":"ok"}
 *   GET    /_stats   accepted, refused, delivered, retried, deadLettered, dropped and pending since the start
 *   GET    /_faults  the faults in force
 *   POST   /_faults  replaces them; what is not named is off:
 *                      seed            number the random choices start from (1)
 *                      failEntries     fraction of PutEvents entries refused with ErrorCode InternalFailure
 *                      duplicate       fraction of deliveries sent twice, with the same event id
 *                      delayMs         wait of every delivery before its first attempt
 *                      jitterMs        further random wait of up to this, which reorders
 *                      failDeliveries  fraction of delivery attempts that fail and are retried with back-off
 *                      pauseRules      names of rules whose deliveries are held until the name is taken off
 *   DELETE /_faults  ends all faults; what was held is delivered
 *   POST   /_fire    {"rule": name} fires a scheduled rule once more, at once
 *
 * Scheduled rules "late" are delayMs or pauseRules, "twice" is duplicate or /_fire, "never" is PutRule with the state DISABLED.
 * Invariant: PutEvents answers only after its events are in the store. Started by main.ts, by the local stack and by tests.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as z from 'zod';
import { BodyTooLarge, readBody, sendJson, serveHttp } from '../service/http.ts';
import { acceptFiring } from './accept.ts';
import { type Operation, operations } from './api.ts';
import { type BackOff, Deliverer } from './delivery.ts';
import { ApiError, invalid } from './errors.ts';
import { Faults } from './faults.ts';
import { PatternError } from './pattern.ts';
import { defaultBus, Registry } from './registry.ts';
import { ScheduleError } from './schedule.ts';
import { Scheduler } from './scheduler.ts';
import { type QueueSender, sqsSender } from './sender.ts';
import { Store } from './store.ts';

export interface EventsServerOptions {
  /** 0, the default, takes any free port. */
  port?: number;
  /** Where rules and undelivered events are kept; absent means in memory only. */
  dataDir?: string;
  region?: string;
  account?: string;
  /** Default: AWS_ENDPOINT_URL_SQS. */
  sqsEndpoint?: string;
  /** Waits between delivery attempts: the first, doubling up to the longest. */
  backOff?: BackOff;
  /** Clock in ms since epoch, for tests of schedules and event age. */
  now?: () => number;
  /** Replaces SQS in tests. */
  sender?: QueueSender;
  log?: (message: string) => void;
}

export interface EventsServer {
  url: string;
  port: number;
  /** Sets the same faults as `POST /_faults`. */
  setFaults(faults: unknown): void;
  /** Checks schedules and waiting deliveries now, after a test has moved the clock. */
  tick(): Promise<void>;
  /** Stops serving, finishes what is in flight and closes the store. */
  stop(): Promise<void>;
}

const defaultBackOff: BackOff = { firstMs: 100, longestMs: 30_000 };
/** 256 KB of entries, written as JSON strings inside JSON. */
const bodyLimitBytes = 4 * 1024 * 1024;
const awsJson = 'application/x-amz-json-1.1';
const targetPrefix = 'AWSEvents.';

const FireRequest = z.strictObject({ rule: z.string(), bus: z.string().default(defaultBus) });

/** Starts the server; resolves when it is ready. Rejects if the port or the data directory is not available. */
export async function startEventsServer(options: EventsServerOptions = {}): Promise<EventsServer> {
  const region = options.region ?? 'us-east-1';
  const account = options.account ?? '000000000000';
  const now = options.now ?? Date.now;
  const log = options.log ?? ((message: string) => process.stderr.write(`events: ${message}\n`));
  const store = new Store(options.dataDir);
  const sender = options.sender ?? sqsSender({ endpoint: options.sqsEndpoint, region });
  const faults = new Faults();
  const registry = new Registry({ store, region, account, now });
  const backOff = options.backOff ?? defaultBackOff;
  const deliverer = new Deliverer({ store, sender, faults, backOff, now, log });
  const deps = { store, registry, deliverer, faults, region, account, now, log };
  const scheduler = new Scheduler(deps);
  registry.onChange = () => void scheduler.tick();
  const counts = { accepted: 0, refused: 0 };

  const admin = adminRoutes();
  const table = countedOperations();

  const http = await serveHttp((request, response) => {
    const route = admin[`${request.method} ${request.url}`];
    (route ? answerAdmin(route, request, response) : answerAws(table, request, response)).catch((error: unknown) => {
      log(String(error));
      response.destroy();
    });
  }, options.port ?? 0).catch((error: unknown) => {
    store.close();
    throw error;
  });
  deliverer.start();
  await scheduler.tick();

  function setFaults(settings: unknown) {
    faults.set(settings);
    deliverer.wake();
    return faults.settings;
  }

  function adminRoutes(): Record<string, (body: string) => unknown> {
    return {
      'GET /health': () => ({ status: 'ok' }),
      'GET /_stats': () => ({ ...counts, ...deliverer.counts }),
      'GET /_faults': () => faults.settings,
      'POST /_faults': (body) => setFaults(JSON.parse(body)),
      'DELETE /_faults': () => setFaults({}),
      'POST /_fire': async (body) => {
        const { bus, rule } = FireRequest.parse(JSON.parse(body));
        const registered = registry.rule(bus, rule);
        if (!registered.schedule) throw invalid(`Rule ${rule} has no schedule.`);
        await acceptFiring(deps, registered, now());
        return { fired: rule };
      },
    };
  }

  function countedOperations(): Record<string, Operation> {
    const all = operations(deps);
    return {
      ...all,
      async PutEvents(input) {
        const answer = (await all.PutEvents?.(input)) as { FailedEntryCount: number; Entries: unknown[] };
        counts.refused += answer.FailedEntryCount;
        counts.accepted += answer.Entries.length - answer.FailedEntryCount;
        return answer;
      },
    };
  }

  return {
    url: http.url,
    port: http.port,
    setFaults,
    async tick() {
      await scheduler.tick();
      deliverer.wake();
    },
    async stop() {
      scheduler.stop();
      await http.close();
      await deliverer.stop();
      sender.close();
      store.close();
    },
  };
}

async function answerAws(table: Record<string, Operation>, request: IncomingMessage, response: ServerResponse) {
  response.setHeader('x-amzn-requestid', randomUUID());
  try {
    const target = String(request.headers['x-amz-target'] ?? '');
    const body = await readBody(request, bodyLimitBytes);
    const name = target.startsWith(targetPrefix) ? target.slice(targetPrefix.length) : '';
    if (request.method !== 'POST' || !Object.hasOwn(table, name)) {
      throw new ApiError('UnknownOperationException', `The operation "${target}" is not emulated.`);
    }
    sendJson(response, 200, await table[name]?.(parseInput(body)), awsJson);
  } catch (error) {
    const { status, code, message } = awsError(error);
    sendJson(response, status, { __type: code, message }, awsJson);
  }
}

function parseInput(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new ApiError('SerializationException', 'The request body is not JSON.');
  }
}

function awsError(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof ApiError) return { status: 400, code: error.code, message: error.message };
  if (error instanceof z.ZodError) return { status: 400, code: 'ValidationException', message: refusal(error) };
  if (error instanceof PatternError)
    return { status: 400, code: 'InvalidEventPatternException', message: error.message };
  if (error instanceof ScheduleError) return { status: 400, code: 'ValidationException', message: error.message };
  if (error instanceof BodyTooLarge) return { status: 413, code: 'ValidationException', message: error.message };
  return { status: 500, code: 'InternalException', message: String(error) };
}

/** Every parameter that the schemas of api.ts do not know is one that is not emulated. */
function refusal(error: z.ZodError): string {
  const unknown = error.issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? issue.keys : []));
  return unknown.length > 0 ? `${unknown.join(', ')} is not emulated.` : z.prettifyError(error);
}

async function answerAdmin(route: (body: string) => unknown, request: IncomingMessage, response: ServerResponse) {
  try {
    sendJson(response, 200, await route(await readBody(request, bodyLimitBytes)));
  } catch (error) {
    const clientError = error instanceof z.ZodError || error instanceof SyntaxError || error instanceof ApiError;
    const message = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    sendJson(response, clientError ? 400 : 500, { error: message });
  }
}
