/**
 * The registry in AWS: addresses in SSM Parameter Store, secrets in Secrets Manager. Called by discovery, once per cold
 * start; never in the local stack.
 *
 * A launch starts thousands of environments within seconds, so each makes as few calls as possible and, when throttled,
 * retries with a back-off rather than failing its first request.
 */
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { GetParametersCommand, type Parameter, paginateGetParametersByPath, SSMClient } from '@aws-sdk/client-ssm';
import { callLimit } from './client-settings.ts';

/** GetParameters accepts at most ten names. */
const namesPerCall = 10;
const attempts = 5;

/**
 * The parameters under a prefix with these names, or all of them. A name without a parameter is left out: an optional one
 * (such as a rate limit) need not exist, and for a required one `locate` throws.
 */
export async function readParameters(prefix: string, names?: string[]): Promise<Record<string, string>> {
  const client = new SSMClient({ maxAttempts: attempts });
  const found: Parameter[] = [];
  if (names) {
    const calls = Array.from({ length: Math.ceil(names.length / namesPerCall) }, (_, call) =>
      names.slice(call * namesPerCall, (call + 1) * namesPerCall).map((name) => `${prefix}/${name}`),
    );
    const answers = await Promise.all(
      calls.map((Names) => client.send(new GetParametersCommand({ Names }), callLimit())),
    );
    found.push(...answers.flatMap(({ Parameters = [] }) => Parameters));
  } else {
    for await (const page of paginateGetParametersByPath({ client }, { Path: prefix, Recursive: true })) {
      found.push(...(page.Parameters ?? []));
    }
  }
  client.destroy();
  return Object.fromEntries(found.map(({ Name = '', Value = '' }) => [Name.slice(prefix.length + 1), Value]));
}

/** The secrets with these ARNs, each fetched once. */
export async function readSecrets(arns: string[]): Promise<Map<string, string>> {
  const wanted = [...new Set(arns)];
  if (wanted.length === 0) return new Map();
  const client = new SecretsManagerClient({ maxAttempts: attempts });
  const values = await Promise.all(
    wanted.map(async (SecretId): Promise<[string, string]> => {
      const { SecretString = '' } = await client.send(new GetSecretValueCommand({ SecretId }), callLimit());
      return [SecretId, SecretString];
    }),
  );
  client.destroy();
  return new Map(values);
}
