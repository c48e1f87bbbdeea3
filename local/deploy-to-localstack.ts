/**
 * Deploys the output of `serverless package` to LocalStack, as far as its community edition supports the template.
 *
 *   npm run package -- --stage prod
 *   node local/deploy-to-localstack.ts [--package .serverless] [--endpoint http://127.0.0.1:4566] [--with-functions]
 *
 * Invariants: it takes the steps of the framework's own deployment (a stack with a bucket, the bundles into the bucket,
 * then the whole stack through CloudFormation), and deploys the packaged template except for `unknownTypes` and the
 * resources that depend on them. Each deployment has an account of its own, so that two on one LocalStack do not conflict.
 * Called by tests, and by hand.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  CloudFormationClient,
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
  paginateListStackResources,
  type Stack,
  UpdateStackCommand,
} from '@aws-sdk/client-cloudformation';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { waitFor } from './wait.ts';

/** The types that LocalStack 4.14.0 cannot create without an account token, and what stays untested without them. */
export const unknownTypes: Readonly<Record<string, string>> = {
  'AWS::ApiGatewayV2::Api': 'the HTTP and the WebSocket API',
  'AWS::ApiGatewayV2::Deployment': 'the HTTP and the WebSocket API',
  'AWS::ApiGatewayV2::Integration': 'the HTTP and the WebSocket API',
  'AWS::ApiGatewayV2::Route': 'the HTTP and the WebSocket API',
  'AWS::ApiGatewayV2::Stage': 'the HTTP and the WebSocket API',
  'AWS::CloudFront::CachePolicy': 'the distribution of the pages',
  'AWS::CloudFront::Distribution': 'the distribution of the pages',
  'AWS::CloudFront::Function': 'the distribution of the pages',
  'AWS::CloudFront::OriginAccessControl': 'the distribution of the pages',
  'AWS::CloudFront::OriginRequestPolicy': 'the distribution of the pages',
  'AWS::CloudFront::ResponseHeadersPolicy': 'the distribution of the pages',
  'AWS::CloudWatch::Dashboard': 'the dashboard',
  'AWS::EC2::EIP': 'the way out through NAT',
  'AWS::EC2::SecurityGroupIngress': 'the way in for migrations',
  'AWS::ElastiCache::ParameterGroup': 'Redis',
  'AWS::ElastiCache::ReplicationGroup': 'Redis',
  'AWS::ElastiCache::SubnetGroup': 'Redis',
  'AWS::RDS::DBInstance': 'MySQL and its proxy',
  'AWS::RDS::DBParameterGroup': 'MySQL and its proxy',
  'AWS::RDS::DBProxy': 'MySQL and its proxy',
  'AWS::RDS::DBProxyTargetGroup': 'MySQL and its proxy',
  'AWS::RDS::DBSubnetGroup': 'MySQL and its proxy',
};

/** Types that need Docker, unless LocalStack has our executor. */
export const functionTypes: Readonly<Record<string, string>> = {
  'AWS::Lambda::EventSourceMapping': 'functions',
  'AWS::Lambda::Function': 'functions',
  'AWS::Lambda::Permission': 'functions',
};

// biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape.
type Json = any;

interface Resource {
  Type: string;
  Properties?: Record<string, Json>;
  DependsOn?: string | string[];
}

export interface Template {
  Resources: Record<string, Resource>;
  Outputs?: Record<string, Json>;
}

export interface Part {
  template: Template;
  /** Logical ids of what is left out, with their types. */
  left: Map<string, string>;
}

/** Replaces references to resources that are not deployed. */
const absent = 'not-deployed';

/**
 * The part of a template that LocalStack can create. Unknown types are left out, and so are resources of the same service
 * that refer to them, because there the reference must exist; in other services a reference is text and is replaced.
 */
