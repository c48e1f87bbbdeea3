/**
 * SQS in memory, with the event source mapping that feeds functions from it.
 *
 * What it keeps of the real ones: at least one delivery, in any order; a message that is being worked on is hidden and
 * comes back if it is not deleted, at the time its consumer set or after its visibility timeout; beyond maxReceiveCount
 * it is a dead letter; what a batch does not report is deleted. Called by `deps.ts` (to send) and `world.ts` (to deliver).
 */
import type { SQSRecord } from 'aws-lambda';
import { maxReceiveCount } from '#platform/kernel/time-limits.ts';
import { Digest, type Fault, Sum } from './choice.ts';
import { Environment } from './environment.ts';
import { type Process, parts, type World } from './world.ts';

export interface Message {
  readonly id: string;
  readonly body: string;
  readonly sentAtMs: number;
  deliveries: number;
  deleted: boolean;
  /** The delivery that was told when the next one is due; 0 for none. */
  delayed: number;
}

export interface QueueOptions {
  readonly name: string;
  /** How many messages a function gets at most. */
  readonly batch: number;
  /** How many batches are worked on at once. */
  readonly workers: number;
  /** In how many environments they run; each batch has one of its own, and new, if it is not said. */
  readonly environments?: number;
  /** Consumes a batch; returns the ids of the messages that must come again. */
  consume(process: Process, records: SQSRecord[]): Promise<Iterable<string>>;
}

export class ModelQueue {
  readonly options: QueueOptions;
  /** What is sent to a queue that is not open goes nowhere: a small case leaves out what it is not about. */
  open = true;
  visible: Message[] = [];
  dead: Message[] = [];
  /** Messages in flight: being processed, or held by a consumer that died. */
  hidden = new Set<Message>();
  /** Unreadable messages, by their text. They end among the dead letters and nowhere else. */
  readonly poison = new Set<string>();
  /** How long a message stays hidden, milliseconds. */
  visibilityMs = 65_000;
  readonly environments: readonly Environment[];
  #working = 0;
  #sent = new Map<string, number>();
  readonly #world: World;

  constructor(world: World, options: QueueOptions) {
    this.#world = world;
    this.options = options;
    this.environments = Array.from({ length: options.environments ?? 0 }, () => new Environment(world));
  }

  reset(): void {
    this.visible = [];
    this.dead = [];
    this.hidden.clear();
    this.poison.clear();
    for (const environment of this.environments) environment.begin();
    this.#working = 0;
    this.#sent.clear();
  }

  get name(): string {
    return this.options.name;
  }

  /** Dead letters that could be delivered again. */
  get letters(): Message[] {
    return this.dead.filter(({ body }) => !this.poison.has(body));
  }

  /** True if nothing is in it that has not been dealt with. */
  get empty(): boolean {
    return this.visible.length + this.letters.length + this.hidden.size === 0;
  }

