/** Queue mail → MySQL → mail server: events become mails, and what is due is sent. */
import { MailTrigger, sendMails } from '#notification/send-mails.ts';
import { queueHandler } from '#platform/handlers/queue.ts';

export const handler = queueHandler({ message: MailTrigger, run: sendMails });
