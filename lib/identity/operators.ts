/**
 * Who runs the sales: operators and their roles, given and taken by admins.
 *
 * Invariant: once there is an admin there is always one. Who takes the role from an admin locks all admins in one order, so
 * of two admins who remove each other at once the second finds only itself. The first is made by a command
 * (`npm run admin`), which needs the database's own password.
 */
import * as z from 'zod';
import { type Actor, recordAct } from '#audit/act.ts';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, pageOf, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { operatorRoles, type Role, roles } from '#platform/security/roles.ts';
import {
  changeRole,
  isOpenedByPassword,
  listOperators,
  lockAccount,
  lockAdmins,
  lockCredential,
  type Operator,
} from './customer.store.ts';

export const OperatorView = z
  .object({
    customerId: idOf<CustomerId>(),
    email: z.string(),
    name: z.string(),
    role: z.enum(roles),
  })
  .meta({ id: 'Operator' });
export type OperatorView = z.infer<typeof OperatorView>;

export const OperatorPage = pageOf(OperatorView);

/**
 * An account and the role that it gets; `customer` takes all others away. The account is named by its id, which its owner
 * reads from `GET /me`: an address may have several accounts, and any caller can make one of them.
 */
export const RoleChange = z
  .strictObject({
    customerId: idOf<CustomerId>().describe('As its owner reads it from `GET /me`'),
    role: z.enum(roles).describe('`customer` takes every right of an operator away'),
  })
  .meta({ id: 'RoleChange' });
export type RoleChange = z.output<typeof RoleChange>;

const listName = 'operators';
const Position = z.tuple([z.enum(operatorRoles), idOf<CustomerId>()]);

/** A page of those who have a role beyond a customer's, by role and age of the account. Refuses a cursor that is not its own. */
export async function readOperators(
  { db }: Needs<'db'>,
  { limit, cursor }: PageQuery,
): Promise<Page<OperatorView> | Refusal> {
  const after = readCursor(listName, cursor, Position);
  if (isRefusal(after)) return after;
  const rows = await listOperators(db, after, limit + 1);
  return toPage(
    listName,
    rows,
    limit,
    ({ role, customerId }) => [role, customerId],
    (row) => row,
  );
}

/**
 * Gives an account this role. Refused if there is no such account, for the last admin, and for one that no password opens. A token that was issued before
 * keeps its role until it ends, ten minutes at most.
 */
export async function setRole(
  { db }: Needs<'db'>,
  { customerId, role }: RoleChange,
  keep: Keep = keepNothing,
): Promise<OperatorView | Refusal> {
  return db.transaction(async (tx) => {
    // Before any account, so that two who do this wait for each other here and nowhere else.
    const admins = role === 'admin' ? undefined : await lockAdmins(tx);
    const account = await lockAccount(tx, customerId);
    if (!account) return refuse('not_found', 'There is no account with this id; register it first.');
    if (admins && account.role === 'admin' && admins.length === 1) {
      return refuse('illegal_state', 'This is the last admin; make another account an admin first.');
    }
    const noOperator = role === 'customer' ? undefined : await whyNoOperator(tx, customerId);
    if (noOperator) return noOperator;
    const after = await writeRole(tx, account, role);
    return keep(tx, after, changeOf(customerId, { role: account.role }, { role }));
  });
}

/** Makes an account an admin, for an operator who has the database's own password. Refused if there is no such account. */
export async function makeAdmin(
  { db, clock }: Needs<'db' | 'clock'>,
  customerId: CustomerId,
): Promise<OperatorView | Refusal> {
  const actor: Actor = { operatorId: null, act: 'npm run admin', asked: { customerId } };
  return db.transaction(async (tx) => {
    const account = await lockAccount(tx, customerId);
    if (!account) return refuse('not_found', 'There is no account with this id; register it first.');
    const noOperator = await whyNoOperator(tx, customerId);
    if (noOperator) return noOperator;
    const after = await writeRole(tx, account, 'admin');
    const change = changeOf(customerId, { role: account.role }, { role: 'admin' });
    await recordAct(tx, actor, change, clock());
    return after;
  });
}

/** Operators sign in here. Who comes with an API key or a token of another issuer is a customer, whatever the account's role is. */
async function whyNoOperator(tx: Tx, customerId: CustomerId): Promise<Refusal | undefined> {
  const account = await lockCredential(tx, customerId);
  if (!account || isOpenedByPassword(account)) return undefined;
  return refuse('illegal_state', 'No password opens this account, so nobody could act with its role.');
}

async function writeRole(tx: Tx, account: Operator, role: Role): Promise<OperatorView> {
  await changeRole(tx, account.customerId, role);
  return { ...account, role };
}
