/** Mail in tests: a real server in the test's own process, and the mail worker as often as a test wants it. */
import { type InboxMail, type MailServer, startMailServer } from '#local/mail/server.ts';
import { sendMails } from '#notification/send-mails.ts';
import type { Deps } from '#platform/environment/deps.ts';

export interface Mailing {
  readonly server: MailServer;
  /** What the registry of a bed needs for it. */
  readonly registry: Record<string, string>;
  /** Sends what is due, as the mail worker does. */
  work(deps: Deps): Promise<void>;
  /** The mails to an address, the oldest first. */
  to(address: string): InboxMail[];
  /** The code in the last mail to an address. */
  codeFor(address: string): string;
}

const workedMs = 30_000;

/** Starts the server. It is stopped with `server.stop()`. */
export async function startMailing(): Promise<Mailing> {
  const server = await startMailServer();
  const to = (address: string) => server.mails().filter((mail) => mail.to.includes(address));
  return {
    server,
    registry: {
      'secret/mail-url': `${server.smtpUrl}?from=shop@example.com`,
      'api/public': 'https://api.example.com',
    },
    work: async (deps) => {
      await sendMails(deps, [], deps.clock() + workedMs);
    },
    to,
    codeFor: (address) => codesIn(to(address).at(-1)?.text ?? '')[0] ?? '',
  };
}

/** The codes in the text of a mail. */
export function codesIn(text: string): string[] {
  return text.match(/\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b/g) ?? [];
}
