/**
 * What the clients saw, from their own log: evidence that does not come from the servers.
 *
 * One pass over the log; what can be judged from the log alone is judged here (repeats under one key, versions and stock
 * that a client saw), the rest is indexed for the comparison with the databases.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type {
  LogLine,
  PushLine,
  RequestLine,
  SaleAct,
  SeenPurchase,
  SeenReservation,
  SeenStock,
  SeenTerms,
} from '../log.ts';
import type { Tallies } from './tally.ts';

/** A reservation for which a client holds a 202. */
export interface Promised {
  reservationId: string;
  saleId: string;
  customerId: string;
  key: string;
  quantity: number;
  atLeast: number;
  /** Other bodies, as quantity/atLeast, that were accepted under the same key while the gate was unavailable. */
  otherBodies: string[];
  /** The first ticket that was named; null while none was. */
  ticket: number | null;
  /** When requests under its key were accepted without the gate: the queue's time of each may be its ticket. */
  withoutGate: { sentMs: number; answeredMs: number }[];
  /** When its key was first sent, answered or not: it cannot have been accepted earlier. */
  firstSentMs: number;
  /** When it was first answered with 202: it cannot have been accepted later. */
  firstAnsweredMs: number;
  /** State by version, as answers and pushes showed it. */
  seen: Map<number, string>;
  /** When the decision was pushed to its customer. */
  pushedMs: number | undefined;
}

/** A purchase for which a client holds a 202. */
export interface PromisedPurchase {
  purchaseId: string;
  customerId: string;
  amountMinor: number;
  currency: string;
  reservationIds: string[];
  firstSentMs: number;
  firstAnsweredMs: number;
  seen: Map<string, SeenPurchase>;
}

/** A request that was refused because of the time. */
export type RefusedForTime = Pick<RequestLine, 'op' | 'saleId' | 'sentMs' | 'answeredMs' | 'code' | 'reservationIds'>;

const timeCodes = new Set(['sale_not_open', 'sale_closed', 'window_not_open', 'window_closed', 'deadline_passed']);

/** A phase of a sale that a watcher was told of. */
export interface SeenPhase {
  saleId: string;
  phase: string;
  receivedMs: number;
}

/** What an operator did to a sale, and the resulting terms. */
export interface AnnouncedTerms {
  act: SaleAct;
  terms: SeenTerms;
  firstSentMs: number;
  answeredMs: number;
}

/** Shows of one sale's stock; the version must not fall from one to the next on the same path. */
interface StockShown {
  stock: SeenStock;
  sentMs: number;
  answeredMs: number;
}

/** Readers may be served from a process's memory for this long, so only later requests must show as much. */
const memoryMs = 250;

export class ClientView {
  readonly promised = new Map<string, Promised>();
  readonly purchases = new Map<string, PromisedPurchase>();
  /** The keys of requests without an answer, by sale and customer, and when each was first sent: it may have been accepted. */
  readonly unanswered = new Map<string, Map<string, number>>();
  /** Sales that the log speaks of. */
  readonly sales = new Set<string>();
  readonly refusedForTime: RefusedForTime[] = [];
  /** What operators did to each sale. */
  readonly announced = new Map<string, AnnouncedTerms[]>();
  readonly phases: SeenPhase[] = [];
  /** Notices that clients listed, by subject, version and kind; with how often one list showed it at most. */
  readonly listedNotices = new Map<string, number>();
  readonly acceptMs: number[] = [];
  /** First answers with 202, for rates. */
  readonly acceptedAtMs: number[] = [];
  readonly outcomes = new Map<string, number>();
  lines = 0;
  pushes = 0;
  /** Pushes that came twice or too late, and were not shown. */
  pushesDropped = 0;
  firstReserveMs = Number.POSITIVE_INFINITY;
  lastReserveMs = 0;
  reserveAttempts = 0;
  /** Repeated requests that were answered with 202 again. */
  repeats = 0;

  readonly #tallies: Tallies;
  /** By customer, sale and key: what was asked, when first, and what it became. */
  readonly #byKey = new Map<string, { body: string; firstSentMs: number; becameId?: string }>();
  readonly #lastStock = new Map<string, StockShown[]>();
  readonly #lastShown = new Map<string, { epoch: number; version: number; said: Set<string> }>();
  readonly #phaseShown = new Map<string, string>();
  readonly #answeredVersion = new Map<string, { answeredMs: number; version: number }>();

