/**
 * Service discovery: finds the address of every dependency (databases, queues, bus, APIs, payment providers, secrets) by
 * its logical name, such as `queue/reservations`. No other code knows an address or reads one from the environment.
 *
 * `HOLDFAST_REGISTRY` says where the names are kept: the path of a JSON file (the local stack writes one), or
 * `ssm:/prefix`, under which CloudFormation stores one parameter per name. A value names a secret by
 * `{secretsmanager:<arn>}`, or one field of a secret that holds JSON by `{secretsmanager:<arn>#field}`.
 *
 * `HOLDFAST_NAMES` lists the names that a function needs; its role may read those parameters and their secrets and no
 * others. `HOLDFAST_PAYMENT_PROVIDERS` lists the payment providers that a sale may name; it is no secret and each function has it.
 * Reading by name also lets thousands of environments start at once: reading a whole path is limited to a hundred
 * calls a second per account, reading by name to thousands. Names are read once per cold start.
 */
import { readFileSync } from 'node:fs';
import { readParameters, readSecrets } from '#platform/aws/parameters.ts';
import { NotRegistered, type Registry } from '#platform/kernel/registry.ts';

/** Reads the registry that the environment names. Throws if it is not set or cannot be read. */
export async function loadRegistry(
  source: string | undefined = process.env.HOLDFAST_REGISTRY,
  names: string | undefined = process.env.HOLDFAST_NAMES,
  choices: string | undefined = process.env.HOLDFAST_PAYMENT_PROVIDERS,
): Promise<Registry> {
  if (!source) throw new NotRegistered('HOLDFAST_REGISTRY');
  if (!source.startsWith('ssm:')) return JSON.parse(readFileSync(source, 'utf8')) as Registry;
  const raw = await readParameters(
    source.slice('ssm:'.length),
    names?.split(/[\s,]+/).filter((name) => name !== ''),
  );
  const secrets = await readSecrets(Object.values(raw).flatMap(secretsIn));
  const located = Object.entries(raw).map(([name, value]) => [name, withSecrets(value, secrets)]);
  return Object.fromEntries([...located, ...(choices ? [['provider/choices', choices]] : [])]);
}

const secretReference = /\{secretsmanager:([^#}]+)(?:#([^}]+))?\}/g;

/** The ARNs of the secrets that a value refers to. */
function secretsIn(value: string): string[] {
  return [...value.matchAll(secretReference)].flatMap(([, arn]) => arn ?? []);
}

/** The value with its secrets filled in; inside a URL a secret is percent-encoded. */
function withSecrets(value: string, secrets: ReadonlyMap<string, string>): string {
  return value.replace(secretReference, (reference, arn: string, field: string | undefined) => {
    const secret = secrets.get(arn) ?? '';
    const text = field === undefined ? secret : String((JSON.parse(secret) as Record<string, unknown>)[field] ?? '');
    return reference === value ? text : encodeURIComponent(text);
  });
}
