// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of serverless.yml look like template strings.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotEmulated, readDeclared } from './serverless-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'));

function read(yaml: string) {
  const file = join(folder, 'serverless.yml');
  writeFileSync(file, yaml);
  return readDeclared({ file, stage: 'local' });
}

const head = 'service: shop\nprovider: { name: aws }\n';

const queues = `
resources:
  - Resources:
      OrdersQueue:
        Type: AWS::SQS::Queue
        Properties:
          QueueName: shop-\${sls:stage}-orders
          VisibilityTimeout: 60
          RedrivePolicy: { deadLetterTargetArn: !GetAtt OrdersDead.Arn, maxReceiveCount: 5 }
      OrdersDead:
        Type: AWS::SQS::Queue
        Properties: { QueueName: 'shop-\${sls:stage}-orders-dead' }
      Bus: { Type: AWS::Events::EventBus, Properties: { Name: shop-bus } }
`;

const withFunction = (sqs: string) => `
service: shop
provider: { name: aws, timeout: 7, environment: { A: one, B: !Ref OrdersQueue } }
functions:
  take:
    handler: functions/take.handler
    environment: { C: '\${param:colour}' }
    events:
      - sqs: ${sqs}
params: { default: { colour: red }, local: { colour: green } }
${queues}`;

const withEvents = (events: string) => `${head}functions: { f: { handler: a.b, events: ${events} } }`;

const withResource = (resource: string) => `${head}resources: [{ Resources: { R: ${resource} } }]`;

const withRule = (properties: string) => `${head}${queues}
      Rule:
        Type: AWS::Events::Rule
        Properties: ${properties}
`;

const targets = '[{ Id: t, Arn: !GetAtt OrdersQueue.Arn, DeadLetterConfig: { Arn: !GetAtt OrdersDead.Arn } }]';

test('queues have their names in the stage and in the registry, their attributes and their dead-letter queues', async () => {
  expect((await read(head + queues)).queues).toEqual([
    {
      logicalId: 'OrdersQueue',
      name: 'shop-local-orders',
      registryName: 'queue/orders',
      attributes: { VisibilityTimeout: '60' },
      redrive: { deadLetters: 'OrdersDead', maxReceiveCount: 5 },
    },
    { logicalId: 'OrdersDead', name: 'shop-local-orders-dead', registryName: 'dead/orders', attributes: {} },
  ]);
});

describe('functions', () => {
  test('have their mapping, their settings with defaults, and only the variables that are known here', async () => {
    const { functions } = await read(
      withFunction(
        '{ arn: !GetAtt OrdersQueue.Arn, batchSize: 100, maximumBatchingWindow: 1, maximumConcurrency: 2, functionResponseType: ReportBatchItemFailures }',
      ),
    );
    expect(functions).toEqual([
      {
        key: 'take',
        name: 'shop-local-take',
        handler: 'functions/take.handler',
        timeoutSeconds: 7,
        memoryMb: 1024,
        environment: { A: 'one', C: 'green' },
        routes: [],
        websocketRoutes: [],
        mappings: [
          {
            queue: 'OrdersQueue',
            batchSize: 100,
            batchingWindowSeconds: 1,
            maximumConcurrency: 2,
            reportsBatchItemFailures: true,
            enabled: true,
          },
        ],
      },
    ]);
  });

  test('have their routes', async () => {
    const { functions } = await read(
      withEvents("[{ httpApi: 'POST /sales/{id}' }, { websocket: { route: $connect } }]"),
    );
    expect(functions[0]?.routes).toEqual([{ method: 'POST', path: '/sales/{id}' }]);
    expect(functions[0]?.websocketRoutes).toEqual(['$connect']);
  });
});

