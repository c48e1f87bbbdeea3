/**
 * Saying without signing in that one wants no reminders by mail: by the link of a mail, or by the button that mail programs
 * make of it (RFC 8058). The link shows a page and changes nothing, since programs that look for harm open links too.
 *
 * Each link has a rate of its own, and an address has none: the makers of mail programs press the button for many people from a few
 * addresses, and can do no proof of work. A link that is not ours asks MySQL nothing.
 */
import * as z from 'zod';
import { changeProfile, findCustomer } from '#identity/customer.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { Reply } from '#platform/handlers/http.ts';
import { limitCustomer } from '#platform/handlers/limits.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
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
  return page(customer.reminders ? form : done);
}

/** Notes that the customer of a link wants no reminders. They come again when the customer says so (`PATCH /me`). */
export async function unsubscribe(
  deps: UnsubscribeNeeds & Needs<'clock'>,
  { token }: UnsubscribeQuery,
): Promise<Reply<string> | Refusal> {
  const customerId = await whoseLink(deps, token);
  if (isRefusal(customerId)) return customerId;
  await changeProfile(deps.db, customerId, { reminders: false }, deps.clock());
  return page(done);
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

const form = `<p lang="en">Do you want no more reminders by mail? News of your reservations and purchases comes in any case.</p>
<p lang="ko">알림 메일을 더 이상 받지 않으시겠습니까? 예약과 구매에 관한 안내는 계속 보내 드립니다.</p>
<form method="post"><button>No more reminders · 알림 메일 그만 받기</button></form>`;
const done = `<p lang="en">You get no more reminders by mail.</p>
<p lang="ko">이제 알림 메일을 보내지 않습니다.</p>`;

function page(content: string): Reply<string> {
  return new Reply(
    `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Reminders</title></head>
<body>
${content}
</body>
</html>
`,
    {
      'content-security-policy': "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
      'cache-control': 'no-store',
    },
  );
}