export function deployablePart(template: Template, options: { functions: boolean }): Part {
  const unknown = options.functions ? unknownTypes : { ...unknownTypes, ...functionTypes };
  const left = new Map<string, string>();
  for (const [id, { Type }] of Object.entries(template.Resources)) if (unknown[Type]) left.set(id, Type);
  const service = (type: string) => type.split('::')[1];
  for (let found = true; found; ) {
    found = false;
    for (const [id, { Type, Properties }] of Object.entries(template.Resources)) {
      if (left.has(id)) continue;
      const refers = [...referencesIn(Properties)].some((to) => {
        const leftType = left.get(to);
        return leftType !== undefined && service(leftType) === service(Type);
      });
      if (refers) {
        left.set(id, Type);
        found = true;
      }
    }
  }
  const kept = Object.entries(template.Resources).filter(([id]) => !left.has(id));
  const without = (value: Json) => replaceReferences(value, left);
  return {
    template: {
      ...template,
      Resources: Object.fromEntries(
        kept.map(([id, { DependsOn, Properties, ...rest }]) => {
          const needs = [DependsOn ?? []].flat().filter((one) => !left.has(one));
          return [
            id,
            {
              ...rest,
              ...(Properties ? { Properties: without(Properties) } : {}),
              ...(needs.length > 0 ? { DependsOn: needs } : {}),
            },
          ];
        }),
      ),
      ...(template.Outputs ? { Outputs: without(template.Outputs) } : {}),
    },
    left,
  };
}

/** `${Name}` and `${Name.Attribute}` in a text for `Fn::Sub`; `${!Name}` is no reference. */
const substitution = /\$\{([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?\}/g;

/** The logical ids that a value refers to. */
function* referencesIn(value: Json): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  if (typeof value.Ref === 'string') yield value.Ref;
  if (Array.isArray(value['Fn::GetAtt'])) yield value['Fn::GetAtt'][0];
  const text = value['Fn::Sub'];
  if (typeof text === 'string') for (const [, id] of text.matchAll(substitution)) if (id) yield id;
  for (const part of Object.values(value)) yield* referencesIn(part);
}

/** The value with references to omitted resources replaced by a text. */
function replaceReferences(value: Json, left: ReadonlyMap<string, string>): Json {
  if (Array.isArray(value)) return value.map((part) => replaceReferences(part, left));
  if (typeof value !== 'object' || value === null) return value;
  if (left.has(value.Ref) || left.has(value['Fn::GetAtt']?.[0])) return absent;
  if (typeof value['Fn::Sub'] === 'string') {
    const text = value['Fn::Sub'].replaceAll(substitution, (all: string, id: string) => (left.has(id) ? absent : all));
    return { 'Fn::Sub': text };
  }
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, replaceReferences(part, left)]));
}

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
}

export interface Deployed {
  /** How many resources of each type the stack has, according to CloudFormation. */
  made: Map<string, number>;
  /** How many of each type were left out. */
  left: Map<string, number>;
  /** Credentials of the account that it was deployed to. */
  credentials: Credentials;
  /** Deletes the stack. */
  remove(): Promise<void>;
}

export interface DeployOptions {
  endpoint: string;
  /** The folder that `serverless package` wrote. */
  packageDir: string;
  /** Whether LocalStack can run functions. */
  functions: boolean;
  /** How long each of the two steps may take. */
  timeoutMs: number;
}

const region = 'us-east-1';
const StackName = 'holdfast';

