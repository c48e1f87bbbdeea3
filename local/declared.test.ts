// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of serverless.yml look like template strings.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotEmulated, readDeclared } from './declared.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-declared-'));

function read(yaml: string, files: Record<string, string> = {}, env: NodeJS.ProcessEnv = {}) {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const file = join(folder, 'serverless.yml');
  writeFileSync(file, yaml);
  return readDeclared({ file, stage: 'local', env });
}

const QUEUES = `
resources:
  Resources:
    OrdersQueue:
      Type: AWS::SQS::Queue
      Properties:
        QueueName: shop-\${sls:stage}-orders
        VisibilityTimeout: 60
        RedrivePolicy: { deadLetterTargetArn: !GetAtt OrdersDead.Arn, maxReceiveCount: 5 }
    OrdersDead:
      Type: AWS::SQS::Queue
      Properties: { QueueName: !Sub 'shop-\${sls:stage}-orders-dead' }
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
${QUEUES}`;

const withRule = (properties: string) => `
service: shop
${QUEUES}
    Rule:
      Type: AWS::Events::Rule
      Properties: ${properties}
`;

const TARGET = '[{ Id: t, Arn: !GetAtt OrdersQueue.Arn, DeadLetterConfig: { Arn: !GetAtt OrdersDead.Arn } }]';

describe('queues', () => {
  test('have their names in the stage and in the registry, their attributes and their dead letters', () => {
    expect(read(`service: shop\n${QUEUES}`).queues).toEqual([
      {
        logicalId: 'OrdersQueue',
        name: 'shop-local-orders',
        registryName: 'queue/orders',
        attributes: { VisibilityTimeout: '60' },
        redrive: { deadLetters: 'OrdersDead', maxReceiveCount: 5 },
      },
      {
        logicalId: 'OrdersDead',
        name: 'shop-local-orders-dead',
        registryName: 'dead/orders',
        attributes: {},
        redrive: undefined,
      },
    ]);
  });
});

describe('functions', () => {
  test('have their mapping, their settings with defaults, and only the variables that are known here', () => {
    const [take] = read(
      withFunction(
        '{ arn: !GetAtt OrdersQueue.Arn, batchSize: 100, maximumBatchingWindow: 1, maximumConcurrency: 2, functionResponseType: ReportBatchItemFailures }',
      ),
    ).functions;
    expect(take).toEqual({
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
    });
  });

  test('may name a queue alone', () => {
    expect(read(withFunction('!GetAtt OrdersQueue.Arn')).functions[0]?.mappings[0]).toMatchObject({
      queue: 'OrdersQueue',
      batchSize: 10,
      batchingWindowSeconds: 0,
      reportsBatchItemFailures: false,
    });
  });

  test('have their routes', () => {
    const declared = read(`
service: shop
functions:
  a:
    handler: a.handler
    events:
      - httpApi: 'POST /sales/{id}'
      - httpApi: { method: get, path: /me }
      - websocket: { route: $connect }
`);
    expect(declared.functions[0]?.routes).toEqual([
      { method: 'POST', path: '/sales/{id}' },
      { method: 'GET', path: '/me' },
    ]);
    expect(declared.functions[0]?.websocketRoutes).toEqual(['$connect']);
  });
});

describe('variables', () => {
  const variable = (value: string, rest = '', env: NodeJS.ProcessEnv = {}) =>
    read(
      `service: shop\nfunctions:\n  f:\n    handler: a.b\n    environment: { X: ${value} }\n${rest}`,
      { 'part.yml': 'inner: { deep: from-file }' },
      env,
    ).functions[0]?.environment.X;

  test.each([
    ["'${sls:stage}'", 'local'],
    ['\'${opt:stage, "dev"}-x\'', 'local-x'],
    ['\'${opt:other, "dev"}\'', 'dev'],
    ["'${opt:other, 5}'", '5'],
    ["'${aws:region}'", 'us-east-1'],
    ["'${env:COLOUR}'", 'blue'],
    ["'${self:custom.a.b}'", 'seen'],
    ["'${self:custom.${sls:stage}}'", 'nested'],
    ["'${self:custom.none, ''}x'", 'x'],
    ["'${file(part.yml):inner.deep}'", 'from-file'],
  ])('%s is %s', (value, expected) => {
    const quoted = value.replaceAll("''}", '""}');
    const custom = 'custom: { a: { b: seen }, local: nested }';
    expect(variable(quoted, custom, { COLOUR: 'blue' })).toBe(expected);
  });

  test.each([
    ['a source that needs an account', "'${ssm:/secret}'"],
    ['one without a value', "'${self:custom.missing}'"],
    ['one that refers to itself', "'${self:custom.loop}'"],
  ])('%s is refused', (_, value) => {
    expect(() => variable(value, "custom: { loop: '${self:custom.loop}' }")).toThrow(NotEmulated);
  });

  test('are not looked at where nothing local needs them', () => {
    expect(() => read(`service: shop\nprovider: { name: aws, vpc: '\${ssm:/vpc}' }\n${QUEUES}`)).not.toThrow();
  });
});

