/**
 * Waiting until nothing changes any more: only at rest can two stores be compared.
 *
 * At rest means that no queue has anything to deliver, the bus has delivered everything, the outbox is empty, no payment
 * is awaited, every reservation that a client was promised is decided, nothing is held beyond its window, and nothing
 * changed for a while. Waiting is bounded: what is still moving then is named, and the checks say what is wrong with it.
 */
import type { ClientView } from './clients.ts';
import type { QueueReader } from './queues.ts';
import type { Store } from './store.ts';
import type { Target } from './target.ts';

export interface Quiet {
  reached: boolean;
  waitedMs: number;
  /** What was still moving at the last look. */
  moving: string[];
}

const lookAgainMs = 250;
/** Rules and boundaries keep these busy for ever; what they hold back for later is no work left over. */
const clockwork = new Set(['advance', 'relay', 'settle', 'reconcile']);

/** Waits until everything is at rest and has been for `stillForMs`, at most `timeoutMs`. */
export async function waitForQuiet(
  target: Target,
  parts: { store: Store; queues: QueueReader },
  clients: ClientView,
  options: { timeoutMs: number; stillForMs: number; report: (line: string) => void },
): Promise<Quiet> {
  const startedAtMs = Date.now();
  let before = '';
  let unchangedSinceMs = startedAtMs;
  let told = startedAtMs;
  for (;;) {
    const { moving, fingerprint } = await look(target, parts, clients);
    const nowMs = Date.now();
    if (fingerprint !== before || moving.length > 0) unchangedSinceMs = nowMs;
    before = fingerprint;
    const waitedMs = nowMs - startedAtMs;
    if (moving.length === 0 && nowMs - unchangedSinceMs >= options.stillForMs)
      return { reached: true, waitedMs, moving };
    if (waitedMs >= options.timeoutMs) return { reached: false, waitedMs, moving };
    if (nowMs - told >= 5_000 && moving.length > 0) {
      told = nowMs;
      options.report(`waiting for rest: ${moving.join(', ')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

async function look(
  target: Target,
  { store, queues }: { store: Store; queues: QueueReader },
  clients: ClientView,
): Promise<{ moving: string[]; fingerprint: string }> {
  const moving: string[] = [];
  await store.live();
  const [pulse, depths, undelivered, held, rows] = await Promise.all([
    store.pulse(),
    queues.depths(target.queues),
    target.eventsUrl ? pendingEvents(target.eventsUrl) : 0,
    store.heldAfterClose(Date.now()),
    store.countReservations(),
  ]);
  if (pulse.outbox > 0) moving.push(`${pulse.outbox} events in the outbox`);
  if (pulse.openPurchases > 0) moving.push(`${pulse.openPurchases} payments awaited`);
  if (undelivered > 0) moving.push(`${undelivered} events on the bus`);
  if (held > 0) moving.push(`${held} units or places held after the close`);
  if (rows < clients.promised.size) moving.push(`${clients.promised.size - rows} reservations undecided`);
  for (const [name, { visible, inFlight, delayed }] of depths) {
    const left = visible + inFlight + (clockwork.has(name) ? 0 : delayed);
    if (left > 0) moving.push(`${left} messages in ${name}`);
  }
  return { moving, fingerprint: pulse.fingerprint };
}

/** Deliveries that the embedded events server still has to make. */
async function pendingEvents(url: string): Promise<number> {
  const response = await fetch(`${url}/_stats`, { signal: AbortSignal.timeout(5_000) });
  return Number(((await response.json()) as { pending?: unknown }).pending ?? 0);
}
