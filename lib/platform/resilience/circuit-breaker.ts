/**
 * The circuit breaker that guards every call to another system.
 *
 * A breaker opens when at least half of at least ten calls within ten seconds have failed, fails fast for a while, and
 * then lets one trial call through. It has no fallback: what happens instead (skip the gate, park the purchase) is
 * decided by the caller. opossum's own timeout is switched off, since it would not stop the call: each call has its own
 * deadline instead.
 */
import CircuitBreaker from 'opossum';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';

export interface BreakerOptions {
  /** How long an open breaker fails fast before it lets one call through, milliseconds. */
  resetTimeoutMs?: number;
  /** The fewest calls in the window that can open it. */
  volumeThreshold?: number;
  /** Errors that say nothing about the health of the called system, such as a refusal; they do not count as failures. */
  isRefusal?: (error: unknown) => boolean;
  /** Whether its caller writes the log instead. */
  isSilent?: boolean;
  /**
   * Whether it guards calls to a system that is none of ours to run, such as a customer's own: then its opening is neither logged
   * nor measured, and the operator of that system is told in another way.
   */
  isTheirs?: boolean;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface Breaker {
  readonly name: string;
  /** Runs `call` if the breaker allows it; throws `BreakerOpen` at once if it does not. */
  run<T>(call: () => Promise<T>): Promise<T>;
  state(): BreakerState;
}

/** Thrown instead of calling while a breaker is open. Nothing was sent. */
export class BreakerOpen extends Error {
  constructor(name: string, cause: unknown) {
    super(`the breaker "${name}" is open`, { cause });
    this.name = 'BreakerOpen';
  }
}

/** The circuit breakers of one environment, by name. */
export interface Breakers {
  /** The breaker of this name; the first caller's options apply. */
  get(name: string, options?: BreakerOptions): Breaker;
  /** The state of each of them, for `GET /health` and the operator's page. */
  states(): Record<string, BreakerState>;
}

/** An empty set of breakers; each is opened when it is first asked for. */
export function openBreakers(): Breakers {
  const opened = new Map<string, Breaker>();
  return {
    get(name, options = {}) {
      const breaker = opened.get(name) ?? openBreaker(name, options);
      opened.set(name, breaker);
      return breaker;
    },
    states: () => Object.fromEntries([...opened.values()].map((one) => [one.name, one.state()])),
  };
}

function openBreaker(name: string, options: BreakerOptions): Breaker {
  const circuit = new CircuitBreaker((call: () => Promise<unknown>) => call(), {
    name,
    timeout: false,
    errorThresholdPercentage: 50,
    volumeThreshold: options.volumeThreshold ?? 10,
    resetTimeout: options.resetTimeoutMs ?? 2_000,
    rollingCountTimeout: 10_000,
    rollingPercentilesEnabled: false,
    ...(options.isRefusal ? { errorFilter: options.isRefusal } : {}),
  });
  // It opens again after each failed try; together they are one outage, and one line.
  let openings = 0;
  circuit.on('open', () => {
    if (options.isTheirs) return;
    if (openings++ === 0 && !options.isSilent) log.warn('a breaker opened', { breaker: name });
    measure({ BreakersOpened: 1 }, { facts: { breaker: name } });
  });
  circuit.on('close', () => {
    if (openings > 0 && !options.isSilent) log.warn('a breaker closed', { breaker: name, openings });
    openings = 0;
  });
  return {
    name,
    state: () => (circuit.opened ? 'open' : circuit.halfOpen ? 'half-open' : 'closed'),
    run: async <T>(call: () => Promise<T>): Promise<T> => {
      try {
        return (await circuit.fire(call)) as T;
      } catch (error) {
        if ((error as { code?: unknown }).code === 'EOPENBREAKER') throw new BreakerOpen(name, error);
        throw error;
      }
    },
  };
}
