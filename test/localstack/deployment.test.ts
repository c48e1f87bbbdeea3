/**
 * The packaged template on LocalStack, as far as its community edition goes: everything it can make is made, and is as
 * declared; and where LocalStack was started here, the deployed functions run, so that a reservation goes its whole way
 * through what was deployed: parameters, secrets, roles, queues, event source mappings, bus and rules.
 *
 * Only what LocalStack has not (MySQL, Redis, the HTTP API) is the local stack's, under the same logical names.
 */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EventBridgeClient, ListTargetsByRuleCommand } from '@aws-sdk/client-eventbridge';
import { GetFunctionConfigurationCommand, InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetQueueAttributesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { jest } from '@jest/globals';
import { seedOperator } from '#identity/register.ts';
import { awsEnvironment } from '#local/aws-resources.ts';
import { type Deployed, deploy } from '#local/deploy-to-localstack.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { waitFor } from '#local/wait.ts';
import { loadRegistry } from '#platform/environment/discovery.ts';
import { newId } from '#test/support/ids.ts';
import { type Package, packaged, packagedStage, packagingLimitMs } from '../support/package.ts';
import { givenSale, openBed } from '../support/sales.ts';
import { type TestBed, testBed, testStack } from '../support/stack.ts';

const { sqs: endpoint, localStack, provider } = testStack();
const functions = localStack?.runsFunctions === true;
const stepLimitMs = 240_000;
jest.setTimeout(120_000);

let made: Package;
let bed: TestBed;
let deployed: Deployed;

beforeAll(
  async () => {
    [made, bed] = await Promise.all([packaged(), testBed({ queues: false })]);
    deployed = await deploy({ endpoint, packageDir: made.folder, functions, timeoutMs: stepLimitMs });
    Object.assign(process.env, accountEnvironment());
  },
  packagingLimitMs + 2 * stepLimitMs,
);

afterAll(async () => {
  await deployed?.remove();
  await bed?.close();
}, stepLimitMs);

/** What a process needs to work in the account of this deployment. */
function accountEnvironment(): Record<string, string> {
  const { accessKeyId, secretAccessKey } = deployed.credentials;
  return {
    ...awsEnvironment({ sqs: endpoint, events: endpoint, region: 'us-east-1' }),
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
}

const declared = await readDeclared({ stage: packagedStage });
const registrySource = `ssm:/holdfast/${packagedStage}`;

test('everything that LocalStack can make of the template is made, and nothing else is missing', () => {
  const packagedTypes = new Map<string, number>();
  for (const { Type } of Object.values(made.resources)) packagedTypes.set(Type, (packagedTypes.get(Type) ?? 0) + 1);
  const both = [...packagedTypes].map(([type]) => {
    return [type, (deployed.made.get(type) ?? 0) + (deployed.left.get(type) ?? 0)] as const;
  });
  expect(Object.fromEntries(both)).toEqual(Object.fromEntries(packagedTypes));
  expect([...deployed.made.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(functions ? 290 : 200);
});

test('queues are as declared, with the dead letters they are declared with', async () => {
  const registry = await loadRegistry(
    registrySource,
    declared.queues.map(({ registryName }) => registryName).join(' '),
  );
  // In a container LocalStack names queues by a host and a port that only the container knows.
  const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });
  for (const { registryName, attributes, redrive, name } of declared.queues) {
    const { Attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: registry[registryName], AttributeNames: ['All'] }),
    );
    expect(Attributes).toMatchObject({ ...attributes, SqsManagedSseEnabled: 'true' });
    const policy = JSON.parse(Attributes.RedrivePolicy ?? 'null');
    expect([name, policy?.maxReceiveCount]).toEqual([name, redrive?.maxReceiveCount]);
    if (redrive) expect(policy.deadLetterTargetArn).toBe(`${Attributes.QueueArn}-dead`);
  }
  sqs.destroy();
});

test('rules have the targets they are declared with, and those their dead letters', async () => {
  const events = new EventBridgeClient({});
  const arnEnd = (logicalId: string | undefined) => declared.queues.find((one) => one.logicalId === logicalId)?.name;
  for (const rule of declared.rules) {
    const EventBusName = declared.buses.find(({ logicalId }) => logicalId === rule.bus)?.name;
    const { Targets = [] } = await events.send(new ListTargetsByRuleCommand({ Rule: rule.name, EventBusName }));
    expect(
      Targets.map(({ Arn, DeadLetterConfig }) => [Arn, DeadLetterConfig?.Arn].map((arn) => arn?.split(':').at(-1))),
    ).toEqual(rule.targets.map(({ queue, deadLetters }) => [arnEnd(queue), arnEnd(deadLetters)]));
  }
  events.destroy();
});

