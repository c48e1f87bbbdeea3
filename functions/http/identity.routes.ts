/** The routes of identity: registering, signing in and out, and who is signed in. */

import * as z from 'zod';
import { ExternalIdChange, ExternalIdView } from '#identity/external-id.ts';
import {
  AccountDeletion,
  ContactCode,
  Credentials,
  ForgottenPassword,
  Me,
  MeChange,
  OwnSessionPage,
  PasswordChange,
  PasswordReset,
  RefreshToken,
  Registered,
  Registration,
  Session,
  SignedIn,
} from '#identity/identity.shapes.ts';
import { OperatorPage, OperatorView, RoleChange } from '#identity/operators.ts';
import { PageQuery } from '#platform/handlers/pagination.ts';
import { defineRoute } from '#platform/handlers/route.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { Id, idOf } from '#platform/kernel/shapes.ts';
import { accessTokenLifeSeconds } from '#platform/security/access-token.ts';

const tag = 'Identity';
/** An answer with tokens is kept for as long as its access token is good. */
const answerWithTokensMinutes = accessTokenLifeSeconds / 60;

export const registerRoute = defineRoute({
  method: 'POST',
  path: '/auth/register',
  summary: 'Open an account, and sign in to it',
  repeated: 'Repeated without a key, with the same address and password it signs in to the same account.',
  tag,
  auth: 'none',
  idempotent: 'optional',
  sealed: true,
  keptMinutes: answerWithTokensMinutes,
  body: Registration,
  example: { email: 'ada@example.com', password: 'correct horse battery', name: 'Ada' },
  status: 201,
  reply: Registered,
  takesProof: true,
  refusals: ['own_accounts_off', 'unprocessable', 'too_many_requests'],
});

export const loginRoute = defineRoute({
  method: 'POST',
  path: '/auth/login',
  summary: 'Sign in with e-mail and password',
  description:
    'The access token is good for ten minutes; exchange the refresh token before that. Beyond the free rate of an address the refusal ' +
    '`work_required` has a challenge (ALTCHA); its solution lets the call pass.',
  repeated: 'Each call without a key begins a session of its own.',
  tag,
  auth: 'none',
  idempotent: 'optional',
  sealed: true,
  keptMinutes: answerWithTokensMinutes,
  body: Credentials,
  example: { email: 'ada@example.com', password: 'correct horse battery' },
  status: 200,
  reply: SignedIn,
  takesProof: true,
  refusals: ['invalid_credentials', 'own_accounts_off', 'too_many_requests'],
});

export const refreshRoute = defineRoute({
  method: 'POST',
  path: '/auth/refresh',
  summary: 'Exchange a refresh token for the next session; a token that comes again after 30 seconds ends them all',
  repeated:
    'Repeated within 30 seconds it is answered again, without a key too. Under a key the answer is given again as long as nobody has used its refresh token.',
  tag,
  auth: 'none',
  idempotent: 'optional',
  sealed: true,
  keptMinutes: answerWithTokensMinutes,
  body: RefreshToken,
  example: { refreshToken: 'the refreshToken of the answer before' },
  status: 200,
  reply: Session,
  takesProof: true,
  refusals: ['unauthenticated', 'own_accounts_off'],
});

export const logoutRoute = defineRoute({
  method: 'POST',
  path: '/auth/logout',
  summary:
    'End the session of a refresh token and its WebSocket connections; its access tokens expire within ten minutes',
  repeated: 'Repeating it changes nothing.',
  tag,
  auth: 'none',
  idempotent: 'optional',
  sealed: true,
  body: RefreshToken,
  example: { refreshToken: 'the refreshToken of the answer before' },
  status: 204,
  takesProof: true,
  refusals: [],
});

export const getMeRoute = defineRoute({
  method: 'GET',
  path: '/me',
  summary: 'Who is signed in',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  status: 200,
  reply: Me,
  refusals: [],
});

export const updateMeRoute = defineRoute({
  method: 'PATCH',
  path: '/me',
  summary: 'Say in which language and time zone you want to be told things, and whether reminders come by mail',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  body: MeChange,
  example: { locale: 'ko-KR', timeZone: 'Asia/Seoul' },
  status: 200,
  reply: Me,
  refusals: ['unprocessable'],
});

export const listSessionsRoute = defineRoute({
  method: 'GET',
  path: '/me/sessions',
  summary: 'Where you are signed in, the newest session first',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  query: PageQuery,
  status: 200,
  reply: OwnSessionPage,
  refusals: ['invalid_input'],
});

export const endSessionsRoute = defineRoute({
  method: 'DELETE',
  path: '/me/sessions',
  summary: 'End one of your sessions, or all but this one; their access tokens expire within ten minutes',
  tag,
  auth: 'customer',
  query: z.strictObject({ sessionId: Id.optional().describe('The one to end; without it, all others') }),
  status: 204,
  refusals: ['not_found'],
});

