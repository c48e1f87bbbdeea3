/**
 * The audit trail: what an operator did, kept for good.
 *
 * An act is recorded in the transaction that carries it out, so neither is there without the other. What was before and
 * after is kept as the API shows it. Called through `keep` (`idempotency/kept-answer.ts`), which every operator's call that
 * changes something must use.
 */
import * as z from 'zod';
import { type Page, PageQuery, pageOf, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import { correlationId } from '#platform/kernel/log.ts';
import { Id, idOf, Time } from '#platform/kernel/shapes.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { type ActRow, insertAct, listActs, type OperatorId } from './act.store.ts';

/** What an act changed. `before` and `after` are null where there was nothing, or nothing that MySQL keeps. */
export interface Change {
  /** The sale, product, purchase, reservation, customer, API key or run that it concerns. */
  readonly subjectId: string | null;
  readonly before: object | null;
  readonly after: object | null;
}

/** Who does what: the caller, the operation, and what was asked for. */
export interface Actor {
  /** An account or an API key; null for a command that is run with the database's own password. */
  readonly operatorId: OperatorId | null;
  readonly act: string;
  readonly asked: object;
}

/** Records an act in the transaction that carries it out, under the correlation id of the call. */
export function recordAct(tx: Tx, { operatorId, act, asked }: Actor, change: Change, nowMs: number): Promise<void> {
  const { subjectId, before, after } = change;
  return insertAct(tx, {
    ...{ atMs: nowMs, operatorId, act, subjectId },
    asked: JSON.stringify(asked),
    before: before && JSON.stringify(before),
    after: after && JSON.stringify(after),
    correlationId: correlationId() ?? null,
  });
}

/** Which acts an operator wants to see. */
export const ActQuery = PageQuery.extend({
  operatorId: idOf<OperatorId>().optional().describe('Only those of this operator or API key'),
  subjectId: Id.optional().describe(
    'Only those about this sale, product, purchase, reservation, customer, API key or run',
  ),
});
export type ActQuery = z.output<typeof ActQuery>;

/** A part of an act as the API showed it then. */
const Shown = z.looseObject({}).nullable();

export const ActView = z
  .object({
    actId: Id,
    at: Time,
    operatorId: idOf<OperatorId>()
      .nullable()
      .describe('An account or an API key; null for a command that was run with the database’s password'),
    act: z.string().describe('The operation of this document, or the command'),
    subjectId: Id.nullable().describe('What it concerns'),
    asked: z.looseObject({}).describe('Path, query and body of the call'),
    before: Shown.describe('What there was before; null where there was nothing'),
    after: Shown.describe('What there was afterwards'),
    correlationId: z.string().nullable().describe('Of the call; the logs carry it too'),
  })
  .meta({ id: 'OperatorAct' });
export type ActView = z.infer<typeof ActView>;

export const ActPage = pageOf(ActView);

/** A page of acts has fewer of them if they are long: an answer of Lambda has 6 MB at most. */
const charactersPerPage = 1_000_000;

const listName = 'acts';
const Position = z.tuple([Id]);

/** A page of operators' acts, the newest first. Refuses a cursor that is not its own. */
export async function readActs(
  { db }: { db: Pick<Sql, 'rows'> },
  { limit, cursor, operatorId, subjectId }: ActQuery,
): Promise<Page<ActView> | Refusal> {
  const before = readCursor(listName, cursor, Position);
  if (isRefusal(before)) return before;
  const rows = await listActs(db, { operatorId, subjectId, beforeId: before?.[0] }, limit + 1);
  return toPage(listName, rows, Math.min(limit, fitting(rows)), ({ actId }) => [actId], viewOf);
}

/** How many of these acts fit into one answer; at least one. */
function fitting(rows: readonly ActRow[]): number {
  let characters = 0;
  const tooMany = rows.findIndex(({ asked, before, after }) => {
    characters += asked.length + (before?.length ?? 0) + (after?.length ?? 0);
    return characters > charactersPerPage;
  });
  return tooMany === -1 ? rows.length : Math.max(1, tooMany);
}

function viewOf({ atMs, asked, before, after, ...row }: ActRow): ActView {
  return {
    ...row,
    at: toIso(atMs),
    asked: JSON.parse(asked),
    before: before && JSON.parse(before),
    after: after && JSON.parse(after),
  };
}
