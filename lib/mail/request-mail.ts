/** Asking for mails: a row, and a message that wakes the worker. */
import type { Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { type AskedMail, insertMails } from './mail.store.ts';

/** Writes down a mail that somebody waits for, and has it sent at once, before notices that wait to be sent. */
export async function askForMail(deps: Needs<'db' | 'queue'>, mail: AskedMail): Promise<void> {
  await deps.db.transaction((tx) => insertMails(tx, [mail], { urgent: true }));
  await wakeMailer(deps);
}

/** Has sent what is due. Never throws: the minute's rule makes up for a message that is lost. */
export async function wakeMailer(deps: Needs<'queue'>): Promise<void> {
  await deps
    .queue('mail')
    .send({ body: { wake: 'mail' } })
    .catch((error) => log.warn('the next tick will send the mail', { error }));
}