export const askForContactCodeRoute = defineRoute({
  method: 'POST',
  path: '/me/contact/code',
  summary: 'Have a code mailed to you that shows that your address is yours; once in five minutes',
  repeated: 'Repeated without a key within five minutes it mails nothing; the code that was mailed stays good.',
  tag,
  auth: 'customer',
  idempotent: 'optional',
  status: 202,
  refusals: ['illegal_state'],
});

export const verifyContactRoute = defineRoute({
  method: 'POST',
  path: '/me/contact',
  summary: 'Show with a code from a mail that your address is yours; access tokens say so after the next refresh',
  repeated: 'Repeated without a key, with the same code, it is refused with `invalid_code`.',
  tag,
  auth: 'customer',
  idempotent: 'optional',
  sealed: true,
  body: ContactCode,
  example: { code: 'K7QM-2XRD-9FWP-J3TA' },
  status: 200,
  reply: Me,
  refusals: ['invalid_code', 'contact_taken'],
});

export const askForPasswordCodeRoute = defineRoute({
  method: 'POST',
  path: '/auth/password/code',
  summary:
    'Have a code mailed to an address, with which its owner sets a new password; the same answer for every address',
  repeated: 'Repeated without a key within five minutes it mails nothing; the code that was mailed stays good.',
  tag,
  auth: 'none',
  idempotent: 'optional',
  sealed: true,
  body: ForgottenPassword,
  example: { email: 'ada@example.com' },
  status: 202,
  takesProof: true,
  refusals: ['own_accounts_off'],
});

export const resetPasswordRoute = defineRoute({
  method: 'POST',
  path: '/auth/password/reset',
  summary: 'Set a new password with a code from a mail; it ends all sessions of the account',
  repeated: 'Repeated without a key, with the same code, it is refused with `invalid_code`.',
  tag,
  auth: 'none',
  idempotent: 'optional',
  sealed: true,
  body: PasswordReset,
  example: { code: 'K7QM-2XRD-9FWP-J3TA', password: 'another horse battery' },
  status: 204,
  takesProof: true,
  refusals: ['own_accounts_off', 'invalid_code', 'unprocessable', 'illegal_state'],
});

export const changePasswordRoute = defineRoute({
  method: 'POST',
  path: '/me/password',
  summary: 'Change your password; it ends all your sessions but this one',
  repeated: 'Repeated without a key it is refused with `invalid_credentials`, as the password has changed.',
  tag,
  auth: 'customer',
  idempotent: 'optional',
  sealed: true,
  body: PasswordChange,
  example: { password: 'correct horse battery', newPassword: 'another horse battery' },
  status: 204,
  refusals: ['invalid_credentials', 'unprocessable', 'illegal_state'],
});

export const deleteAccountRoute = defineRoute({
  method: 'POST',
  path: '/me/deletion',
  summary: 'Delete your account; what you reserved and bought stays, and names nobody',
  repeated: 'Repeated without a key it is refused with `unauthenticated`, as there is no account any more.',
  tag,
  auth: 'customer',
  idempotent: 'optional',
  sealed: true,
  outside: true,
  body: AccountDeletion,
  example: { password: 'correct horse battery' },
  status: 204,
  refusals: ['invalid_credentials', 'illegal_state'],
});

export const listOperatorsRoute = defineRoute({
  method: 'GET',
  path: '/ops/operators',
  summary: 'Who has a role beyond a customer’s',
  tag,
  auth: 'admin',
  query: PageQuery,
  status: 200,
  reply: OperatorPage,
  refusals: ['unprocessable'],
});

export const setRoleRoute = defineRoute({
  method: 'POST',
  path: '/ops/operators',
  summary: 'Give an account a role, or take it away; the last admin stays one',
  tag,
  auth: 'admin',
  idempotent: 'optional',
  body: RoleChange,
  example: { customerId: '01998c1e-7d00-7000-8000-000000000001', role: 'operator' },
  status: 200,
  reply: OperatorView,
  refusals: ['not_found', 'illegal_state'],
});

export const setExternalIdRoute = defineRoute({
  method: 'POST',
  path: '/ops/customers/{customerId}/external-id',
  summary: 'Say how a system of the shop’s own knows a customer, for sales that count by person',
  tag,
  auth: 'operator',
  scope: 'customers:write',
  idempotent: 'optional',
  params: z.object({ customerId: idOf<CustomerId>() }),
  body: ExternalIdChange,
  example: { externalId: 'member-4711' },
  status: 200,
  reply: ExternalIdView,
  refusals: ['not_found', 'external_id_taken'],
});
