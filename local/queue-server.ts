/**
 * The queue server: SQS and S3 on a port of 127.0.0.1, by fauxqs, with its messages in SQLite and its files in a folder.
 *
 * Invariant: every change is committed before it is answered, so a queue server that is killed loses no message that it
 * accepted and repeats no delete that it confirmed. fauxqs is composed from its parts here for two reasons, both present in
 * 2.4.1 (https://github.com/kibertoad/fauxqs): `startFauxqs` listens on all interfaces, and only `startFauxqs` opens
 * persistence, whose `updateMessageReady` violates a NOT NULL constraint when a message is made visible again. Started by
 * `startStack` as a process, and by tests in-process.
 */
import { parseArgs } from 'node:util';
import { buildApp } from 'fauxqs';
import { portFlag, runService } from './service/command.ts';

/** The parts of fauxqs that its entry point does not export; package-lock.json pins the version. */
interface Parts {
  SqsStore: new () => {
    persistence?: Persistence;
    allQueues(): Iterable<{ persistence?: Persistence }>;
  };
  SnsStore: new () => object;
  S3Store: new () => { persistence?: object };
  FileS3Persistence: new (folder: string) => { loadS3(s3Store: object): void };
  PersistenceManager: new (dataDir: string) => Persistence;
}

interface Persistence {
  db: {
    exec(sql: string): void;
    prepare(sql: string): { run(...values: string[]): unknown };
  };
  loadSqsAndSns(sqsStore: object, snsStore: object): void;
  close(): void;
  updateMessageReady(messageId: string): void;
}

async function loadParts(): Promise<Parts> {
  const part = (file: string) => import(new URL(file, import.meta.resolve('fauxqs')).href);
  return Object.assign(
    {},
    ...(await Promise.all(
      [
        ...['sqs/sqsStore.js', 'sns/snsStore.js', 's3/s3Store.js'],
        ...['s3/fileS3Persistence.js', 'persistence.js'],
      ].map(part),
    )),
  );
}

export interface QueueServer {
  url: string;
  port: number;
  stop(): Promise<void>;
}

/** Starts the queue server. Without `dataDir` messages live in memory only, and without `filesDir` files. */
export async function startQueueServer(options: {
  port?: number;
  dataDir?: string;
  filesDir?: string | undefined;
  region?: string;
}): Promise<QueueServer> {
  const { SqsStore, SnsStore, S3Store, FileS3Persistence, PersistenceManager } = await loadParts();
  const sqsStore = new SqsStore();
  const snsStore = new SnsStore();
  const s3Store = new S3Store();
  if (options.filesDir) {
    const files = new FileS3Persistence(options.filesDir);
    files.loadS3(s3Store);
    s3Store.persistence = files;
  }
  const persistence = options.dataDir ? new PersistenceManager(options.dataDir) : undefined;
  if (persistence) {
    // Survives kill -9. Without a sync for each row, only a power cut can lose the last moments, as in the local bus.
    persistence.db.exec('PRAGMA synchronous = NORMAL');
    const ready = persistence.db.prepare(
      'UPDATE sqs_messages SET receipt_handle = NULL, visibility_deadline = NULL WHERE message_id = ?',
    );
    persistence.updateMessageReady = (messageId) => void ready.run(messageId);
    persistence.loadSqsAndSns(sqsStore, snsStore);
    sqsStore.persistence = persistence;
    for (const queue of sqsStore.allQueues()) queue.persistence = persistence;
  }
  const app = buildApp({
    logger: false,
    defaultRegion: options.region ?? 'us-east-1',
    // The stores' classes are loaded by path, so their types are not the ones that buildApp names.
    stores: { sqsStore, snsStore, s3Store } as unknown as NonNullable<Parameters<typeof buildApp>[0]>['stores'],
  });
  // A browser that brings a file from another origin reads whether it has come.
  app.addHook('onSend', async ({ headers }, reply) => {
    if (headers.origin !== undefined) reply.header('access-control-allow-origin', '*');
  });
  app.addHook('onClose', async () => persistence?.close());
  const url = await app.listen({ port: options.port ?? 0, host: '127.0.0.1' });
  return { url, port: Number(new URL(url).port), stop: () => app.close() };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      'data-dir': { type: 'string' },
      'files-dir': { type: 'string' },
      region: { type: 'string' },
    },
  });
  await runService('queues', () =>
    startQueueServer({
      port: portFlag(values.port),
      dataDir: values['data-dir'],
      filesDir: values['files-dir'],
      region: values.region,
    }),
  );
}
