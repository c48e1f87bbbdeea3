/**
 * The mail worker: events become mails, and what is due is sent. What a mail says is made when it is sent, for who is to read it
 * then. Called by functions/queue/mail.ts.
 */
import * as z from 'zod';
import { BusEvent } from '#events/catalog.ts';
import { shownCode } from '#identity/code.ts';
import { codeMails, issueCode } from '#identity/codes.ts';
import { findAccountsOf, findRecipients, type Recipient } from '#identity/customer.store.ts';
import type { DueMail } from '#mail/mail.store.ts';
import { type Compose, forgetOldMails, type MailNeeds, sendDueMails } from '#mail/send-due.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { readerOf } from '#platform/kernel/reader.ts';
import { readSales } from '#sale/sale.store.ts';
import { isReminder, recordMails, unsubscribeUrl } from './mail-notices.ts';
import { contactCodeMail, noticeMail, passwordCodeMail } from './mail-text.ts';
import { type NoticeKind, noticeKinds } from './notice.ts';
import { sentenceFor } from './sentence.ts';

/** The triggers: an event, a call to send what is due, or the rule's tick. */
export const MailTrigger = z.union([
  z.object({ wake: z.literal('mail') }),
  BusEvent,
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type MailTrigger = z.infer<typeof MailTrigger>;

type ComposeNeeds = Needs<'db' | 'registry' | 'clock'>;

/** To how many accounts of one address codes are sent, if none of them is the verified one. */
const accountsAtMost = 3;

/** Does what a batch of triggers asks for. Throws if mails could not be written down; then all is repeated. */
export async function sendMails(
  deps: MailNeeds & ComposeNeeds,
  batch: readonly Delivered<MailTrigger>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const messages = batch.map(({ message }) => message);
  await recordMails(deps, messages.filter(isEvent));
  if (messages.some((message) => 'detail-type' in message && !isEvent(message))) await forgetOldMails(deps);
  await sendDueMails(deps, (mail) => compose(deps, mail), deadlineMs);
  return [];
}

function isEvent(message: MailTrigger): message is BusEvent {
  return 'detail-type' in message && message['detail-type'] !== 'Scheduled Event';
}

/** What a mail says; undefined if it has no recipient any more. */
async function compose(deps: ComposeNeeds, mail: DueMail): ReturnType<Compose> {
  if (mail.kind === codeMails.password) return composePasswordCodes(deps, mail);
  if (mail.customerId === null) return undefined;
  const isForContact = mail.kind === codeMails.contact;
  const recipient = await recipientOf(deps, mail.customerId, !isForContact);
  if (!recipient) return undefined;
  if (isForContact) return composeContactCode(deps, mail, mail.customerId, recipient);
  return composeNotice(deps, mail, mail.customerId, recipient);
}

async function recipientOf({ db }: ComposeNeeds, customerId: CustomerId, verified: boolean) {
  return (await findRecipients(db, [customerId], { verified })).get(customerId);
}

async function composeContactCode(
  deps: ComposeNeeds,
  { createdAtMs }: DueMail,
  customerId: CustomerId,
  recipient: Recipient,
): ReturnType<Compose> {
  const code = await issueCode(deps, customerId, 'contact', createdAtMs);
  if (code === undefined) return undefined;
  return { to: recipient.email, ...contactCodeMail(shownCode(code), readerOf(recipient)) };
}

/** The verified account of an address has its mail; without one, its reader may mean any account that was opened with it. */
async function composePasswordCodes(deps: ComposeNeeds, { address, createdAtMs }: DueMail): ReturnType<Compose> {
  if (address === null) return undefined;
  const found = await findAccountsOf(deps.db, address, accountsAtMost);
  const accounts = found[0]?.contactSinceMs == null ? found : found.slice(0, 1);
  const codes: { code: string; openedAt: string }[] = [];
  for (const account of accounts) {
    const code = await issueCode(deps, account.customerId, 'password', createdAtMs);
    if (code !== undefined) codes.push({ code: shownCode(code), openedAt: toIso(account.createdAtMs) });
  }
  const [first] = accounts;
  if (!first || codes.length === 0) return undefined;
  const recipient = await recipientOf(deps, first.customerId, false);
  return { to: address, ...passwordCodeMail(codes, readerOf(recipient ?? {})) };
}

async function composeNotice(
  deps: ComposeNeeds,
  { kind, facts }: DueMail,
  customerId: CustomerId,
  recipient: Recipient,
): ReturnType<Compose> {
  // A notice of a kind that this build does not know was written down by a newer one.
  if (!isNotice(kind) || (isReminder(kind) && !recipient.reminders)) return undefined;
  const reader = readerOf(recipient);
  const stop = isReminder(kind) ? unsubscribeUrl(deps, customerId) : undefined;
  const saleId = typeof facts.saleId === 'string' ? (facts.saleId as SaleId) : undefined;
  const saleName = saleId && (await readSales(deps.db, [saleId])).get(saleId)?.name;
  const said = { kind, sentence: sentenceFor(kind, facts, reader), saleName };
  return { to: recipient.email, ...noticeMail(said, stop, reader), unsubscribeUrl: stop };
}

function isNotice(kind: string): kind is NoticeKind {
  return (noticeKinds as readonly string[]).includes(kind);
}