if (functions) {
  describe('the deployed functions', () => {
    let lambda: LambdaClient;

    beforeAll(async () => {
      lambda = new LambdaClient({});
      const ssm = new SSMClient({});
      const instead: Record<string, string> = { ...bed.registry, 'provider/payments': provider.join(',') };
      for (const name of ['mysql/main', 'redis/main', 'provider/payments']) {
        const Name = `/holdfast/${packagedStage}/${name}`;
        await ssm.send(new PutParameterCommand({ Name, Value: instead[name], Type: 'String', Overwrite: true }));
      }
      ssm.destroy();
      await fillSecret('--signing-key=make');
      await fillSecret('--payment-api-key', bed.registry['secret/payment-api-key']);
      await fillSecret('--payment-webhook', bed.registry['secret/payment-webhook']);
      await fillSecret('--mail-url', bed.registry['secret/mail-url']);
    });

    afterAll(() => lambda?.destroy());

    /** As an operator does after a deployment. */
    async function fillSecret(flag: string, value?: string): Promise<void> {
      const filled = promisify(execFile)(
        process.execPath,
        [join(projectRoot, 'infra', 'secrets.ts'), '--stage', packagedStage, flag],
        { env: { PATH: process.env.PATH, ...accountEnvironment() } },
      );
      filled.child.stdin?.end(value ?? '');
      await filled;
    }

    /** What API Gateway would do with a request. */
    async function call(
      key: string,
      request: {
        /** Which of a function's routes, if it has several. */
        route?: string;
        token?: string;
        json?: unknown;
        idempotencyKey?: string;
        params?: Record<string, string>;
        query?: Record<string, string>;
      } = {},
    ) {
      const { route, token, json, idempotencyKey, params, query } = request;
      const event = {
        routeKey: route,
        rawPath: '/',
        headers: {
          ...(json === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(idempotencyKey ? { 'idempotency-key': idempotencyKey } : {}),
        },
        pathParameters: params,
        queryStringParameters: query,
        body: json === undefined ? undefined : JSON.stringify(json),
        isBase64Encoded: false,
        requestContext: { http: { method: 'POST', path: '/', sourceIp: '203.0.113.7' } },
      };
      const FunctionName = `holdfast-${packagedStage}-${key}`;
      const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
      const { statusCode, body } = JSON.parse(answer.Payload?.transformToString() ?? '{}');
      return { status: statusCode as number, body: body ? JSON.parse(body) : undefined };
    }

    test('a reservation goes its whole way: accepted, decided, bought, and told over the bus', async () => {
      const deps = await openBed(bed);
      const saleId = await givenSale(deps, { allotment: 5 });
      await deps.close();
      const account = { email: `${newId()}@example.com`, password: 'correct horse battery' };
      expect(await call('register', { json: { ...account, name: 'Zoë' } })).toMatchObject({ status: 201 });
      const { accessToken: token } = (await call('login', { json: account })).body;

      const json = { quantity: 2, fill: 'all' };
      const accepted = await call('create-reservation', { token, idempotencyKey: 'one', params: { saleId }, json });
      expect(accepted.status).toBe(202);
      const { reservationId } = accepted.body;
      const became = async (key: string, request: Parameters<typeof call>[1], state: string) =>
        waitFor(`${key} to be ${state}`, async () => (await call(key, { token, ...request })).body.state === state, {
          timeoutMs: 60_000,
          lookAgainMs: 500,
        });
      await became('get-reservation', { params: { reservationId } }, 'allocated');

      const bought = await call('create-purchase', {
        token,
        idempotencyKey: 'two',
        json: { reservationIds: [reservationId], paymentToken: 'tok_approve' },
      });
      expect(bought.status).toBe(202);
      const { purchaseId } = bought.body;
      await became('customer-reads', { route: 'GET /purchases/{purchaseId}', params: { purchaseId } }, 'captured');
      const kinds = await waitFor(
        'the notices of both',
        async () => {
          const { items } = (await call('customer-reads', { route: 'GET /notifications', token })).body;
          return items.length >= 2 && items.map(({ kind }: { kind: string }) => kind);
        },
        { timeoutMs: 60_000, lookAgainMs: 500 },
      );
      expect(kinds).toContain('reservation.allocated');
      expect(kinds.join()).toMatch(/purchased|captured/);
    });

    test('an unreadable message ends in the dead-letter queue, with its cause, and /health sees every part', async () => {
      const registry = await loadRegistry(registrySource, 'queue/purchases');
      const sqs = new SQSClient({});
      await sqs.send(new SendMessageCommand({ QueueUrl: registry['queue/purchases'], MessageBody: 'not a command' }));
      sqs.destroy();
      const operator = { email: 'operator@example.com', password: 'correct horse battery' };
      const deps = await openBed(bed);
      await seedOperator(deps, operator);
      await deps.close();
      const { accessToken: token } = (await call('login', { json: operator })).body;
      const [letter] = await waitFor(
        'the dead letter',
        async () => {
          const { items } = (await call('list-dead-letters', { token, query: { queue: 'purchases' } })).body;
          return items.length > 0 && items;
        },
        { timeoutMs: 60_000, lookAgainMs: 500 },
      );
      expect(letter).toMatchObject({ queue: 'purchases', body: 'not a command', cause: { kind: 'unreadable' } });
      expect(await call('get-health', { token })).toMatchObject({ status: 200, body: { status: 'ok' } });
    });

    test('have the environment they are declared with', async () => {
      const { Environment, Timeout, MemorySize } = await lambda.send(
        new GetFunctionConfigurationCommand({ FunctionName: `holdfast-${packagedStage}-allocate` }),
      );
      expect(Environment?.Variables).toMatchObject({ HOLDFAST_REGISTRY: registrySource, HOLDFAST_METRICS: 'emf' });
      const { timeoutSeconds, memoryMb } = declared.functions.find(({ key }) => key === 'allocate') ?? {};
      expect([Timeout, MemorySize]).toEqual([timeoutSeconds, memoryMb]);
    });
  });
}