  #message(body: string, sentAtMs: number): Message {
    // Where states are told apart a message is named after its content, so that the order of sending makes no difference.
    const key = this.#world.digests ? new Digest().text(body).value().toString(36) : '';
    const count = this.#sent.get(key) ?? 0;
    this.#sent.set(key, count + 1);
    return { id: `${this.name}-${key}${count}`, body, sentAtMs, deliveries: 0, deleted: false, delayed: 0 };
  }

  /** Enqueues an unreadable message. */
  sendPoison(text: string): void {
    this.poison.add(text);
    this.visible.push(this.#message(text, this.#world.nowMs));
  }

  /** Takes a dead letter from a consumer. */
  deadLetter(body: string, sentAtMs: number): void {
    this.#world.writes |= parts.queues;
    this.dead.push(this.#message(body, sentAtMs));
  }

  /** Says when a message comes again that a consumer holds, by what it was handed out with. */
  deliverAgain(receiptHandle: string, afterSeconds: number): void {
    this.#world.writes |= parts.queues;
    const message = [...this.hidden].find((one) => receiptOf(one) === receiptHandle);
    // Where the clock stands still it comes again when its batch is over.
    if (!message || this.#world.options.frozen) return;
    const { deliveries } = message;
    message.delayed = deliveries;
    this.#world.after(afterSeconds * 1_000_000, `${this.name}: a message has waited ${afterSeconds} s`, () =>
      this.#comeBack(message, deliveries),
    );
  }

  #comeBack(message: Message, delivery: number): void {
    // Only the latest delivery of a message hides it.
    if (message.deleted || message.deliveries !== delivery || !this.hidden.delete(message)) return;
    if (message.deliveries >= maxReceiveCount) this.dead.push(message);
    else if (!this.visible.includes(message)) this.visible.push(message);
  }

  /** Takes a message. */
  send(body: unknown, delaySeconds = 0): void {
    if (!this.open) return;
    const message = this.#message(JSON.stringify(body), this.#world.nowMs);
    this.#world.writes |= parts.queues;
    if (delaySeconds === 0) this.visible.push(message);
    else {
      const due = () => {
        this.visible.push(message);
      };
      const digest = this.#world.digests ? new Digest().text(message.id).value() : 0;
      this.#world.afterwards(delaySeconds * 1_000_000, `${this.name}: a delayed message is due`, due, digest);
    }
  }

  canDeliver(): boolean {
    return this.visible.length > 0 && this.#working < this.options.workers;
  }

  /** Hands some messages to a function. */
  deliver(): void {
    const { chooser } = this.#world;
    const start = this.visible.length === 1 ? 0 : chooser.pick(this.visible.length);
    const most = Math.min(this.options.batch, this.visible.length);
    const count = most === 1 || chooser.happens(0.6) ? most : most - chooser.pick(most);
    const batch = Array.from({ length: count }, (_, i) => this.visible[(start + i) % this.visible.length]).filter(
      (message) => message !== undefined,
    );
    const twice = chooser.fault(['twice']) === 'twice';
    if (twice) this.#world.count('twice');
    else {
      const taken = new Set(batch);
      this.visible = this.visible.filter((message) => !taken.has(message));
    }
    this.#work(batch, twice);
  }

  /** Every way in which it could deliver next, with the choices that lead there. */
  deliveries(
    allowed: (kinds: readonly Fault[]) => readonly Fault[],
  ): { key: string; choices: number[]; faulty: boolean }[] {
    const waiting = this.visible.length;
    const most = Math.min(this.options.batch, waiting);
    const kinds = allowed(['twice']);
    const all: { key: string; choices: number[]; faulty: boolean }[] = [];
    for (let start = 0; start < waiting; start++) {
      for (let less = 0; less < most; less++) {
        const ids = Array.from({ length: most - less }, (_, i) => this.visible[(start + i) % waiting]?.id);
        const choices = [...(waiting > 1 ? [start] : []), ...(most > 1 ? [less] : [])];
        all.push({ key: `>${ids.join()}`, choices: kinds.length > 0 ? [...choices, 0] : choices, faulty: false });
        if (kinds.length > 0) all.push({ key: `>${ids.join()}twice`, choices: [...choices, 1], faulty: true });
      }
    }
    return all;
  }

  #work(batch: Message[], twice: boolean): void {
    const world = this.#world;
    world.writes |= parts.queues;
    for (const message of batch) {
      message.deliveries++;
      this.hidden.add(message);
    }
    const records = batch.map((message) => recordOf(message, this.name));
    const deliveries = batch.map((message) => message.deliveries);
    let over = false;
    const comeBack = () => {
      batch.forEach((message, index) => {
        this.#comeBack(message, deliveries[index] ?? 0);
      });
    };
    this.#working++;
    const free = () => {
      world.writes |= parts.queues;
      if (!over) this.#working--;
      over = true;
    };
    const name = `${this.name}:${batch.map(({ id, deliveries: n }) => `${id.slice(this.name.length + 1)}.${n}`).join('+')}`;
    world.trace?.(
      `              ${this.name} delivers ${batch.map(({ body }) => body).join(' ')}${twice ? ', and will again' : ''}`,
    );
    const environment = this.#leastBusy();
    const process = world.start('worker', name, async (own) => {
      environment?.enter(own);
      const failed = new Set(await this.options.consume(own, records));
      await own.ask<void>({
        to: 'queue',
        what: failed.size > 0 ? `answer: again ${failed.size} of ${batch.length}` : 'answer: done',
        faults: ['fail'],
        run: () => {
          for (const message of batch) if (!failed.has(message.id)) this.#delete(message);
        },
        broken: () => undefined,
      });
      environment?.leave(own);
      free();
      batch.forEach((message, index) => {
        if (message.delayed !== deliveries[index]) this.#comeBack(message, deliveries[index] ?? 0);
      });
    });
    process.onDeath = () => {
      free();
      if (world.options.frozen) comeBack();
    };
    if (!world.options.frozen) {
      world.after(this.visibilityMs * 1000, `${this.name}: what was not deleted is visible again`, comeBack);
    }
  }

  /** Where the next batch runs, if environments are kept. */
  #leastBusy(): Environment | undefined {
    return this.environments.toSorted((a, b) => a.busy - b.busy)[0];
  }

  #delete(message: Message): void {
    this.#world.writes |= parts.queues;
    message.deleted = true;
    this.hidden.delete(message);
    this.visible = this.visible.filter((one) => one !== message);
    this.dead = this.dead.filter((one) => one !== message);
  }

  /** Sends every dead letter on its way again. */
  redrive(): number {
    const { letters } = this;
    this.dead = this.dead.filter((letter) => !letters.includes(letter));
    for (const letter of letters) {
      letter.deliveries = 0;
      this.visible.push(letter);
    }
    return letters.length;
  }

  digest(): number {
    const sum = new Sum().add(this.#working);
    const mix = (where: string, messages: Iterable<Message>) => {
      for (const { id, deliveries } of messages) sum.add(new Digest().text(where).text(id).number(deliveries).value());
    };
    mix('visible', this.visible);
    mix('hidden', this.hidden);
    mix('dead', this.dead);
    return sum.value();
  }
}

function receiptOf(message: Message): string {
  return `${message.id}#${message.deliveries}`;
}

function recordOf(message: Message, queue: string): SQSRecord {
  return {
    messageId: message.id,
    receiptHandle: receiptOf(message),
    body: message.body,
    attributes: {
      ApproximateReceiveCount: String(message.deliveries),
      SentTimestamp: String(message.sentAtMs),
      SenderId: 'model',
      ApproximateFirstReceiveTimestamp: String(message.sentAtMs),
    },
    messageAttributes: {},
    md5OfBody: '',
    eventSource: 'aws:sqs',
    eventSourceARN: `arn:aws:sqs:model:0:${queue}`,
    awsRegion: 'model',
  };
}
