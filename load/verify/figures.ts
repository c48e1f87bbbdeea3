/**
 * Latencies and rates, from the clients' log and the rows; nothing here is judged.
 */
import type { ClientView } from './clients.ts';
import type { ReservationRow, SaleRow } from './store.ts';

export interface Percentiles {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

export interface Figures {
  latencyMs: {
    /** From when a request was due to its 202. */
    accept: Percentiles;
    /** From acceptance to the decision, by the servers' clock. */
    acceptToDecision: Percentiles;
    /** From acceptance to the decision on the customer's screen, over WebSocket. */
    acceptToPush: Percentiles;
    /** From the time a sale enters a phase to the news of it on watchers' screens. */
    boundaryToPush: Percentiles;
  };
  ratesPerSecond: {
    /** Reservation requests of all kinds, while they were sent. */
    requests: number;
    /** Answers of 202 in the busiest second. */
    acceptedPeak: number;
    /** Decisions in the busiest second. */
    decidedPeak: number;
  };
}

export class FigureCollector {
  readonly #clients: ClientView;
  readonly #decisionMs: number[] = [];
  readonly #pushMs: number[] = [];
  readonly #decidedAtMs: number[] = [];

  constructor(clients: ClientView) {
    this.#clients = clients;
  }

  add({ id, acceptedAtMs, decidedAtMs }: ReservationRow): void {
    const promise = this.#clients.promised.get(id);
    if (!promise) return;
    this.#decisionMs.push(decidedAtMs - acceptedAtMs);
    this.#decidedAtMs.push(decidedAtMs);
    if (promise.pushedMs !== undefined) this.#pushMs.push(promise.pushedMs - acceptedAtMs);
  }

  finish(sales: Map<string, SaleRow>): Figures {
    const { acceptMs, acceptedAtMs, reserveAttempts, firstReserveMs, lastReserveMs, phases } = this.#clients;
    const boundaryMs = phases.flatMap(({ saleId, phase, receivedMs }) => {
      const sale = sales.get(saleId);
      const startsAtMs = sale && phaseStart(sale, phase);
      // A watcher who comes later hears of a phase that began before; that is no measure of delay.
      return startsAtMs === undefined || receivedMs < startsAtMs ? [] : [receivedMs - startsAtMs];
    });
    const seconds = (lastReserveMs - firstReserveMs) / 1_000;
    return {
      latencyMs: {
        accept: percentiles(acceptMs),
        acceptToDecision: percentiles(this.#decisionMs),
        acceptToPush: percentiles(this.#pushMs),
        boundaryToPush: percentiles(boundaryMs),
      },
      ratesPerSecond: {
        requests: seconds > 0 ? Math.round(reserveAttempts / seconds) : 0,
        acceptedPeak: peakPerSecond(acceptedAtMs),
        decidedPeak: peakPerSecond(this.#decidedAtMs),
      },
    };
  }
}

function phaseStart(sale: SaleRow, phase: string): number | undefined {
  switch (phase) {
    case 'reserving':
      return sale.reserveOpensAtMs;
    case 'reserved':
      return sale.reserveClosesAtMs;
    case 'purchasing':
      return sale.purchaseOpensAtMs;
    case 'closed':
      return sale.purchaseClosesAtMs;
    default:
      return undefined;
  }
}

/** The values below which a share of all lie; zeros if there are none. */
export function percentiles(values: number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

function peakPerSecond(timesMs: number[]): number {
  const perSecond = new Map<number, number>();
  for (const timeMs of timesMs) {
    const second = Math.floor(timeMs / 1_000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  return perSecond.size === 0 ? 0 : [...perSecond.values()].reduce((most, one) => Math.max(most, one));
}
