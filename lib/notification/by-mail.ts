/**
 * Mail, the channel that there is: to customers who have shown that their address is theirs, in their language and time zone. What a
 * mail says is made when it is sent, for who is to read it then.
 */
import { shownCode } from '#identity/code.ts';
import { codeMails, issueCode } from '#identity/codes.ts';
import { findAccountsOf, findRecipients, type Recipient } from '#identity/customer.store.ts';
import { type DueMail, mailChannel } from '#mail/mail.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { readerOf } from '#platform/kernel/reader.ts';
import { locate } from '#platform/kernel/registry.ts';
import { connectionsAtOnce, type Mail, openMailer } from '#platform/mail/smtp.ts';
import { readSales } from '#sale/sale.store.ts';
import type { NoticeChannel } from './channel.ts';
import { isReminder, unsubscribeUrl } from './mail-notices.ts';
import { contactCodeMail, noticeMail, passwordCodeMail } from './mail-text.ts';
import { type NoticeKind, noticeKinds } from './notice.ts';
import { sentenceFor } from './sentence.ts';

type ComposeNeeds = Needs<'db' | 'registry' | 'clock'>;

/** To how many accounts of one address codes are sent, if none of them is the verified one. */
const accountsAtMost = 3;

/** Only the mail worker's bundle has what speaks SMTP, so it is no part of all dependencies. */
const mailerOf = ({ registry }: Needs<'registry'>) => openMailer(locate(registry, 'secret/mail-url'));

export const byMail: NoticeChannel<Mail> = {
  name: mailChannel,
  atOnce: connectionsAtOnce,
  readersOf: ({ db }, customerIds) => findRecipients(db, customerIds, { verified: true }),
  compose,
  open: (deps) => deps.once(mailerOf).open(),
};

/** What a mail says; undefined if it has no recipient any more. */
async function compose(deps: ComposeNeeds, mail: DueMail): Promise<Mail | undefined> {
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
): Promise<Mail | undefined> {
  const code = await issueCode(deps, customerId, 'contact', createdAtMs);
  if (code === undefined) return undefined;
  return { to: recipient.email, ...contactCodeMail(shownCode(code), readerOf(recipient)) };
}

/** The verified account of an address has its mail; without one, its reader may mean any account that was opened with it. */
async function composePasswordCodes(deps: ComposeNeeds, { address, createdAtMs }: DueMail): Promise<Mail | undefined> {
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
): Promise<Mail | undefined> {
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
