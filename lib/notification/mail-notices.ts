/**
 * Notices by mail: the same notices that the list shows, once each to every customer with a verified address.
 *
 * Mail has a queue and a worker of its own, fed by the same events as the list, so its failures delay nothing else. The
 * row of a mail has the notice's id: an event that comes twice is mailed once.
 */
import type { BusEvent } from '#events/catalog.ts';
import { findRecipients } from '#identity/customer.store.ts';
import { insertMails } from '#mail/mail.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { locate, type Registry } from '#platform/kernel/registry.ts';
import { readSignedText, signText } from '#platform/security/signed-text.ts';
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

/** Writes down the mails that follow from events. */
export async function recordMails({ db }: Needs<'db'>, events: readonly BusEvent[]): Promise<void> {
  const notices = events.flatMap(noticesOf);
  const recipients = await findRecipients(db, [...new Set(notices.map(({ customerId }) => customerId))], {
    verified: true,
  });
  const wanted = notices.filter(({ customerId, kind }) => {
    const recipient = recipients.get(customerId);
    return recipient && (recipient.reminders || !isReminder(kind));
  });
  await insertMails(
    db,
    wanted.map(({ id, kind, customerId, facts, createdAtMs }) => ({
      ...{ id, kind, customerId, address: null, facts, createdAtMs },
    })),
  );
}

const about = 'no reminders by mail';
const secretOf = (registry: Registry) => locate(registry, 'secret/guard-key');

/** Where a customer says, without signing in, that they want no reminders. */
export function unsubscribeUrl({ registry }: Needs<'registry'>, customerId: string): string {
  return `${locate(registry, 'api/public')}/unsubscribe?token=${signText(secretOf(registry), about, customerId)}`;
}

/** Whose link it is; undefined if we have not made it. */
export function readUnsubscribeToken({ registry }: Needs<'registry'>, token: string): string | undefined {
  return readSignedText(secretOf(registry), about, token);
}