  private constructor(tallies: Tallies) {
    this.#tallies = tallies;
  }

  /** Reads logs, one after the other. Throws if one cannot be read or holds something that is not a line of the log. */
  static async read(files: string[], tallies: Tallies): Promise<ClientView> {
    const view = new ClientView(tallies);
    for (const file of files) {
      for await (const line of createInterface({
        input: createReadStream(file),
        crlfDelay: Number.POSITIVE_INFINITY,
      })) {
        if (line !== '') view.#add(JSON.parse(line) as LogLine);
      }
    }
    return view;
  }

  /** Takes up one line. */
  #add(line: LogLine): void {
    this.lines++;
    if (line.type === 'push') this.#addPush(line);
    else this.#addRequest(line);
  }

  #addRequest(line: RequestLine): void {
    const outcome = `${line.op} ${line.status}${line.code ? ` ${line.code}` : ''}`;
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
    if (line.op === 'reserve') this.#addReserve(line);
    if (line.op === 'buy') this.#addBuy(line);
    for (const seen of line.reservations ?? []) this.#see(seen, line);
    for (const seen of line.purchases ?? []) this.purchases.get(seen.purchaseId)?.seen.set(seen.state, seen);
    for (const stock of line.stocks ?? []) this.#seeStock(stock, line);
    if (line.notices) this.#addNotices(line);
    if (line.terms) this.#addTerms(line);
  }

  #addTerms({ saleId = '', act, terms, firstSentMs, sentMs, answeredMs }: RequestLine): void {
    if (!act || !terms) return;
    const ofSale = this.announced.get(saleId) ?? [];
    this.announced.set(saleId, ofSale);
    ofSale.push({ act, terms, firstSentMs: firstSentMs ?? sentMs, answeredMs });
  }

  #addReserve(line: RequestLine): void {
    const { saleId = '', customerId = '', key = '', quantity, atLeast, status, sentMs, answeredMs } = line;
    this.sales.add(saleId);
    this.reserveAttempts++;
    this.firstReserveMs = Math.min(this.firstReserveMs, sentMs);
    this.lastReserveMs = Math.max(this.lastReserveMs, answeredMs);
    const whose = `${saleId}/${customerId}`;
    if (mayHaveHappened(status)) {
      const keys = this.unanswered.get(whose) ?? new Map<string, number>();
      this.unanswered.set(whose, keys.set(key, Math.min(keys.get(key) ?? sentMs, sentMs)));
    }
    const used = this.#useKey(line, `${whose}/${key}`, `${quantity}/${atLeast}`);
    if (!used || status !== 202) return;
    const { reservationId = '', ticket = null } = line;
    if (used.becameId !== undefined) {
      this.#addRepeat(line, this.promised.get(used.becameId), reservationId, ticket);
      return;
    }
    used.becameId = reservationId;
    const other = this.promised.get(reservationId);
    this.#tallies.I3.expect(other === undefined, () =>
      says(line, `keys ${other?.key} and ${key} became one reservation, ${reservationId}`),
    );
    if (other) return;
    this.acceptMs.push(answeredMs - line.scheduledMs);
    this.acceptedAtMs.push(answeredMs);
    this.promised.set(reservationId, {
      ...{ reservationId, saleId, customerId, key, quantity: quantity ?? 0, atLeast: atLeast ?? 0, ticket },
      otherBodies: [],
      withoutGate: ticket === null ? [{ sentMs, answeredMs }] : [],
      firstSentMs: used.firstSentMs,
      firstAnsweredMs: answeredMs,
      seen: new Map(),
      pushedMs: undefined,
    });
  }

  #addRepeat(line: RequestLine, first: Promised | undefined, reservationId: string, ticket: number | null): void {
    this.repeats++;
    this.#tallies.I3.expect(first?.reservationId === reservationId, () =>
      says(line, `key ${line.key} became two reservations, ${first?.reservationId} and ${reservationId}`),
    );
    if (!first) return;
    this.#tallies.I3.expect(first.ticket === null || ticket === null || first.ticket === ticket, () =>
      says(line, `reservation ${reservationId} was given two tickets, ${first.ticket} and ${ticket}`),
    );
    first.ticket ??= ticket;
    if (ticket === null) first.withoutGate.push({ sentMs: line.sentMs, answeredMs: line.answeredMs });
    first.firstSentMs = Math.min(first.firstSentMs, line.sentMs);
    first.firstAnsweredMs = Math.min(first.firstAnsweredMs, line.answeredMs);
  }

  /** Notes the use of a key. Undefined if it was used for something else before, which must have been refused. */
  #useKey(line: RequestLine, name: string, body: string): { firstSentMs: number; becameId?: string } | undefined {
    const { status, sentMs, code } = line;
    if (code !== undefined && timeCodes.has(code)) {
      const { op, saleId, answeredMs, reservationIds } = line;
      this.refusedForTime.push({ op, saleId, sentMs, answeredMs, code, reservationIds });
    }
    const known = this.#byKey.get(name);
    if (known?.becameId !== undefined && known.body !== body) {
      // While the gate is unavailable, the first request in the queue decides which body a key stands for.
      const promise = this.promised.get(known.becameId);
      const withoutGate = status === 202 && (line.ticket === null || (promise?.withoutGate.length ?? 0) > 0);
      this.#tallies.I3.expect(status === 422 || withoutGate || mayHaveHappened(status), () =>
        says(line, `key ${line.key} was used for another request and answered ${status} instead of 422`),
      );
      if (withoutGate) promise?.otherBodies.push(body);
      if (withoutGate && line.ticket === null) promise?.withoutGate.push({ sentMs, answeredMs: line.answeredMs });
      return undefined;
    }
    // A key whose requests were all refused is not bound yet, so the next request with it counts as the first.
    const use = known?.body === body ? known : { body, firstSentMs: sentMs };
    use.firstSentMs = Math.min(use.firstSentMs, sentMs);
    this.#byKey.set(name, use);
    return use;
  }

  #addBuy(line: RequestLine): void {
    const { purchaseId, customerId = '', amountMinor = 0, currency = '', reservationIds = [], key = '' } = line;
    const used = this.#useKey(line, `buy/${customerId}/${key}`, [...reservationIds].sort().join());
    if (!used || line.status !== 202 || purchaseId === undefined) return;
    const first = this.purchases.get(used.becameId ?? '');
    if (used.becameId !== undefined) {
      this.#tallies.I3.expect(used.becameId === purchaseId, () =>
        says(line, `key ${key} became two purchases, ${used.becameId} and ${purchaseId}`),
      );
      if (first) first.firstSentMs = Math.min(first.firstSentMs, line.sentMs);
      return;
    }
    used.becameId = purchaseId;
    const { firstSentMs } = used;
    const promise = { purchaseId, customerId, amountMinor, currency, reservationIds, firstSentMs };
    this.purchases.set(purchaseId, { ...promise, firstAnsweredMs: line.answeredMs, seen: new Map() });
  }

  /** An answer showed a reservation: one state for each version, and a later question never gets an older one. */
  #see({ reservationId, state, version }: SeenReservation, line: RequestLine): void {
    const last = this.#answeredVersion.get(reservationId);
    if (last && line.sentMs >= last.answeredMs) {
      this.#tallies.I6.expect(version >= last.version, () =>
        says(line, `reservation ${reservationId} was shown at version ${version} after ${last.version}`),
      );
    }
    if (!last || version >= last.version) {
      this.#answeredVersion.set(reservationId, { answeredMs: line.answeredMs, version });
    }
    this.#note(reservationId, version, state, `${line.op} at ${line.answeredMs}`);
  }

  #note(reservationId: string, version: number, state: string, where: string): void {
    const promise = this.promised.get(reservationId);
    if (!promise || version === 0) return;
    const known = promise.seen.get(version);
    this.#tallies.I2.expect(
      known === undefined || known === state,
      () => `reservation ${reservationId} was both ${known} and ${state} at version ${version} (${where})`,
    );
    promise.seen.set(version, state);
  }

  #seeStock(stock: SeenStock, line: RequestLine): void {
    this.#addsUp(stock, `${line.op} at ${line.answeredMs}`);
    const shown = this.#lastStock.get(stock.saleId) ?? [];
    this.#lastStock.set(stock.saleId, shown);
    const older = shown.filter((one) => one.answeredMs + memoryMs <= line.sentMs);
    const newest = older.at(-1);
    if (newest) {
      this.#tallies.I6.expect(!isOlder(stock, newest.stock), () =>
        says(line, `stock of sale ${stock.saleId} was shown at ${at(stock)} after ${at(newest.stock)}`),
      );
      // Of what was shown long ago only the newest can still be contradicted.
      shown.splice(0, older.length - 1);
    }
    const last = shown.at(-1);
    if (!last || !isOlder(stock, last.stock)) shown.push({ stock, sentMs: line.sentMs, answeredMs: line.answeredMs });
  }

  /** I1 holds at every commit, so also in everything a client is shown. */
  #addsUp(stock: SeenStock, where: string): void {
    const { saleId, allotment, available, allocated, sold } = stock;
    this.#tallies.I1.expect(
      available + allocated + sold === allotment && Math.min(available, allocated, sold) >= 0,
      () => `sale ${saleId} was shown as ${available} + ${allocated} + ${sold} of ${allotment} (${where})`,
    );
  }

  #addPush(line: PushLine): void {
    this.pushes++;
    const { about, subjectId, version, receivedMs } = line;
    if (line.shown) this.#judgeShown(line);
    else this.pushesDropped++;
    if (line.stock) this.#addsUp(line.stock, `push at ${receivedMs}`);
    if (about === 'sale' && line.phase) this.#addPhase(line, line.phase);
    if (about === 'reservation' && line.state) {
      this.#note(subjectId, version, line.state, `push at ${receivedMs}`);
      const promise = this.promised.get(subjectId);
      if (promise && version === 1) promise.pushedMs ??= receivedMs;
    }
  }

  /** A push about a sale comes whenever its terms change; its phase is news only if it differs from the one before. */
  #addPhase({ connection, subjectId: saleId, receivedMs }: PushLine, phase: string): void {
    const screen = `${connection}/${saleId}`;
    if (this.#phaseShown.get(screen) !== phase) this.phases.push({ saleId, phase, receivedMs });
    this.#phaseShown.set(screen, phase);
  }

  /** On one screen nothing is shown twice, and nothing older than what was shown before. */
  #judgeShown({ connection, about, kind, notificationId, subjectId, epoch = 0, version }: PushLine): void {
    // A reminder speaks of a reservation as it is, so it stands in the same row of versions.
    const row = `${connection}/${about === 'reminder' ? 'reservation' : about}/${subjectId}`;
    const said = about === 'reminder' ? `${kind} ${notificationId ?? ''}` : 'state';
    const last = this.#lastShown.get(row);
    const same = last?.epoch === epoch && last.version === version;
    this.#tallies.I5.expect(
      !last || (!isOlder({ epoch, version }, last) && !(same && last.said.has(said))),
      () => `connection ${connection} was shown ${about} ${subjectId} at version ${version} after ${last?.version}`,
    );
    if (last && same) last.said.add(said);
    else if (!last || !isOlder({ epoch, version }, last))
      this.#lastShown.set(row, { epoch, version, said: new Set([said]) });
  }

  #addNotices(line: RequestLine): void {
    const counts = new Map<string, number>();
    for (const { subjectId, version, kind } of line.notices ?? []) {
      const name = `${subjectId}/${version}/${kind}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const [name, count] of counts) {
      this.listedNotices.set(name, Math.max(count, this.listedNotices.get(name) ?? 0));
    }
  }
}

/** Whether a request without a proper answer may have been carried out nevertheless. */
function mayHaveHappened(status: number): boolean {
  return status === 0 || status >= 500;
}

/** Newer is a higher epoch, then a higher version. */
export function isOlder(one: { epoch: number; version: number }, other: { epoch: number; version: number }): boolean {
  return one.epoch < other.epoch || (one.epoch === other.epoch && one.version < other.version);
}

function at({ epoch, version }: { epoch: number; version: number }): string {
  return `${epoch}.${version}`;
}

function says(line: RequestLine, what: string): string {
  return `${what} (customer ${line.customerId ?? '-'}, sent ${line.sentMs})`;
}
