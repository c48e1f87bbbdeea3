/**
 * Notices by mail and by further channels: the same notices that the list shows, once each to every customer whom the channel
 * reaches.
 *
 * Channels have a queue and a worker of their own, fed by the same events as the list, so their failures delay nothing else. The
 * row of a message follows from the notice and the channel: an event that comes twice is told once by each.
 */
import type { BusEvent } from '#events/catalog.ts';
import { insertMails } from '#mail/mail.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { locate } from '#platform/kernel/registry.ts';
import { guardKeys } from '#platform/security/key-ring.ts';
import { readSignedText, signText } from '#platform/security/signed-text.ts';
import type { NoticeChannel } from './channel.ts';
import { type NoticeKind, noticesOf } from './notice.ts';

/** What reminds of a time that the customer knew before; all others say something new, and are always sent. */
const reminders: ReadonlySet<NoticeKind> = new Set<NoticeKind>([
  'reminder.purchase-opened',
  'reminder.closing-soon',
  'reminder.payment-due',
  'reminder.moved-up',
]);

/** Whether a customer may say that they do not want mails of this kind. */
export function isReminder(kind: NoticeKind): boolean {
  return reminders.has(kind);
}

/** Writes down what follows from events for a channel. */
export async function recordMails(
  deps: Needs<'db'>,
  channel: NoticeChannel,
  events: readonly BusEvent[],
): Promise<void> {
  const notices = events.flatMap(noticesOf);
  if (notices.length === 0) return;
  const customerIds = [...new Set(notices.map(({ customerId }) => customerId))];
  const readers = await channel.readersOf(deps, customerIds);
  const wanted = notices.filter(({ customerId, kind }) => {
    const reader = readers.get(customerId);
    return reader && (reader.reminders || !isReminder(kind));
  });
  const rows = wanted.map(({ id, kind, customerId, facts, createdAtMs }) => ({
    ...{ id, kind, customerId, address: null, facts, createdAtMs },
  }));
  await deps.db.transaction((tx) => insertMails(tx, rows, { channel: channel.name }));
}

const about = 'no reminders by mail';

/** Where a customer says, without signing in, that they want no reminders. */
export function unsubscribeUrl({ registry }: Needs<'registry'>, customerId: string): string {
  return `${locate(registry, 'api/public')}/unsubscribe?token=${signText(guardKeys(registry).current, about, customerId)}`;
}

/** Whose link it is; undefined if we have not made it. */
export function readUnsubscribeToken({ registry }: Needs<'registry'>, token: string): string | undefined {
  return readSignedText(guardKeys(registry).accepted, about, token);
}
