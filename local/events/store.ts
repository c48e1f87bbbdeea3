/**
 * The state of the local bus in one SQLite file: buses, rules with their targets, and deliveries that were accepted and
 * not yet sent to their queue. It survives kill -9.
 *
 * Invariants: a promise from `commit` resolves only after its transaction; commits in one turn of the event loop share a
 * transaction. The file is in WAL mode with synchronous=NORMAL: a killed process loses nothing, a power cut may lose the
 * last moments. Without a data directory the tables are in memory. Called by accept.ts, registry.ts, delivery.ts and server.ts.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Target } from '@aws-sdk/client-eventbridge';

export interface Bus {
  name: string;
  createdMs: number;
}

export interface Rule {
  bus: string;
  name: string;
  arn: string;
  pattern?: string;
  schedule?: string;
  enabled: boolean;
  /** When a scheduled rule fires next; absent for other rules and for disabled ones. */
  nextFireMs?: number;
}

/** Where an event goes and its retry policy, as the target had them when the event was accepted. */
export interface Route {
  ruleArn: string;
  targetArn: string;
  deadLetterArn?: string;
  maxAgeMs: number;
  maxRetries: number;
}

/** Why a delivery failed for good: what EventBridge writes on the dead letter. */
export interface DeadLetterReason {
  errorCode: string;
  errorMessage: string;
  exhausted?: 'MaximumRetryAttempts' | 'MaximumEventAgeInSeconds';
  retryAttempts: number;
}

/** One event on its way to one target; with a reason, on its way to that target's dead-letter queue. */
export interface Delivery {
  seq: number;
  route: Route;
  body: string;
  acceptedMs: number;
  /** Failed attempts at the current destination. */
  failures: number;
  /** Not to be attempted before this time. */
  dueMs: number;
  deadLetter?: DeadLetterReason;
}

/** Rows to write together. Updated deliveries have their progress and dead-letter reason stored. */
export interface Work {
  added?: Delivery[];
  updated?: Delivery[];
  removed?: Delivery[];
  /** A rule that has fired and when it fires next, in the same transaction as what it sent. */
  fired?: Rule;
}

const schema = `
CREATE TABLE IF NOT EXISTS buses (name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS rules (
  bus TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL, pattern TEXT, schedule TEXT, enabled INTEGER NOT NULL,
  next_fire_ms INTEGER, PRIMARY KEY (bus, name)) STRICT;
CREATE TABLE IF NOT EXISTS targets (
  bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (bus, rule, id)) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY, route TEXT NOT NULL, body TEXT NOT NULL, accepted_ms INTEGER NOT NULL,
  failures INTEGER NOT NULL, due_ms INTEGER NOT NULL, dead_letter TEXT) STRICT;
`;

interface Waiting {
  work: Work;
  resolve(): void;
  reject(error: unknown): void;
}

type Row = Record<string, unknown>;

export class Store {
  private readonly db: DatabaseSync;
  private readonly statements: Record<'add' | 'update' | 'remove' | 'fire', StatementSync>;
  private waiting: Waiting[] = [];
  private lastSeq: number;

