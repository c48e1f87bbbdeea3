/**
 * A mail server for this machine: takes every mail that comes by SMTP, keeps the newest, and shows them on a page.
 *
 * Invariant: a mail is in the inbox before the sender is told that it was taken; nothing leaves this machine. Started by the local
 * stack, and by tests in their own process.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { sendJson, serveHttp } from '../service/http.ts';

/** How many mails are kept; older ones go. */
const mailsKept = 1_000;

export interface InboxMail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly messageId: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What the server says of a mail; undefined takes it. */
export type Reply = (to: string) => { code: number; message: string } | 'hang' | undefined;

export interface MailServer {
  /** `smtp://127.0.0.1:port` */
  readonly smtpUrl: string;
  /** The page with the inbox; `/mails` has it as JSON. */
  readonly url: string;
  /** The inbox, the oldest first. */
  mails(): readonly InboxMail[];
  /** From now on recipients are answered like this. */
  answers(reply: Reply): void;
  stop(): Promise<void>;
}

/** Starts the server on 127.0.0.1; port 0 takes any free one. */
export async function startMailServer(options: { port?: number; inboxPort?: number } = {}): Promise<MailServer> {
  const mails: InboxMail[] = [];
  let replyTo: Reply = () => undefined;
  const smtp = new SMTPServer({
    // Nothing leaves this machine, so nothing is to be kept from anybody on the way.
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    onRcptTo({ address }, _session, done) {
      const reply = replyTo(address);
      if (reply === 'hang') return;
      done(reply && Object.assign(new Error(reply.message), { responseCode: reply.code }));
    },
    onData(stream, _session, done) {
      simpleParser(stream).then((mail) => {
        mails.push(toInbox(mail));
        if (mails.length > mailsKept) mails.shift();
        done();
      }, done);
    },
  });
  // A client that goes away in the middle is none of the server's errors.
  smtp.on('error', () => undefined);
  const listening = await new Promise<number>((resolve, reject) => {
    smtp.once('error', reject);
    smtp.listen(options.port ?? 0, '127.0.0.1', () => {
      const address = smtp.server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
  const http = await serveHttp((request, response) => answer(request, response, mails), options.inboxPort ?? 0);
  return {
    smtpUrl: `smtp://127.0.0.1:${listening}`,
    url: http.url,
    mails: () => mails,
    answers: (reply) => {
      replyTo = reply;
    },
    stop: async () => {
      await http.close();
      await new Promise<void>((resolve) => smtp.close(() => resolve()));
    },
  };
}

function toInbox(mail: Awaited<ReturnType<typeof simpleParser>>): InboxMail {
  const to = [mail.to ?? []].flat().map((one) => one.text);
  const headers = mail.headerLines.map(({ key, line }) => [key, line.slice(key.length + 1).trim()]);
  return {
    to: to.join(', '),
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    messageId: mail.messageId ?? '',
    headers: Object.fromEntries(headers),
  };
}

function answer(request: IncomingMessage, response: ServerResponse, mails: readonly InboxMail[]): void {
  if (request.url === '/mails') {
    sendJson(response, 200, mails);
    return;
  }
  const isPage = request.url === '/' && request.method === 'GET';
  response.writeHead(isPage ? 200 : 404, {
    'content-type': 'text/html; charset=utf-8',
    // What a mail says may come from anybody.
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  });
  response.end(isPage ? page(mails) : 'There is no such page.\n');
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

function page(mails: readonly InboxMail[]): string {
  const shown = mails
    .toReversed()
    .map(
      ({ to, subject, text }) =>
        `<details><summary><b>${escaped(subject)}</b> — ${escaped(to)}</summary><pre>${escaped(text)}</pre></details>`,
    );
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Inbox</title>
<style>body { font: 1rem/1.5 system-ui; max-width: 50rem; margin: 2rem auto; padding: 0 1rem } pre { white-space: pre-wrap }</style>
</head>
<body><h1>Inbox</h1>
${shown.join('\n') || '<p>There is no mail yet.</p>'}
</body>
</html>
`;
}
