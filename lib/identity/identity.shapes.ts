/**
 * The shapes of identity in the API: registration, sign-in and sessions.
 */

import * as z from 'zod';
import { pageOf } from '#platform/handlers/pagination.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { characters, Id, idOf, Locale, line, notEmpty, Time, TimeZone } from '#platform/kernel/shapes.ts';
import { roles } from '#platform/security/roles.ts';
import { canonicalCode, typedCode } from './code.ts';
import { canonicalMailbox } from './mailbox.ts';

/** A mailbox, in the one way in which it is written here: two spellings of one mailbox are one account. */
export const Email = z
  .string()
  .max(254)
  .transform((text, context) => {
    const mailbox = canonicalMailbox(text);
    if (mailbox !== undefined) return mailbox;
    context.issues.push({ code: 'invalid_format', format: 'email', input: text, message: 'must be an e-mail address' });
    return z.NEVER;
  })
  .meta({ format: 'idn-email', description: 'As RFC 5321 and 6531 have it. Compared without regard to case' });

const withoutNul = '^[^\\u0000]*$';

/** At least ten characters of any kind but NUL; at most 128, since the cost of hashing grows with the length. */
const Password = characters(10, 128).regex(new RegExp(withoutNul), 'must be text').meta({ format: 'password' });

/** The language and the time zone in which a customer reads notices. */
const profile = {
  locale: Locale.optional().describe('The language of notices: English or Korean'),
  timeZone: TimeZone.optional().describe('The time zone of times in notices'),
};

export const Registration = z
  .strictObject({ email: Email, password: Password, name: line(1, 100), ...profile })
  .meta({ id: 'Registration' });
export type Registration = z.output<typeof Registration>;

/** A password that does not meet the rules for registration is a wrong password, not a malformed request. */
export const Credentials = z
  .strictObject({
    email: Email,
    password: characters(1, 1_024).meta({ format: 'password' }),
    deviceToken: characters(0, 512)
      .optional()
      .describe('From an earlier sign-in on this device: guesses from elsewhere do not slow this one down'),
  })
  .meta({ id: 'Credentials' });
export type Credentials = z.output<typeof Credentials>;

export const Session = z
  .object({
    accessToken: z.string().describe('Send it as "Authorization: Bearer …"'),
    expiresInSeconds: z.int().describe('How long the access token is valid'),
    refreshToken: z
      .string()
      .describe(
        'Good for one refresh; the answer has the next one. If the answer is lost, send it again within 30 seconds',
      ),
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof Session>;

export const SignedIn = Session.extend({
  deviceToken: z.string().describe('Keep it, and send it whenever this device signs in to this account again'),
}).meta({ id: 'SignedIn' });
export type SignedIn = z.infer<typeof SignedIn>;

export const Registered = SignedIn.extend({ customerId: idOf<CustomerId>() }).meta({ id: 'Registered' });
export type Registered = z.infer<typeof Registered>;

export const RefreshToken = z.strictObject({ refreshToken: characters(1, 2_048) }).meta({ id: 'RefreshToken' });

/** What a code of a mail looks like, however it is typed: without its dashes, letters for digits that look like them. */
const Code = characters(16, 64)
  .regex(typedCode, 'must be a code from a mail')
  .transform(canonicalCode)
  .meta({ description: 'As the mail has it; dashes, blanks and the case of letters do not matter' });

export const ContactCode = z.strictObject({ code: Code }).meta({ id: 'ContactCode' });

export const ForgottenPassword = z.strictObject({ email: Email }).meta({ id: 'ForgottenPassword' });

export const PasswordReset = z.strictObject({ code: Code, password: Password }).meta({ id: 'PasswordReset' });
export type PasswordReset = z.output<typeof PasswordReset>;

/** A password that is there, by the rules of signing in. */
const OwnPassword = characters(1, 1_024).meta({ format: 'password' });

export const PasswordChange = z
  .strictObject({ password: OwnPassword.describe('The one so far'), newPassword: Password })
  .meta({ id: 'PasswordChange' });
export type PasswordChange = z.output<typeof PasswordChange>;

export const AccountDeletion = z
  .strictObject({
    password: OwnPassword.optional().describe('Of an account that a password opens; one of another issuer has none'),
  })
  .meta({ id: 'AccountDeletion' });
export type AccountDeletion = z.output<typeof AccountDeletion>;

export const OwnSession = z
  .object({
    sessionId: Id,
    startedAt: Time,
    usedAt: Time.nullable().describe('When it was last refreshed; null if never'),
    expiresAt: Time.describe('When it ends, however often it is refreshed'),
    isCurrent: z.boolean().describe('Whether it is the one that asks'),
  })
  .meta({ id: 'OwnSession' });
export type OwnSession = z.infer<typeof OwnSession>;
export const OwnSessionPage = pageOf(OwnSession);

export const Me = z
  .object({
    customerId: idOf<CustomerId>(),
    email: z.string(),
    name: z.string(),
    role: z.enum(roles),
    locale: z.string().nullable(),
    timeZone: z.string().nullable(),
    isVerified: z.boolean().describe('Whether you have shown that the address is yours'),
    reminders: z.boolean().describe('Whether reminders come by mail too'),
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof Me>;

export const MeChange = notEmpty(
  z.strictObject({
    ...profile,
    reminders: z.boolean().optional().describe('Whether reminders come by mail too; all other mail comes in any case'),
  }),
).meta({ id: 'MeChange' });
export type MeChange = z.output<typeof MeChange>;
