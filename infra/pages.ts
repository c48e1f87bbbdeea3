/**
 * Brings the built pages to the bucket of a stage: `node infra/pages.ts --stage prod`. A deployment does it too: what the pages are
 * made of before the new code is there, which names it, and the pages themselves afterwards.
 *
 * Invariant: nothing is deleted or changed that a page in somebody's browser may still ask for.
 */
import { parseArgs } from 'node:util';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { minorDigits } from '#platform/kernel/money.ts';
import { buildPages } from '#web/build.ts';
import { askedAnew, keptForEver } from '#web/paths.ts';

/** What is brought: what never changes under its name, or the pages as well. */
export type Part = 'assets' | 'all';

export interface Target {
  readonly s3: Pick<S3Client, 'send'>;
  readonly bucket: string;
  readonly stage: string;
  /** The API's own address, where its documentation is. */
  readonly api: string;
}

/** Builds the pages and brings them to the bucket; returns what it has brought, in order. Pages come last. */
export async function uploadPages({ s3, bucket, stage, api }: Target, part: Part): Promise<string[]> {
  const built = [...(await buildPages())].map(([path, { body, type, immutable }]) => ({ path, body, type, immutable }));
  // Addresses without an origin: the pages are served under more than one.
  const config = { api: '/api', websocket: `/${stage}`, docs: `${api}/docs`, minorDigits };
  const settings = { path: '/config.json', body: Buffer.from(JSON.stringify(config)), type: 'application/json' };
  const files = [
    ...built.filter(({ immutable }) => immutable),
    ...(part === 'all' ? [{ ...settings, immutable: false }, ...built.filter(({ immutable }) => !immutable)] : []),
  ];
  for (const { path, body, type, immutable } of files) {
    await s3.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: path.slice(1),
        Body: body,
        ContentType: type,
        CacheControl: immutable ? keptForEver : askedAnew,
      }),
    );
  }
  return files.map(({ path }) => path);
}

/** Brings them to the stack of a stage. Does nothing if the stack has no bucket yet, as before its first deployment. */
export async function bringPages(where: { stage: string; region: string }, part: Part): Promise<string[]> {
  const cloudFormation = new CloudFormationClient({ region: where.region });
  const s3 = new S3Client({ region: where.region });
  try {
    const outputs = await outputsOf(cloudFormation, `holdfast-${where.stage}`);
    const bucket = outputs.get('PagesBucketName');
    if (!bucket) return [];
    return await uploadPages({ s3, bucket, stage: where.stage, api: outputs.get('ApiAddress') ?? '' }, part);
  } finally {
    cloudFormation.destroy();
    s3.destroy();
  }
}

async function outputsOf(client: CloudFormationClient, StackName: string): Promise<Map<string, string>> {
  try {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName }));
    return new Map(Stacks[0]?.Outputs?.map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]));
  } catch (error) {
    // There is no such stack yet.
    if ((error as Error).name === 'ValidationError') return new Map();
    throw error;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { stage: { type: 'string', default: 'dev' }, region: { type: 'string', default: 'us-east-1' } },
  });
  const brought = await bringPages(values, 'all');
  process.stdout.write(
    brought.length > 0 ? `${brought.join('\n')}\n` : 'This stage has no pages yet: deploy it first.\n',
  );
}
