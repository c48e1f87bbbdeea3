/**
 * Requests that must be refused at any time and stock: each with a 4xx, and without leaving anything behind.
 */
import { randomUUID } from 'node:crypto';
import type { Account, Answer, Sending } from '#load/client.ts';
import type { GarbageKind } from './plan.ts';

/** Sends one piece of garbage as this customer. */
export async function sendGarbage(account: Account, saleId: string, kind: GarbageKind): Promise<Answer<unknown>> {
  const sane: Sending = {
    method: 'POST',
    path: `/sales/${saleId}/reservations`,
    token: await account.token(),
    key: `garbage-${randomUUID()}`,
    body: { quantity: 1 },
  };
  return account.api.send('garbage', { ...sane, ...spoiled(kind, sane) }, { customerId: account.customerId });
}

function spoiled(kind: GarbageKind, sane: Sending): Partial<Sending> {
  switch (kind) {
    case 'no body':
      return { body: undefined };
    case 'broken json':
      return { raw: '{"quantity": 1' };
    case 'quantity zero':
      return { body: { quantity: 0 } };
    case 'quantity negative':
      return { body: { quantity: -1 } };
    case 'quantity fraction':
      return { body: { quantity: 1.5 } };
    case 'quantity text':
      return { body: { quantity: '1' } };
    case 'quantity huge':
      return { raw: '{"quantity": 1e309}' };
    case 'least above quantity':
      return { body: { quantity: 1, fill: { atLeast: 2 } } };
    case 'unknown field':
      return { body: { quantity: 1, price: 0 } };
    case 'no key':
      return { key: undefined };
    case 'key too long':
      return { key: 'k'.repeat(300) };
    case 'no token':
      return { token: undefined };
    case 'token tampered':
      return { token: `${sane.token?.slice(0, -6)}AAAAAA` };
    case 'sale unknown':
      return { path: `/sales/${randomUUID()}/reservations` };
    case 'sale no id':
      return { path: '/sales/1%20OR%201=1/reservations' };
    case 'content type':
      return { contentType: 'text/plain' };
    case 'too large':
      return { raw: JSON.stringify({ quantity: 1, fill: 'all', padding: 'x'.repeat(20_000) }) };
  }
}