describe('rules', () => {
  test('have their bus, pattern and targets', async () => {
    const { rules } = await read(
      withRule(`{ Name: r, EventBusName: !Ref Bus, EventPattern: { source: [shop] }, Targets: ${targets} }`),
    );
    expect(rules).toEqual([
      {
        logicalId: 'Rule',
        name: 'r',
        bus: 'Bus',
        enabled: true,
        pattern: { source: ['shop'] },
        targets: [{ id: 't', queue: 'OrdersQueue', deadLetters: 'OrdersDead' }],
      },
    ]);
  });

  test('on a schedule are on the default bus', async () => {
    const { rules } = await read(withRule(`{ Name: r, ScheduleExpression: rate(1 minute), Targets: ${targets} }`));
    expect(rules[0]).toMatchObject({ schedule: 'rate(1 minute)', bus: undefined });
  });
});

describe('a variable that needs an account', () => {
  test('is refused where the local stack needs its value', async () => {
    const yaml = `${head}functions: { f: { handler: a.b, environment: { X: '\${ssm:/secret}' } } }`;
    await expect(read(yaml)).rejects.toThrow('functions.0.environment.X: ${ssm:/secret} cannot be resolved locally');
  });

  test('may stand where it does not', async () => {
    await expect(read(`${head}custom: { secret: '\${ssm:/secret}' }`)).resolves.toMatchObject({ service: 'shop' });
  });
});

describe('what is not emulated is refused, with its place', () => {
  test.each([
    [
      'a filter on a mapping',
      withFunction('{ arn: !GetAtt OrdersQueue.Arn, filterPatterns: [] }'),
      'functions.take.events.0.sqs.filterPatterns',
    ],
    [
      'a large batch without a window',
      withFunction('{ arn: !GetAtt OrdersQueue.Arn, batchSize: 11 }'),
      'maximumBatchingWindow',
    ],
    [
      'a concurrency below two',
      withFunction('{ arn: !GetAtt OrdersQueue.Arn, maximumConcurrency: 1 }'),
      'maximumConcurrency',
    ],
    ['a queue of another stack', withFunction('{ arn: arn:aws:sqs:us-east-1:1:other }'), 'functions.take.events.0'],
    ['a queue that is not declared', withFunction('{ arn: !GetAtt Other.Arn }'), 'functions.take'],
    ['a FIFO queue', withResource('{ Type: AWS::SQS::Queue, Properties: { QueueName: a.fifo } }'), 'FIFO'],
    [
      'an unknown queue property',
      withResource('{ Type: AWS::SQS::Queue, Properties: { QueueName: q, Colour: red } }'),
      'resources.R.Properties.Colour',
    ],
    [
      'a resource with a condition',
      withResource('{ Type: AWS::SQS::Queue, Condition: IsLive, Properties: { QueueName: q } }'),
      'resources.R.Condition',
    ],
    ['a schedule event', withEvents('[{ schedule: rate(1 minute) }]'), 'functions.f.events.0.schedule'],
    [
      'a rule with an unknown target property',
      withRule(
        '{ Name: r, ScheduleExpression: rate(1 minute), Targets: [{ Id: t, Arn: !GetAtt OrdersQueue.Arn, InputPath: $.detail }] }',
      ),
      'InputPath',
    ],
    [
      'a rule that targets something else',
      withRule('{ Name: r, ScheduleExpression: rate(1 minute), Targets: [{ Id: t, Arn: !GetAtt Bus.Arn }] }'),
      'Bus is not a queue',
    ],
    [
      'a schedule on a custom bus',
      withRule(`{ Name: r, EventBusName: !Ref Bus, ScheduleExpression: rate(1 minute), Targets: ${targets} }`),
      'default event bus',
    ],
    ['a rule without pattern and schedule', withRule(`{ Name: r, Targets: ${targets} }`), 'pattern or a schedule'],
    ['a scheduler schedule', withResource('{ Type: AWS::Scheduler::Schedule }'), 'AWS::Scheduler::Schedule'],
  ])('%s', async (_, yaml, place) => {
    const reading = read(yaml);
    await expect(reading).rejects.toThrow(NotEmulated);
    await expect(reading).rejects.toThrow(place);
  });
});

test("the project's own declarations are emulated", async () => {
  const declared = await readDeclared();
  expect(declared.queues.length).toBeGreaterThan(0);
  for (const queue of declared.queues) {
    expect(queue.registryName.startsWith('dead/')).toBe(queue.redrive === undefined);
  }
});
