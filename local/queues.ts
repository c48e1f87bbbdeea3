/**
 * The queue server: SQS on a port of 127.0.0.1, by fauxqs, keeping its messages in SQLite.
 *
 * Invariant: what was answered is written. All rows that the requests of one moment change are committed together
 * before their answers leave, so a queue server that is killed loses no message it accepted and repeats no delete it
 * confirmed. fauxqs as it comes commits (and syncs) every row by itself, listens on all interfaces, cannot persist a
 * message that is made visible again, looks at every message in flight before each receive, and moves all that wait
 * for each that it takes; this host composes it from its parts to mend the five. Started by `startStack` as a
 * process, and by tests in-process.
 */
import { parseArgs } from 'node:util';
import { buildApp } from 'fauxqs';
import { portFlag, runService } from './service/command.ts';

/** The parts of fauxqs that its entry point does not name; the version is pinned by package-lock.json. */
interface Parts {
  SqsStore: new () => {
    persistence?: Persistence;
    region?: string;
    host?: string;
    allQueues(): Iterable<{ persistence?: Persistence }>;
  };
  SqsQueue: { prototype: StandardQueue };
  SnsStore: new () => object;
  S3Store: new () => object;
  PersistenceManager: new (dataDir: string) => Persistence;
}

interface StandardQueue {
  messages: Waiting;
  processTimers(): void;
  dequeue(...args: unknown[]): unknown;
}

/** What fauxqs does with the messages that wait. */
interface Waiting extends Iterable<unknown> {
  readonly length: number;
  push(message: unknown): void;
  shift(): unknown;
}

interface Persistence {
  db: {
    readonly isTransaction: boolean;
    exec(sql: string): void;
    prepare(sql: string): { run(...values: (string | number | null)[]): unknown };
  };
  loadSqsAndSns(sqsStore: object, snsStore: object): void;
  close(): void;
  updateMessageReady(messageId: string): void;
}

async function loadParts(): Promise<Parts> {
  const part = (file: string) => import(new URL(file, import.meta.resolve('fauxqs')).href);
  const modules = await Promise.all(
    ['sqs/sqsStore.js', 'sns/snsStore.js', 's3/s3Store.js', 'persistence.js'].map(part),
  );
  const parts: Parts = Object.assign({}, ...modules);
  lookLessOften(parts.SqsQueue);
  takeFromTheFront(parts.SqsQueue);
  return parts;
}

/** What all queue servers of a process share. */
let loaded: Promise<Parts> | undefined;

/** The methods through which fauxqs writes what it was asked to change. */
const WRITES = [
  'insertQueue',
  'deleteQueue',
  'updateQueueAttributes',
  'updateQueueSequenceCounter',
  'insertMessage',
  'deleteMessage',
  'updateMessageInflight',
  'updateMessageReady',
  'deleteQueueMessages',
] as const;

/** Commits together what is written in one turn of the event loop. Returns what an answer must wait for. */
function groupWrites(persistence: Persistence): (answer: (error?: Error) => void) => void {
  const { db } = persistence;
  // What was answered outlives the machine too, as it does in SQS.
  db.exec('PRAGMA synchronous = FULL');
  const ready = db.prepare(
    'UPDATE sqs_messages SET receipt_handle = NULL, visibility_deadline = NULL WHERE message_id = ?',
  );
  persistence.updateMessageReady = (messageId) => void ready.run(messageId);

  let open = false;
  let answers: ((error?: Error) => void)[] = [];
  const commit = (): void => {
    if (!open) return;
    open = false;
    const waiting = answers;
    answers = [];
    let failed: Error | undefined;
    try {
      db.exec('COMMIT');
    } catch (error) {
      failed = error as Error;
      // SQLite keeps some transactions open whose COMMIT failed, and would refuse the next.
      if (db.isTransaction) db.exec('ROLLBACK');
    }
    for (const answer of waiting) answer(failed);
  };
  const methods = persistence as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of WRITES) {
    const write = methods[name];
    if (!write) throw new Error(`this fauxqs has no ${name}: local/queues.ts was written for another version`);
    methods[name] = (...args) => {
      if (!open) {
        db.exec('BEGIN');
        open = true;
        // By then every request that has come in by now has been carried out.
        setImmediate(commit);
      }
      return write.apply(persistence, args);
    };
  }
  const close = persistence.close.bind(persistence);
  persistence.close = () => {
    commit();
    close();
  };
  return (answer) => {
    if (open) answers.push(answer);
    else answer();
  };
}

