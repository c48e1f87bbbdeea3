/**
 * Saying without signing in that one wants no reminders by mail: by the link of a mail, or by the button that mail programs
 * make of it (RFC 8058). The link shows a page and changes nothing, since programs that look for harm open links too.
 *
 * Each link has a rate of its own, and an address has none: the makers of mail programs press the button for many people from a few
 * addresses, and can do no proof of work. A link that is not ours asks MySQL nothing.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { changeProfile, findCustomer } from '#identity/customer.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { Reply } from '#platform/handlers/http.ts';
import { limitCustomer } from '#platform/handlers/limits.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { readerOf } from '#platform/kernel/reader.ts';
import { characters } from '#platform/kernel/shapes.ts';
import { readUnsubscribeToken } from './mail-notices.ts';

export const UnsubscribeQuery = z.strictObject({
  token: characters(1, 512).describe('From the link in a mail'),
});
type UnsubscribeQuery = z.output<typeof UnsubscribeQuery>;
type UnsubscribeNeeds = Needs<'db' | 'redis' | 'registry' | 'once'>;

/** The page on which a customer says it. */
export async function unsubscribePage(
  deps: UnsubscribeNeeds,
  { token }: UnsubscribeQuery,
): Promise<Reply<string> | Refusal> {
  const customerId = await whoseLink(deps, token);
  if (isRefusal(customerId)) return customerId;
  const customer = await findCustomer(deps.db, customerId);
  if (!customer) return unknownLink();
  return page(customer);
}

/** Notes that the customer of a link wants no reminders. They come again when the customer says so (`PATCH /me`). */
export async function unsubscribe(
  deps: UnsubscribeNeeds & Needs<'clock'>,
  { token }: UnsubscribeQuery,
): Promise<Reply<string> | Refusal> {
  const customerId = await whoseLink(deps, token);
  if (isRefusal(customerId)) return customerId;
  await changeProfile(deps.db, customerId, { reminders: false }, deps.clock());
  const customer = await findCustomer(deps.db, customerId);
  return page({ locale: customer?.locale ?? null, reminders: false });
}

/** Whose link it is. Refused if we have not made it, or if it is opened too often. */
async function whoseLink(deps: UnsubscribeNeeds, token: string): Promise<CustomerId | Refusal> {
  const customerId = readUnsubscribeToken(deps, token);
  if (customerId === undefined) return unknownLink();
  // Apart from what the customer asks for, since whoever gets hold of a link could use that up.
  return (await limitCustomer(deps, 'codes-caller', `link of ${customerId}`)) ?? (customerId as CustomerId);
}

function unknownLink(): Refusal {
  return refuse('not_found', 'This link is not one of ours.');
}

/** What the page says, in the languages of notices. */
const words = {
  en: {
    title: 'Reminders',
    ask: 'Do you want no more reminders by mail? News of your reservations and purchases comes in any case.',
    stop: 'No more reminders',
    done: 'You get no more reminders by mail. You can have them again in the settings of your account.',
  },
  ko: {
    title: '알림 메일',
    ask: '알림 메일을 더 이상 받지 않으시겠습니까? 예약과 구매에 관한 안내는 계속 보내 드립니다.',
    stop: '알림 메일 그만 받기',
    done: '이제 알림 메일을 보내지 않습니다. 계정 설정에서 다시 받을 수 있습니다.',
  },
};

/** The page's own look, as quiet as the shop's, by day and by night. */
const style = `:root { color-scheme: light dark; font: 1.05rem/1.6 system-ui, sans-serif; background: #f5f2ea; color: #17211f }
main { max-width: 32rem; margin: 0 auto; padding: 2rem 1.25rem }
:lang(ko) { word-break: keep-all }
button { font: inherit; font-weight: 600; min-height: 2.75rem; padding: 0.5rem 1.25rem; border: 0; border-radius: 10px;
  background: #0f5c5c; color: #fff; cursor: pointer }
:focus-visible { outline: 3px solid #8f4a0c; outline-offset: 2px }
@media (prefers-color-scheme: dark) {
  :root { background: #101615; color: #eaf0ed }
  button { background: #5cc4b8; color: #08201e }
  :focus-visible { outline-color: #f0b067 }
}`;
const styleHash = createHash('sha256').update(style).digest('base64');

/** The page for a customer, in their language: with the button as long as reminders come. */
function page({ locale, reminders }: { readonly locale: string | null; readonly reminders: boolean }): Reply<string> {
  const language = readerOf({ locale: locale ?? undefined }).locale.startsWith('ko') ? 'ko' : 'en';
  const { title, ask, stop, done } = words[language];
  const content = reminders
    ? `<p>${ask}</p>\n<form method="post"><button>${stop}</button></form>`
    : `<p role="status">${done}</p>`;
  return new Reply(
    `<!doctype html>
<html lang="${language}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>${style}</style></head>
<body>
<main>
<h1>${title}</h1>
${content}
</main>
</body>
</html>
`,
    {
      'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; frame-ancestors 'none'`,
      'cache-control': 'no-store',
    },
  );
}