/** Deploys a package to an account of its own. Throws CloudFormation's reason when it fails. */
export async function deploy({ endpoint, packageDir, functions, timeoutMs }: DeployOptions): Promise<Deployed> {
  // LocalStack uses an access key of twelve digits as the account number.
  const credentials = { accessKeyId: String(randomInt(10 ** 11, 10 ** 12)), secretAccessKey: 'test' };
  const client = { endpoint, region, credentials };
  const cloudFormation = new CloudFormationClient(client);
  const s3 = new S3Client({ ...client, forcePathStyle: true });
  const read = (name: string) => JSON.parse(readFileSync(join(packageDir, name), 'utf8')) as Template;
  const { template, left } = deployablePart(read('cloudformation-template-update-stack.json'), { functions });
  const Capabilities = ['CAPABILITY_IAM' as const];
  const remove = async () => {
    await cloudFormation.send(new DeleteStackCommand({ StackName }));
    await waitFor('the stack to be gone', async () => (await stackNow(cloudFormation)) === undefined, { timeoutMs });
    cloudFormation.destroy();
    s3.destroy();
  };

  try {
    const bare = JSON.stringify(read('cloudformation-template-create-stack.json'));
    await cloudFormation.send(new CreateStackCommand({ StackName, TemplateBody: bare, Capabilities }));
    const { Outputs = [] } = await finished(cloudFormation, 'CREATE_COMPLETE', timeoutMs);
    const Bucket = Outputs.find(({ OutputKey }) => OutputKey === 'ServerlessDeploymentBucketName')?.OutputValue;
    const put = (Key: string, Body: string | Buffer) => s3.send(new PutObjectCommand({ Bucket, Key, Body }));
    const zips = Object.values(template.Resources).flatMap(
      ({ Properties }) => (Properties?.Code?.S3Key as string) ?? [],
    );
    for (const zip of zips) await put(zip, readFileSync(join(packageDir, basename(zip))));
    await put('template.json', JSON.stringify(template));
    const TemplateURL = `${endpoint}/${Bucket}/template.json`;
    await cloudFormation.send(new UpdateStackCommand({ StackName, TemplateURL, Capabilities }));
    await finished(cloudFormation, 'UPDATE_COMPLETE', timeoutMs);
    return { made: countEach(await madeBy(cloudFormation)), left: countEach([...left.values()]), credentials, remove };
  } catch (error) {
    await remove().catch(() => undefined);
    throw error;
  }
}

async function stackNow(cloudFormation: CloudFormationClient): Promise<Stack | undefined> {
  try {
    const { Stacks = [] } = await cloudFormation.send(new DescribeStacksCommand({ StackName }));
    return Stacks[0]?.StackStatus === 'DELETE_COMPLETE' ? undefined : Stacks[0];
  } catch (error) {
    if ((error as Error).name === 'ValidationError') return undefined;
    throw error;
  }
}

/** Waits until a step has ended. Throws the reasons when it failed. */
async function finished(
  cloudFormation: CloudFormationClient,
  wanted: 'CREATE_COMPLETE' | 'UPDATE_COMPLETE',
  timeoutMs: number,
): Promise<Stack> {
  const [step] = wanted.split('_');
  const over = new RegExp(`^(${step}|.*ROLLBACK).*_(COMPLETE|FAILED)$`);
  const stack = await waitFor(
    `CloudFormation to say ${wanted}`,
    async () => {
      const now = await stackNow(cloudFormation);
      return over.test(now?.StackStatus ?? '') ? now : undefined;
    },
    { timeoutMs, lookAgainMs: 250 },
  );
  const { StackEvents = [] } = await cloudFormation.send(new DescribeStackEventsCommand({ StackName }));
  const failed = StackEvents.filter(({ ResourceStatus }) => ResourceStatus?.endsWith('_FAILED'));
  if (stack.StackStatus !== wanted || failed.length > 0) {
    const reasons = failed.map((one) => `${one.LogicalResourceId}: ${one.ResourceStatusReason}`);
    throw new Error(`the stack is ${stack.StackStatus}: ${reasons.join('; ')}`);
  }
  return stack;
}

/** The types of the stack's resources. */
async function madeBy(client: CloudFormationClient): Promise<string[]> {
  const made: string[] = [];
  for await (const { StackResourceSummaries = [] } of paginateListStackResources({ client }, { StackName })) {
    for (const { ResourceType = '', ResourceStatus } of StackResourceSummaries) {
      if (ResourceStatus?.endsWith('_COMPLETE')) made.push(ResourceType);
    }
  }
  return made;
}

function countEach(names: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names.sort()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      package: { type: 'string', default: '.serverless' },
      endpoint: { type: 'string', default: 'http://127.0.0.1:4566' },
      'with-functions': { type: 'boolean', default: false },
    },
  });
  const { made, left, remove } = await deploy({
    endpoint: values.endpoint,
    packageDir: values.package,
    functions: values['with-functions'],
    timeoutMs: 300_000,
  });
  for (const [type, count] of made) process.stdout.write(`deployed  ${String(count).padStart(3)}  ${type}\n`);
  for (const [type, count] of left) process.stdout.write(`left out  ${String(count).padStart(3)}  ${type}\n`);
  await remove();
}
