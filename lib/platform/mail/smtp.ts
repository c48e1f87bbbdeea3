/**
 * Sending mail by SMTP, to the server that the registry names.
 *
 * A mail counts as sent when the server has taken it. Connections are opened for a run of mails and closed after it: those of
 * an environment that sleeps in between would be dead at the next one. Neither files nor addresses are ever read for a mail.
 */
import { createTransport } from 'nodemailer';
import { mailCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type ChannelRun, MessageRefused } from './channel.ts';

/** A mail as its reader gets it; plain text. */
export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** Where its reader says that no more like it are wanted, with one POST and without signing in (RFC 8058). */
  readonly unsubscribeUrl?: string | undefined;
}

export interface Mailer {
  /** Opens a run of mails; connections are made as they are needed. */
  open(): ChannelRun<Mail>;
}

/** How many connections a run has at most. */
export const connectionsAtOnce = 5;

/** Opens the way to the server at this address, which names the sender of all mails: `smtps://user:password@host:465?from=…`. */
export function openMailer(address: string): Mailer {
  const server = new URL(address);
  const from = server.searchParams.get('from') ?? '';
  if (from === '') throw new Error('the address of the mail server must name a sender: ?from=…');
  server.search = '';
  const url = server.toString();
  return {
    open() {
      const pool = createTransport({
        url,
        pool: true,
        maxConnections: connectionsAtOnce,
        // Not in the clear, if an attacker in between says that the server knows no TLS. What is on this machine needs none.
        requireTLS: server.hostname !== '127.0.0.1',
        // What failed is tried again by the sender, who also counts how often.
        maxRequeues: 0,
        connectionTimeout: mailCallTimeoutMs,
        greetingTimeout: mailCallTimeoutMs,
        socketTimeout: mailCallTimeoutMs,
        dnsTimeout: mailCallTimeoutMs,
        disableFileAccess: true,
        disableUrlAccess: true,
      });
      return {
        async send({ unsubscribeUrl, ...mail }, messageId) {
          const headers = { ...automatic, ...(unsubscribeUrl ? unsubscribing(unsubscribeUrl) : {}) };
          const signal = AbortSignal.timeout(mailCallTimeoutMs);
          try {
            await pool.sendMail({ from, ...mail, messageId: `<${messageId}@holdfast>`, headers, signal });
          } catch (error) {
            throw isForGood(error) ? new MessageRefused(error) : notTaken(error);
          }
        },
        close: () => pool.close({ force: true }),
      };
    },
  };
}

/** So that no automatic answer comes back (RFC 3834). */
const automatic = { 'auto-submitted': 'auto-generated' };

const unsubscribing = (url: string) => ({
  'list-unsubscribe': `<${url}>`,
  'list-unsubscribe-post': 'List-Unsubscribe=One-Click',
});

/** What a server says of a mail often names its recipient, who belongs in no log. */
function notTaken(error: unknown): Error {
  const { responseCode } = error as { responseCode?: unknown };
  const said = responseCode === undefined ? 'nothing' : String(responseCode);
  return new Error(`the mail was not taken, the server said ${said}`, { cause: error });
}

/** Whether the server refused this mail itself; a refused sign-in says nothing about the mail. */
function isForGood(error: unknown): boolean {
  const { code, permanent } = error as { code?: unknown; permanent?: unknown };
  return permanent === true && (code === 'EENVELOPE' || code === 'EMESSAGE');
}
