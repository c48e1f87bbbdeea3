/**
 * The shapes of identity in the API: registration, sign-in and sessions.
 */

import * as z from 'zod';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { idOf, Locale, line, TimeZone } from '#platform/kernel/shapes.ts';
import { roles } from '#platform/security/roles.ts';

/** A mailbox, in lower case: two spellings of one mailbox are one account. */
export const Email = z.email().max(254).toLowerCase().describe('Compared without regard to case');

/** At least ten characters of any kind; at most 1,024 bytes, since the cost of hashing grows with the length. */
const Password = z
  .string()
  .min(10)
  .max(128)
  .refine((password) => password.isWellFormed() && !password.includes('\0'), 'must be text')
  .refine((password) => Buffer.byteLength(password) <= 1_024, 'must have at most 1,024 bytes')
  .meta({ format: 'password' });

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
  .strictObject({ email: Email, password: z.string().min(1).max(1_024).meta({ format: 'password' }) })
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

export const Registered = Session.extend({ customerId: idOf<CustomerId>() }).meta({ id: 'Registered' });
export type Registered = z.infer<typeof Registered>;

export const RefreshToken = z.strictObject({ refreshToken: z.string().min(1).max(2_048) });

export const Me = z
  .object({
    customerId: idOf<CustomerId>(),
    email: z.string(),
    name: z.string(),
    role: z.enum(roles),
    locale: z.string().nullable(),
    timeZone: z.string().nullable(),
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof Me>;

export const MeChange = z
  .strictObject(profile)
  .refine((change) => Object.keys(change).length > 0, 'must change something')
  .meta({ id: 'MeChange' });
export type MeChange = z.output<typeof MeChange>;
