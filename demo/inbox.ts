/**
 * The inbox of the demo: some customers show that their address is theirs, so what they are told comes by mail too. At the end
 * each notice of theirs must be in the inbox once.
 */
import { createClient } from '#client/index.ts';
import type { Account } from '#load/client.ts';
import { waitFor } from '#local/wait.ts';

/** What of the demo's mail arrived. */
export interface Inbox {
  /** Customers whose address is verified. */
  addresses: number;
  /** Codes with which they did that. */
  codes: number;
  /** Their notices, and those of them that came by mail once, twice or never. */
  notices: number;
  once: number;
  twice: number;
  never: number;
}

/** The pages of notices and of the inbox are longer than what so many are told. */
const readers = 8;
const noticesOfOne = 100;
const mailWithinMs = 60_000;
const lookAgainMs = 250;

interface Mail {
  to: string;
  text: string;
  messageId: string;
}

/** Somebody with a verified address. */
export interface Reader {
  /** The ids of the newest notices. */
  notices(): Promise<string[]>;
}

const mailsOf = async (inboxUrl: string) => (await (await fetch(`${inboxUrl}/mails`)).json()) as Mail[];
const codeIn = ({ text }: Mail) => /\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b/.exec(text)?.[0];

/** Verifies the addresses of the first customers, with the codes that the inbox gets. */
export function verifyAddresses(api: string, inboxUrl: string, accounts: readonly Account[]): Promise<Reader[]> {
  return Promise.all(accounts.slice(0, readers).map((account) => verify(api, inboxUrl, account)));
}

async function verify(api: string, inboxUrl: string, account: Account): Promise<Reader> {
  const client = createClient({ api, token: () => account.token() });
  const { data: me } = await client.http.GET('/me', {});
  await client.http.POST('/me/contact/code', {});
  const code = await waitFor(
    'a code by mail',
    async () => {
      const mail = (await mailsOf(inboxUrl)).find((one) => one.to === me?.email);
      return mail && codeIn(mail);
    },
    { timeoutMs: mailWithinMs, lookAgainMs },
  );
  await client.http.POST('/me/contact', { body: { code } });
  return {
    async notices() {
      const { data } = await client.http.GET('/notifications', { params: { query: { limit: noticesOfOne } } });
      return data?.items.map(({ notificationId }) => notificationId) ?? [];
    },
  };
}

/** Counts the mails of the notices of these customers, once all are there or the time for it is over. */
export async function countInbox(inboxUrl: string, all: readonly Reader[], timeoutMs = mailWithinMs): Promise<Inbox> {
  const notices = (await Promise.all(all.map((reader) => reader.notices()))).flat();
  const count = async (): Promise<Inbox> => {
    const mails = await mailsOf(inboxUrl);
    const times = new Map<string, number>();
    for (const { messageId } of mails) {
      const [, id = ''] = /^<([^@]+)@/.exec(messageId) ?? [];
      times.set(id, (times.get(id) ?? 0) + 1);
    }
    const came = notices.map((id) => times.get(id) ?? 0);
    return {
      ...{ addresses: all.length, codes: mails.filter((mail) => codeIn(mail) !== undefined).length },
      ...{ notices: notices.length, once: came.filter((one) => one === 1).length },
      ...{ twice: came.filter((one) => one > 1).length, never: came.filter((one) => one === 0).length },
    };
  };
  // What is still missing then is counted as never.
  return waitFor('the mails', async () => isWhole(await count()) && count(), {
    timeoutMs,
    lookAgainMs,
  }).catch(count);
}

/** Whether each notice came by mail, once. */
export function isWhole({ notices, once }: Inbox): boolean {
  return once === notices;
}

/** The inbox in a sentence. */
export function tellInbox({ addresses, notices, once, twice, never }: Inbox): string {
  const number = new Intl.NumberFormat('en');
  return (
    `${number.format(addresses)} customers have shown that their address is theirs: of their ${number.format(notices)} notices ` +
    `${number.format(once)} came by mail once, ${number.format(twice)} twice, ${number.format(never)} never`
  );
}
