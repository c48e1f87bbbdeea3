/**
 * Fills the secrets of a stage, once after its first deployment and whenever one is to be replaced:
 *
 *   node infra/secrets.ts --stage prod --signing-key make             makes the first key pair for access tokens
 *   node infra/secrets.ts --stage prod --signing-key prepare          replaces it in three steps (signing-keys.ts), with
 *                                                    use, retire      a deployment and ten minutes after each
 *   node infra/secrets.ts --stage prod --guard-key prepare            the same for the key of device tokens, codes, links and proofs
 *                                                  use, retire        of work (key-rings.ts), with thirty days before the last
 *   node infra/secrets.ts --stage prod --guard-key make               puts another in its place at once, if it is known to somebody
 *   node infra/secrets.ts --stage prod --receipt-key …                both for the key of receipts, with a day before the last
 *   node infra/secrets.ts --stage prod --payment-api-key < file       the provider's API key, from standard input
 *   node infra/secrets.ts --stage prod --payment-webhook < file       its webhook secret (whsec_…), likewise
 *   node infra/secrets.ts --stage prod --stripe-api-key < file        Stripe's API key (sk_… or rk_…), likewise
 *   node infra/secrets.ts --stage prod --stripe-webhook < file        the secret of its webhook endpoint (whsec_…), likewise
 *   node infra/secrets.ts --stage prod --toss-secret-key < file       the secret key of Toss Payments (live_sk_…), likewise
 *   node infra/secrets.ts --stage prod --mail-url < file              the mail server (smtps://user:password@host:465?from=sender), likewise
 *
 * Invariant: a private value goes to Secrets Manager and nowhere else, not even to the screen; of key pairs only the
 * public halves are put into the registry, where functions that verify tokens read them. Uses the AWS credentials of the shell.
 * Running environments keep the old values until they are replaced: deploy again, or wait.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { GetSecretValueCommand, PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { GetParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import type { JWK } from 'jose';
import { keysOf } from '#platform/security/access-token.ts';
import { ringAfter } from './key-rings.ts';
import { afterStep, publicHalves, type RotationStep, rotationSteps, type SigningKeys } from './signing-keys.ts';

const signingKeyName = 'secret/token-signing-key';

const { values } = parseArgs({
  options: {
    stage: { type: 'string' },
    'signing-key': { type: 'string' },
    'guard-key': { type: 'string' },
    'receipt-key': { type: 'string' },
    'payment-api-key': { type: 'boolean' },
    'payment-webhook': { type: 'boolean' },
    'stripe-api-key': { type: 'boolean' },
    'stripe-webhook': { type: 'boolean' },
    'toss-secret-key': { type: 'boolean' },
    'mail-url': { type: 'boolean' },
  },
});
if (!values.stage) throw new Error('say which stage: --stage prod');
const prefix = `/holdfast/${values.stage}`;
const parameters = new SSMClient({});
const secrets = new SecretsManagerClient({});

/** Puts a value where the registry's entry of this name points to. */
async function fill(name: string, SecretString: string): Promise<void> {
  await secrets.send(new PutSecretValueCommand({ SecretId: await secretOf(name), SecretString }));
  process.stdout.write(`${name} is set\n`);
}

/** The secret that the registry's entry of this name points to, or has in it. */
async function secretOf(name: string): Promise<string> {
  const { Parameter } = await parameters.send(new GetParameterCommand({ Name: `${prefix}/${name}` }));
  const arn = /\{secretsmanager:([^#}]+)\}/.exec(Parameter?.Value ?? '')?.[1];
  if (!arn) throw new Error(`${prefix}/${name} does not name a secret; deploy the stage first`);
  return arn;
}

const freshKey = () => generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as JWK;

/** The private value behind the registry's entry of this name; undefined if it was never filled. */
async function secretBehind(name: string): Promise<string | undefined> {
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: await secretOf(name) }));
  return SecretString;
}

/** The signing keys of the stage. */
async function signingKeys(): Promise<SigningKeys> {
  return { keys: keysOf((await secretBehind(signingKeyName)) ?? '{"keys":[]}') };
}

/** The step that an option names; undefined without it. */
function stepOf(option: 'signing-key' | 'guard-key' | 'receipt-key'): RotationStep | 'make' | undefined {
  const named = values[option];
  const steps = ['make', ...rotationSteps] as const;
  const step = steps.find((one) => one === named);
  if (named !== undefined && !step) throw new Error(`--${option} is one of: ${steps.join(', ')}`);
  return step;
}

const step = stepOf('signing-key');
if (step !== undefined) {
  const keys = step === 'make' ? { keys: [freshKey()] } : afterStep(step, await signingKeys(), freshKey);
  const Value = JSON.stringify(publicHalves(keys));
  const Name = `${prefix}/token/verification-key`;
  await fill(signingKeyName, JSON.stringify(keys));
  await parameters.send(new PutParameterCommand({ Name, Value, Type: 'String', Overwrite: true }));
  process.stdout.write('token/verification-key is set\n');
}
for (const option of ['guard-key', 'receipt-key'] as const) {
  const step = stepOf(option);
  if (step === undefined) continue;
  const text = await secretBehind(`secret/${option}`);
  if (!text) throw new Error(`secret/${option} is empty; deploy the stage first`);
  await fill(
    `secret/${option}`,
    ringAfter(step, text, () => randomBytes(32).toString('base64url')),
  );
}
if (values['payment-api-key']) await fill('secret/payment-api-key', (await text(process.stdin)).trim());
if (values['payment-webhook']) await fill('secret/payment-webhook', (await text(process.stdin)).trim());
if (values['stripe-api-key']) await fill('provider/stripe', (await text(process.stdin)).trim());
if (values['stripe-webhook']) await fill('secret/stripe-webhook', (await text(process.stdin)).trim());
if (values['toss-secret-key']) await fill('provider/toss', (await text(process.stdin)).trim());
if (values['mail-url']) await fill('secret/mail-url', (await text(process.stdin)).trim());
