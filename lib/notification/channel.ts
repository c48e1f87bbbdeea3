/** The port of a channel of notices: mail is one (by-mail.ts); SMS, Alimtalk or web push would be others. */
import type { Channel, MailNeeds } from '#mail/send-due.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';

export type ChannelNeeds = MailNeeds & Needs<'db' | 'registry' | 'clock'>;

export interface NoticeChannel<Message = unknown> extends Channel<Message, ChannelNeeds> {
  /** Whom of these customers it reaches at all, and whether they want reminders. */
  readersOf(
    deps: Needs<'db'>,
    customerIds: readonly CustomerId[],
  ): Promise<ReadonlyMap<CustomerId, { readonly reminders: boolean }>>;
}
