/**
 * Service discovery: finds every other part (databases, queues, bus, APIs, payment providers, secrets) by its logical
 * name, such as `queue/reservations`. Nothing else in the code knows an address or reads the environment for one.
 *
 * `HOLDFAST_REGISTRY` says where the names are kept: the path of a JSON file (the local stack writes one), or
 * `ssm:/prefix`, under which CloudFormation stores one parameter per name. A value `secretsmanager:<arn>` is fetched
 * from Secrets Manager. Names are read once per cold start.
 */
import { readFileSync } from 'node:fs';

export type LogicalName =
  | 'mysql/main'
  | 'redis/main'
  | `queue/${string}`
  | `dead/${string}`
  | 'bus/main'
  | 'api/public'
  | 'websocket/public'
  | 'websocket/management'
  | 'provider/payments'
  | `limit/${string}`
  | 'secret/token-signing-key'
  | 'secret/payment-webhook'
  | 'secret/payment-api-key';

/** The names and what they stand for. */
export type Registry = Readonly<Record<string, string>>;

/** Thrown when a part is asked for that is not registered: a mistake of deployment, found at cold start. */
export class NotRegistered extends Error {
  constructor(name: string) {
    super(`"${name}" is not registered; HOLDFAST_REGISTRY=${process.env.HOLDFAST_REGISTRY ?? '(unset)'}`);
    this.name = 'NotRegistered';
  }
}

/** Reads the registry that the environment names. Throws if it is not set or cannot be read. */
export async function loadRegistry(source: string | undefined = process.env.HOLDFAST_REGISTRY): Promise<Registry> {
  if (!source) throw new NotRegistered('HOLDFAST_REGISTRY');
  const raw: Registry = source.startsWith('ssm:')
    ? await readParameters(source.slice('ssm:'.length))
    : (JSON.parse(readFileSync(source, 'utf8')) as Registry);
  return resolveSecrets(raw);
}

/** The address registered under a logical name. Throws `NotRegistered` if there is none. */
export function locate(registry: Registry, name: LogicalName): string {
  const value = registry[name];
  if (value === undefined || value === '') throw new NotRegistered(name);
  return value;
}

/** All addresses registered under a name that may have several instances, such as payment providers. */
export function locateAll(registry: Registry, name: LogicalName): string[] {
  return locate(registry, name)
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
}

async function readParameters(prefix: string): Promise<Registry> {
  const { SSMClient, paginateGetParametersByPath } = await import('@aws-sdk/client-ssm');
  const names: Record<string, string> = {};
  for await (const page of paginateGetParametersByPath(
    { client: new SSMClient({}) },
    { Path: prefix, Recursive: true },
  )) {
    for (const parameter of page.Parameters ?? []) {
      if (parameter.Name) names[parameter.Name.slice(prefix.length + 1)] = parameter.Value ?? '';
    }
  }
  return names;
}

const secretScheme = 'secretsmanager:';

async function resolveSecrets(raw: Registry): Promise<Registry> {
  const secrets = Object.entries(raw).filter(([, value]) => value.startsWith(secretScheme));
  if (secrets.length === 0) return raw;
  const { SecretsManagerClient, GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = new SecretsManagerClient({});
  const resolved = await Promise.all(
    secrets.map(async ([name, value]) => {
      const answer = await client.send(new GetSecretValueCommand({ SecretId: value.slice(secretScheme.length) }));
      return [name, answer.SecretString ?? ''] as const;
    }),
  );
  return { ...raw, ...Object.fromEntries(resolved) };
}