  /** Opens the file in `dataDir`, making the directory if needed, or a private database in memory. */
  constructor(dataDir?: string) {
    if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true });
    this.db = new DatabaseSync(dataDir === undefined ? ':memory:' : join(dataDir, 'eventbridge.sqlite'));
    this.db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000;');
    this.db.exec(schema);
    this.statements = {
      add: this.db.prepare('INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?)'),
      update: this.db.prepare('UPDATE deliveries SET failures = ?, due_ms = ?, dead_letter = ? WHERE seq = ?'),
      remove: this.db.prepare('DELETE FROM deliveries WHERE seq = ?'),
      fire: this.db.prepare('UPDATE rules SET next_fire_ms = ? WHERE bus = ? AND name = ?'),
    };
    this.lastSeq = Number(this.db.prepare('SELECT COALESCE(MAX(seq), 0) AS seq FROM deliveries').get()?.seq ?? 0);
  }

  /** A number that orders deliveries by acceptance. */
  nextSeq(): number {
    this.lastSeq += 1;
    return this.lastSeq;
  }

  /** Writes the work, in one transaction with all other work of this turn of the event loop. */
  commit(work: Work): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ work, resolve, reject });
      if (this.waiting.length === 1) setImmediate(() => this.flush());
    });
  }

  private flush(): void {
    const group = this.waiting;
    if (group.length === 0) return;
    this.waiting = [];
    try {
      this.inTransaction(() => {
        for (const { work } of group) this.write(work);
      });
    } catch (error) {
      for (const { reject } of group) reject(error);
      return;
    }
    for (const { resolve } of group) resolve();
  }

  private write(work: Work): void {
    const { add, update, remove, fire } = this.statements;
    for (const d of work.added ?? []) {
      const deadLetter = d.deadLetter ? JSON.stringify(d.deadLetter) : null;
      add.run(d.seq, JSON.stringify(d.route), d.body, d.acceptedMs, d.failures, d.dueMs, deadLetter);
    }
    for (const d of work.updated ?? []) {
      update.run(d.failures, d.dueMs, d.deadLetter ? JSON.stringify(d.deadLetter) : null, d.seq);
    }
    for (const d of work.removed ?? []) remove.run(d.seq);
    if (work.fired) fire.run(work.fired.nextFireMs ?? null, work.fired.bus, work.fired.name);
  }

  private inTransaction(run: () => void): void {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      run();
      this.db.exec('COMMIT');
    } catch (error) {
      // SQLite has already rolled back after some failures; then there is nothing to undo.
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Deliveries left by an earlier process, in order of acceptance. */
  undelivered(): Delivery[] {
    return this.db
      .prepare('SELECT * FROM deliveries ORDER BY seq')
      .all()
      .map((row: Row) => ({
        seq: Number(row.seq),
        route: JSON.parse(String(row.route)) as Route,
        body: String(row.body),
        acceptedMs: Number(row.accepted_ms),
        failures: Number(row.failures),
        dueMs: Number(row.due_ms),
        deadLetter: row.dead_letter === null ? undefined : (JSON.parse(String(row.dead_letter)) as DeadLetterReason),
      }));
  }

  buses(): Bus[] {
    return this.db
      .prepare('SELECT * FROM buses ORDER BY name')
      .all()
      .map((row: Row) => ({ name: String(row.name), createdMs: Number(row.created_ms) }));
  }

  putBus(bus: Bus): void {
    this.db.prepare('INSERT OR REPLACE INTO buses VALUES (?, ?)').run(bus.name, bus.createdMs);
  }

  rules(): Rule[] {
    return this.db
      .prepare('SELECT * FROM rules ORDER BY bus, name')
      .all()
      .map((row: Row) => ({
        bus: String(row.bus),
        name: String(row.name),
        arn: String(row.arn),
        pattern: text(row.pattern),
        schedule: text(row.schedule),
        enabled: row.enabled === 1,
        nextFireMs: row.next_fire_ms === null ? undefined : Number(row.next_fire_ms),
      }));
  }

  putRule(rule: Rule): void {
    this.db
      .prepare('INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(
        rule.bus,
        rule.name,
        rule.arn,
        rule.pattern ?? null,
        rule.schedule ?? null,
        rule.enabled ? 1 : 0,
        rule.nextFireMs ?? null,
      );
  }

  deleteRule(bus: string, name: string): void {
    this.db.prepare('DELETE FROM rules WHERE bus = ? AND name = ?').run(bus, name);
  }

  targets(bus: string, rule: string): Target[] {
    return this.db
      .prepare('SELECT target FROM targets WHERE bus = ? AND rule = ? ORDER BY id')
      .all(bus, rule)
      .map((row: Row) => JSON.parse(String(row.target)) as Target);
  }

  /** Adds targets or replaces those with the same id, all or none. */
  putTargets(bus: string, rule: string, targets: Target[]): void {
    const put = this.db.prepare('INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?)');
    this.inTransaction(() => {
      for (const target of targets) put.run(bus, rule, target.Id ?? '', JSON.stringify(target));
    });
  }

  removeTargets(bus: string, rule: string, ids: string[]): void {
    const remove = this.db.prepare('DELETE FROM targets WHERE bus = ? AND rule = ? AND id = ?');
    this.inTransaction(() => {
      for (const id of ids) remove.run(bus, rule, id);
    });
  }

  /** Commits pending work and closes the file. */
  close(): void {
    this.flush();
    this.db.close();
  }
}

function text(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}
