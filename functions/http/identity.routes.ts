/** The routes of identity: registering, signing in and out, and who is signed in. */
import {
  Credentials,
  Me,
  MeChange,
  RefreshToken,
  Registered,
  Registration,
  Session,
  SignedIn,
} from '#identity/identity.shapes.ts';
import { OperatorPage, OperatorView, RoleChange } from '#identity/operators.ts';
import { PageQuery } from '#platform/handlers/pagination.ts';
import { defineRoute } from '#platform/handlers/route.ts';

const tag = 'Identity';

export const registerRoute = defineRoute({
  method: 'POST',
  path: '/auth/register',
  summary: 'Open an account, and sign in to it',
  repeated: 'Repeated with the same address and password it signs in to the same account.',
  tag,
  auth: 'none',
  body: Registration,
  example: { email: 'ada@example.com', password: 'correct horse battery', name: 'Ada' },
  status: 201,
  reply: Registered,
  takesProof: true,
  refusals: ['unprocessable', 'too_many_requests'],
});

export const loginRoute = defineRoute({
  method: 'POST',
  path: '/auth/login',
  summary: 'Sign in with e-mail and password',
  description:
    'The access token is good for ten minutes; exchange the refresh token before that. Beyond the free rate of an address the refusal ' +
    '`work_required` has a challenge (ALTCHA); its solution lets the call pass.',
  repeated: 'Each call begins a session of its own.',
  tag,
  auth: 'none',
  body: Credentials,
  example: { email: 'ada@example.com', password: 'correct horse battery' },
  status: 200,
  reply: SignedIn,
  takesProof: true,
  refusals: ['invalid_credentials', 'too_many_requests'],
});

export const refreshRoute = defineRoute({
  method: 'POST',
  path: '/auth/refresh',
  summary: 'Exchange a refresh token for the next session; a token that comes again after 30 seconds ends them all',
  repeated: 'Repeated within 30 seconds it is answered again.',
  tag,
  auth: 'none',
  body: RefreshToken,
  example: { refreshToken: 'the refreshToken of the answer before' },
  status: 200,
  reply: Session,
  takesProof: true,
  refusals: ['unauthenticated'],
});

export const logoutRoute = defineRoute({
  method: 'POST',
  path: '/auth/logout',
  summary:
    'End the session of a refresh token and its WebSocket connections; its access tokens expire within ten minutes',
  repeated: 'Repeating it changes nothing.',
  tag,
  auth: 'none',
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
  status: 200,
  reply: Me,
  refusals: [],
});

export const updateMeRoute = defineRoute({
  method: 'PATCH',
  path: '/me',
  summary: 'Say in which language and time zone you want to be told things',
  tag,
  auth: 'customer',
  body: MeChange,
  example: { locale: 'ko-KR', timeZone: 'Asia/Seoul' },
  status: 200,
  reply: Me,
  refusals: ['unprocessable'],
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
