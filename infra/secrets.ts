/**
 * Fills the secrets of a stage, once after its first deployment and whenever one is to be replaced:
 *
 *   node infra/secrets.ts --stage prod --signing-key                  makes a new key pair for access tokens
 *   node infra/secrets.ts --stage prod --payment-api-key < file       the provider's API key, from standard input
 *   node infra/secrets.ts --stage prod --payment-webhook < file       its webhook secret (whsec_…), likewise
 *
 * Invariant: a private value goes to Secrets Manager and nowhere else, not even to the screen; of the key pair only the
 * public half is put into the registry, where functions that verify tokens read it. Uses the AWS credentials of the shell.
 * Running environments keep the old values until they are replaced: deploy again, or wait.
 */
import { generateKeyPairSync } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { GetParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';

const { values } = parseArgs({
  options: {
    stage: { type: 'string' },
    'signing-key': { type: 'boolean' },
    'payment-api-key': { type: 'boolean' },
    'payment-webhook': { type: 'boolean' },
  },
});
if (!values.stage) throw new Error('say which stage: --stage prod');
const prefix = `/holdfast/${values.stage}`;
const parameters = new SSMClient({});
const secrets = new SecretsManagerClient({});

/** Puts a value where the registry's entry of this name points to. */
async function fill(name: string, SecretString: string): Promise<void> {
  const { Parameter } = await parameters.send(new GetParameterCommand({ Name: `${prefix}/${name}` }));
  const arn = /^\{secretsmanager:([^#}]+)\}$/.exec(Parameter?.Value ?? '')?.[1];
  if (!arn) throw new Error(`${prefix}/${name} does not name a secret; deploy the stage first`);
  await secrets.send(new PutSecretValueCommand({ SecretId: arn, SecretString }));
  process.stdout.write(`${name} is set\n`);
}

if (values['signing-key']) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  await fill('secret/token-signing-key', JSON.stringify(privateKey.export({ format: 'jwk' })));
  await parameters.send(
    new PutParameterCommand({
      Name: `${prefix}/token/verification-key`,
      Value: JSON.stringify(publicKey.export({ format: 'jwk' })),
      Type: 'String',
      Overwrite: true,
    }),
  );
  process.stdout.write('token/verification-key is set\n');
}
if (values['payment-api-key']) await fill('secret/payment-api-key', (await text(process.stdin)).trim());
if (values['payment-webhook']) await fill('secret/payment-webhook', (await text(process.stdin)).trim());
