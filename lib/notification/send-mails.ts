/**
 * The mail worker: events become messages, by mail and by each further channel, and what is due is sent. Called by
 * functions/queue/mail.ts.
 *
 * Invariant: each notice is told once by each channel, and one that fails holds up no other.
 */
import * as z from 'zod';
import { BusEvent } from '#events/catalog.ts';
import { forgetOldMails, sendDue } from '#mail/send-due.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { byMail } from './by-mail.ts';
import type { ChannelNeeds, NoticeChannel } from './channel.ts';
import { recordMails } from './mail-notices.ts';

/** The triggers: an event, a call to send what is due, or the rule's tick. */
export const MailTrigger = z.union([
  z.object({ wake: z.literal('mail') }),
  BusEvent,
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type MailTrigger = z.infer<typeof MailTrigger>;

/** Opens the work of these channels. A batch throws if messages could not be written down, or a channel's turn failed; then all is repeated. */
export function sendBy(channels: readonly NoticeChannel[]) {
  return async (
    deps: ChannelNeeds,
    batch: readonly Delivered<MailTrigger>[],
    deadlineMs: number,
  ): Promise<MustRepeat> => {
    const messages = batch.map(({ message }) => message);
    if (messages.some((message) => 'detail-type' in message && !isEvent(message))) await forgetOldMails(deps);
    const events = messages.filter(isEvent);
    const turns = await Promise.allSettled(
      channels.map(async (channel) => {
        await recordMails(deps, channel, events);
        await sendDue(deps, channel, deadlineMs);
      }),
    );
    for (const turn of turns) if (turn.status === 'rejected') throw turn.reason;
    return [];
  };
}

/** Sends by the channels that there are. */
export const sendMails = sendBy([byMail]);

function isEvent(message: MailTrigger): message is BusEvent {
  return 'detail-type' in message && message['detail-type'] !== 'Scheduled Event';
}