/** How late a message may become visible again. */
const TIMER_STEP_MS = 10;

/**
 * Looks for messages whose time has come every few milliseconds, not before every receive: with thousands of them in
 * flight, looking costs several times as much as receiving.
 */
function lookLessOften({ prototype }: Parts['SqsQueue']): void {
  const { processTimers } = prototype;
  const lookedAtMs = new WeakMap<object, number>();
  prototype.processTimers = function () {
    const nowMs = performance.now();
    if (nowMs - (lookedAtMs.get(this) ?? Number.NEGATIVE_INFINITY) < TIMER_STEP_MS) return;
    lookedAtMs.set(this, nowMs);
    processTimers.call(this);
  };
}

/** Takes messages from the front of a line that may be long, without moving the others. */
function takeFromTheFront({ prototype }: Parts['SqsQueue']): void {
  const { dequeue } = prototype;
  prototype.dequeue = function (...args) {
    if (!(this.messages instanceof Line)) this.messages = new Line(this.messages);
    return dequeue.apply(this, args);
  };
}

class Line implements Waiting {
  #messages: unknown[];
  #taken = 0;

  constructor(messages: Iterable<unknown>) {
    this.#messages = [...messages];
  }

  get length(): number {
    return this.#messages.length - this.#taken;
  }

  push(message: unknown): void {
    this.#messages.push(message);
  }

  shift(): unknown {
    if (this.length === 0) return undefined;
    const first = this.#messages[this.#taken];
    this.#messages[this.#taken++] = undefined;
    if (2 * this.#taken > this.#messages.length) {
      this.#messages = [...this];
      this.#taken = 0;
    }
    return first;
  }

  *[Symbol.iterator](): Generator<unknown> {
    for (let index = this.#taken; index < this.#messages.length; index++) yield this.#messages[index];
  }
}

export interface QueueServer {
  url: string;
  port: number;
  stop(): Promise<void>;
}

/** Starts the queue server. Without `dataDir` messages live in memory only. */
export async function startQueueServer(options: {
  port?: number;
  dataDir?: string;
  region?: string;
}): Promise<QueueServer> {
  loaded ??= loadParts();
  const { SqsStore, SnsStore, S3Store, PersistenceManager } = await loaded;
  const sqsStore = new SqsStore();
  const snsStore = new SnsStore();
  let afterCommit: ReturnType<typeof groupWrites> = (answer) => answer();
  const persistence = options.dataDir ? new PersistenceManager(options.dataDir) : undefined;
  if (persistence) {
    persistence.loadSqsAndSns(sqsStore, snsStore);
    afterCommit = groupWrites(persistence);
    sqsStore.persistence = persistence;
    for (const queue of sqsStore.allQueues()) queue.persistence = persistence;
  }
  const app = buildApp({
    logger: false,
    defaultRegion: options.region ?? 'us-east-1',
    // The stores' classes are loaded by path, so their types are not the ones buildApp names.
    stores: { sqsStore, snsStore, s3Store: new S3Store() } as unknown as NonNullable<
      Parameters<typeof buildApp>[0]
    >['stores'],
  });
  app.addHook('onSend', (_request, _reply, payload, done) => {
    // Fastify takes an error here; its types name only the case without.
    afterCommit((error?: Error) => done(error as unknown as null, payload));
  });
  app.addHook('onClose', async () => persistence?.close());
  const url = await app.listen({ port: options.port ?? 0, host: '127.0.0.1' });
  return { url, port: Number(new URL(url).port), stop: () => app.close() };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { port: { type: 'string' }, 'data-dir': { type: 'string' }, region: { type: 'string' } },
  });
  await runService('queues', () =>
    startQueueServer({ port: portFlag(values.port), dataDir: values['data-dir'], region: values.region }),
  );
}
