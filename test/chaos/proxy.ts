/**
 * A TCP proxy that can be told to misbehave: the network between a function and what it depends on.
 *
 * Invariant: with no trouble set it changes nothing. Random choices come from a seed, and rules look only at bytes that
 * travel towards the server, so a run with the same seed and the same traffic sees the same trouble. Used by the chaos
 * driver, one in front of each dependency.
 */
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { seededRandom } from '#local/service/random.ts';

/** What a rule does to the connection on which its text passes. */
export type RuleAction =
  /** The request never arrives. */
  | 'cut before'
  /** The request arrives, and its reply is lost. */
  | 'cut after';

export interface Rule {
  /** Text that a request contains. */
  match: string;
  action: RuleAction;
  /** Chance that it happens to a request that matches. Default 1. */
  chance?: number;
  /** How often it happens at most. Default: no limit. */
  times?: number;
}

export interface Trouble {
  /** Every piece waits this long, each way. */
  latencyMs?: number;
  /** And up to this much longer. */
  jitterMs?: number;
  /** Connections open, and nothing passes. */
  halfOpen?: boolean;
  /** New connections are refused and open ones are reset. */
  refuse?: boolean;
  /** Chance that a connection is reset when a piece passes. */
  resetChance?: number;
  /** Chance that a piece is lost once and arrives a retransmission later. */
  lossChance?: number;
  rules?: Rule[];
}

/** TCP's minimum retransmission timeout. */
const retransmitMs = 200;

/** One proxy on 127.0.0.1. */
export class TroubledProxy {
  readonly port: number;
  /** How many connections were cut by a rule, a reset or a refusal. */
  cuts = 0;
  #server: Server;
  #upstream: number;
  #random: () => number;
  #trouble: Trouble = {};
  #used = new Map<Rule, number>();
  #pairs = new Set<Pair>();

  private constructor(server: Server, upstream: number, seed: number) {
    this.#server = server;
    this.#upstream = upstream;
    this.#random = seededRandom(seed);
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => this.#accept(client));
  }

  /** Starts a proxy to a port of this machine. */
  static async open(upstream: number, seed: number): Promise<TroubledProxy> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return new TroubledProxy(server, upstream, seed);
  }

  /** Replaces all trouble. Connections that hang since it was half open are reset, as a router that comes back does. */
  set(trouble: Trouble = {}): void {
    const wasHalfOpen = this.#trouble.halfOpen;
    this.#trouble = trouble;
    this.#used.clear();
    if (trouble.refuse || (wasHalfOpen && !trouble.halfOpen)) this.resetAll();
  }

  /** Leads new connections to another port; those that are open stay where they are, as after a failover. */
  leadTo(upstream: number): void {
    this.#upstream = upstream;
  }

  /** Resets every connection. */
  resetAll(): void {
    for (const pair of [...this.#pairs]) this.#cut(pair);
  }

  async close(): Promise<void> {
    for (const pair of [...this.#pairs]) pair.end();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    if (this.#trouble.refuse) {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const server = new Socket();
    const pair = new Pair(client, server, () => this.#pairs.delete(pair));
    this.#pairs.add(pair);
    server.connect(this.#upstream, '127.0.0.1');
    client.on('data', (piece: Buffer) => this.#forward(pair, piece));
    server.on('data', (piece: Buffer) => this.#answer(pair, piece));
  }

  #forward(pair: Pair, piece: Buffer): void {
    const { halfOpen, resetChance = 0 } = this.#trouble;
    if (halfOpen) return;
    const rule = this.#ruleFor(piece);
    if (rule === 'cut before' || (resetChance > 0 && this.#random() < resetChance)) {
      this.#cut(pair);
      return;
    }
    if (rule === 'cut after') pair.loseReply = true;
    pair.towardsServer.push(piece, this.#delay());
  }

  #answer(pair: Pair, piece: Buffer): void {
    if (this.#trouble.halfOpen) return;
    if (pair.loseReply) this.#cut(pair);
    else pair.towardsClient.push(piece, this.#delay());
  }

  #ruleFor(piece: Buffer): RuleAction | undefined {
    for (const rule of this.#trouble.rules ?? []) {
      const used = this.#used.get(rule) ?? 0;
      if (used >= (rule.times ?? Number.POSITIVE_INFINITY) || !piece.includes(rule.match)) continue;
      if (this.#random() >= (rule.chance ?? 1)) continue;
      this.#used.set(rule, used + 1);
      return rule.action;
    }
    return undefined;
  }

  #delay(): number {
    const { latencyMs = 0, jitterMs = 0, lossChance = 0 } = this.#trouble;
    const lostMs = lossChance > 0 && this.#random() < lossChance ? retransmitMs : 0;
    return latencyMs + lostMs + (jitterMs > 0 ? this.#random() * jitterMs : 0);
  }

  #cut(pair: Pair): void {
    this.cuts++;
    pair.reset();
  }
}

/** One direction of a connection. Pieces keep their order however long each of them waits. */
class Way {
  #to: Socket;
  #lastDueMs = 0;

  constructor(to: Socket) {
    this.#to = to;
  }

  push(piece: Buffer, delayMs: number): void {
    const nowMs = Date.now();
    this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + delayMs);
    if (this.#lastDueMs <= nowMs) this.#write(piece);
    else setTimeout(() => this.#write(piece), this.#lastDueMs - nowMs);
  }

  #write(piece: Buffer): void {
    if (!this.#to.destroyed) this.#to.write(piece);
  }
}

/** A client's connection and the one made for it. */
class Pair {
  readonly towardsServer: Way;
  readonly towardsClient: Way;
  /** The next piece from the server is the reply that must not arrive. */
  loseReply = false;
  #client: Socket;
  #server: Socket;

  constructor(client: Socket, server: Socket, ended: () => void) {
    this.#client = client;
    this.#server = server;
    this.towardsServer = new Way(server);
    this.towardsClient = new Way(client);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.setNoDelay(true);
      one.on('error', () => other.resetAndDestroy());
      one.on('close', () => {
        other.destroy();
        ended();
      });
    }
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  end(): void {
    this.#client.destroy();
    this.#server.destroy();
  }
}