describe('rules', () => {
  test('have their bus, pattern and targets', () => {
    const [rule] = read(
      withRule(
        `{ Name: r, EventBusName: !Ref Bus, EventPattern: { source: [shop], detail: { n: [{ numeric: ['>', 1] }] } }, Targets: ${TARGET} }`,
      ),
    ).rules;
    expect(rule).toEqual({
      logicalId: 'Rule',
      name: 'r',
      bus: 'Bus',
      enabled: true,
      pattern: { source: ['shop'], detail: { n: [{ numeric: ['>', 1] }] } },
      targets: [{ id: 't', queue: 'OrdersQueue', deadLetters: 'OrdersDead' }],
    });
  });

  test('on a schedule are on the default bus', () => {
    const [rule] = read(withRule(`{ ScheduleExpression: rate(1 minute), Targets: ${TARGET} }`)).rules;
    expect(rule).toMatchObject({ schedule: 'rate(1 minute)', bus: undefined });
  });
});

describe('what is not emulated is refused, with its place', () => {
  test.each([
    [
      'a filter on a mapping',
      withFunction('{ arn: !GetAtt OrdersQueue.Arn, filterPatterns: [] }'),
      'functions.take.events[0].filterPatterns',
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
    ['a queue of another stack', withFunction('arn:aws:sqs:us-east-1:1:other'), 'functions.take.events[0]'],
    [
      'a FIFO queue',
      `service: shop\nresources: { Resources: { Q: { Type: AWS::SQS::Queue, Properties: { QueueName: a.fifo } } } }`,
      'FIFO',
    ],
    [
      'an unknown queue property',
      `service: shop\nresources: { Resources: { Q: { Type: AWS::SQS::Queue, Properties: { Colour: red } } } }`,
      'resources.Q.Colour',
    ],
    [
      'a resource with a condition',
      `service: shop\nresources: { Resources: { Q: { Type: AWS::SQS::Queue, Condition: IsLive } } }`,
      'resources.Q.Condition',
    ],
    [
      'a schedule event',
      `service: shop\nfunctions: { f: { handler: a.b, events: [{ schedule: rate(1 minute) }] } }`,
      '"schedule"',
    ],
    [
      'a rule with an unknown target property',
      withRule(
        '{ ScheduleExpression: rate(1 minute), Targets: [{ Id: t, Arn: !GetAtt OrdersQueue.Arn, HttpParameters: {} }] }',
      ),
      'HttpParameters',
    ],
    [
      'a rule that targets something else',
      withRule('{ ScheduleExpression: rate(1 minute), Targets: [{ Id: t, Arn: !GetAtt Bus.Arn }] }'),
      'Bus is not a queue',
    ],
    [
      'a schedule on a custom bus',
      withRule(`{ EventBusName: !Ref Bus, ScheduleExpression: rate(1 minute), Targets: ${TARGET} }`),
      'default event bus',
    ],
    ['a rule without pattern and schedule', withRule(`{ Targets: ${TARGET} }`), 'pattern or a schedule'],
    [
      'a scheduler schedule',
      `service: shop\nresources: { Resources: { S: { Type: AWS::Scheduler::Schedule } } }`,
      'AWS::Scheduler::Schedule',
    ],
  ])('%s', (_, yaml, place) => {
    expect(() => read(yaml)).toThrow(place);
  });
});

test("the project's own declarations are understood", () => {
  const declared = readDeclared();
  expect(declared.queues.length).toBeGreaterThan(0);
  for (const queue of declared.queues) {
    expect(queue.registryName.startsWith('dead/')).toBe(queue.redrive === undefined);
  }
});
