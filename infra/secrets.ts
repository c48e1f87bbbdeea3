/**
 * Fills the secrets of a stage, once after its first deployment and whenever one is to be replaced:
 *
 *   node infra/secrets.ts --stage prod --signing-key make             makes the first key pair for access tokens
 *   node infra/secrets.ts --stage prod --signing-key prepare          replaces it in three steps (signing-keys.ts), with
 *                                                    use, retire      a deployment and ten minutes after each
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
import { generateKeyPairSync } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { GetSecretValueCommand, PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { GetParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import type { JWK } from 'jose';
import { keysOf } from '#platform/security/access-token.ts';
import { afterStep, publicHalves, rotationSteps, type SigningKeys } from './signing-keys.ts';

const signingKeyName = 'secret/token-signing-key';

const { values } = parseArgs({
  options: {
    stage: { type: 'string' },
    'signing-key': { type: 'string' },
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

/** The signing keys of the stage. */
async function signingKeys(): Promise<SigningKeys> {
  const { SecretString = '{"keys":[]}' } = await secrets.send(
    new GetSecretValueCommand({ SecretId: await secretOf(signingKeyName) }),
  );
  return { keys: keysOf(SecretString) };
}

const step = values['signing-key'];
if (step !== undefined) {
  const known = rotationSteps.find((one) => one === step);
  if (!known && step !== 'make') throw new Error(`--signing-key is one of: make, ${rotationSteps.join(', ')}`);
  const keys = known ? afterStep(known, await signingKeys(), freshKey) : { keys: [freshKey()] };
  const Value = JSON.stringify(publicHalves(keys));
  const Name = `${prefix}/token/verification-key`;
  await fill(signingKeyName, JSON.stringify(keys));
  await parameters.send(new PutParameterCommand({ Name, Value, Type: 'String', Overwrite: true }));
  process.stdout.write('token/verification-key is set\n');
}
if (values['payment-api-key']) await fill('secret/payment-api-key', (await text(process.stdin)).trim());
if (values['payment-webhook']) await fill('secret/payment-webhook', (await text(process.stdin)).trim());
if (values['stripe-api-key']) await fill('provider/stripe', (await text(process.stdin)).trim());
if (values['stripe-webhook']) await fill('secret/stripe-webhook', (await text(process.stdin)).trim());
if (values['toss-secret-key']) await fill('provider/toss', (await text(process.stdin)).trim());
if (values['mail-url']) await fill('secret/mail-url', (await text(process.stdin)).trim());
