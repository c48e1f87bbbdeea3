/** The shapes of API keys in the API. */
import * as z from 'zod';
import { pageOf } from '#platform/handlers/pagination.ts';
import type { ApiKeyId, CustomerId } from '#platform/kernel/ids.ts';
import { distinct, idOf, line, Time } from '#platform/kernel/shapes.ts';
import { scopes } from '#platform/security/scopes.ts';

const daySeconds = 86_400;
const Days = z.int().min(1).max(400);
const Scopes = z.array(z.enum(scopes)).min(1).max(scopes.length);

export const ApiKeyPath = z.strictObject({ keyId: idOf<ApiKeyId>() });

export const NewApiKey = z
  .strictObject({
    name: line(1, 100).describe('Which program it is for'),
    scopes: distinct(Scopes, 'must name each scope once').describe('What it may do; this does not change'),
    expiresInDays: Days.default(90),
  })
  .meta({ id: 'NewApiKey' });
export type NewApiKey = z.output<typeof NewApiKey>;

export const RotateApiKey = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(7 * daySeconds)
      .default(daySeconds)
      .describe('For how long the old secret is valid as well, but never longer than it was; one before it ends now'),
    expiresInDays: Days.optional().describe('From now; without it the key expires when it would have'),
  })
  .meta({ id: 'ApiKeyRotation' });
export type RotateApiKey = z.output<typeof RotateApiKey>;

export const ApiKeyView = z
  .object({
    keyId: idOf<ApiKeyId>(),
    name: z.string(),
    scopes: z.array(z.enum(scopes)),
    state: z.enum(['active', 'expired', 'revoked']),
    createdBy: idOf<CustomerId>().describe('The admin who made it'),
    createdAt: Time,
    expiresAt: Time,
    previousSecretUntil: Time.nullable().describe('Until when the secret before is valid as well'),
    lastUsedAt: Time.nullable().describe('To the minute; null until it is used'),
    revokedAt: Time.nullable(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKeyView = z.infer<typeof ApiKeyView>;

export const ApiKeyPage = pageOf(ApiKeyView);

export const ApiKeyWithSecret = ApiKeyView.extend({
  key: z
    .string()
    .describe('Shown in this answer only, which is given again under its Idempotency-Key alone: it is not stored'),
}).meta({ id: 'ApiKeyWithSecret' });
export type ApiKeyWithSecret = z.infer<typeof ApiKeyWithSecret>;
