/**
 * What `npx serverless package` makes for an account is sound: the resources, permissions, alarms, and the
 * bundles. The rules that the makers of cfn-lint know are run where it can be installed; ours are always run.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { picturesOrigin } from '#infra/hosting.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { metrics } from '#platform/kernel/metrics.ts';
import { maxReceiveCount } from '#platform/kernel/time-limits.ts';
import { edgeHostHeader, edgeKeyHeader, edgeViewerHeader } from '#platform/security/edge.ts';
import { originsOf } from '#platform/security/origins.ts';
import { buildPages } from '#web/build.ts';
import { pageHeaders } from '#web/headers.ts';
import { lintTemplate } from '../support/cfn-lint.ts';
import { type Package, type Properties, packaged, packagedStage, packagingLimitMs } from '../support/package.ts';

let made: Package;
beforeAll(async () => {
  made = await packaged();
}, packagingLimitMs);

const declared = await readDeclared({ stage: packagedStage });
const functionKeys = declared.functions.map(({ key }) => key);

function ofType(type: string): [id: string, properties: Properties][] {
  return Object.entries(made.resources)
    .filter(([, resource]) => resource.Type === type)
    .map(([id, { Properties }]) => [id, Properties]);
}

function properties(id: string): Properties {
  const found = made.resources[id];
  if (!found) throw new Error(`the template has no ${id}`);
  return found.Properties;
}

const logicalIdIn = (value: Properties | undefined): string => value?.['Fn::GetAtt']?.[0] ?? value?.Ref ?? '';
const functionNamed = (key: string) => {
  const found = ofType('AWS::Lambda::Function').find(([, { FunctionName }]) => FunctionName === `holdfast-prod-${key}`);
  if (!found) throw new Error(`the template has no function ${key}`);
  return found[1];
};

/** The logical id of a function. */
const idOf = (key: string) =>
  Object.entries(made.resources).find(
    ([, { Type, Properties }]) =>
      Type === 'AWS::Lambda::Function' && Properties.FunctionName === `holdfast-prod-${key}`,
  )?.[0] ?? '';

interface Statement {
  Sid?: string;
  Effect: string;
  Action: string | string[];
  Resource: unknown;
  Condition?: Properties;
}
const listed = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);
const statementsOf = (role: Properties): Statement[] =>
  listed<Properties>(role.Policies).flatMap((policy) => policy.PolicyDocument.Statement as Statement[]);
const roleOf = (key: string) => properties(logicalIdIn(functionNamed(key).Role));

describe('the template', () => {
  test('passes cfn-lint', async () => {
    expect(await lintTemplate(made.templateFile)).toEqual([]);
  }, 300_000);

  test('stays below what CloudFormation takes: 500 resources and 1 MB', () => {
    expect(Object.keys(made.resources).length).toBeLessThan(490);
    expect(JSON.stringify({ Resources: made.resources }).length).toBeLessThan(800_000);
  });

  test('has one HTTP API and one WebSocket API, a function for each declared one, and nothing local', () => {
    expect(
      ofType('AWS::ApiGatewayV2::Api')
        .map(([, { ProtocolType }]) => ProtocolType)
        .sort(),
    ).toEqual(['HTTP', 'WEBSOCKET']);
    expect(ofType('AWS::Lambda::Function').map(([, { FunctionName }]) => FunctionName)).toEqual(
      functionKeys.map((key) => `holdfast-prod-${key}`),
    );
    const text = JSON.stringify(made.resources);
    expect(text).not.toMatch(/127\.0\.0\.1|localhost|000000000000|holdfast-local|AWS_ENDPOINT_URL|\.local\b/);
  });

  test('lets pages of the same origins call and connect, those of the list', () => {
    const cors = ofType('AWS::ApiGatewayV2::Api').flatMap(([, { CorsConfiguration }]) => CorsConfiguration ?? []);
    expect(cors.map(({ AllowOrigins }) => AllowOrigins)).toEqual([
      ['https://shop.example.com', 'https://www.example.com'],
    ]);
    const { HOLDFAST_ORIGINS } = functionNamed('websocket-connect').Environment.Variables;
    expect(originsOf(HOLDFAST_ORIGINS)).toEqual(cors[0].AllowOrigins);
  });

  test('retains resources that hold data', () => {
    expect(made.resources.Database).toMatchObject({
      DeletionPolicy: 'Snapshot',
      Properties: { MultiAZ: true, StorageEncrypted: true, PubliclyAccessible: false, DeletionProtection: true },
    });
    expect(properties('Database').BackupRetentionPeriod).toBeGreaterThanOrEqual(30);
    expect(properties('Redis')).toMatchObject({
      MultiAZEnabled: true,
      AutomaticFailoverEnabled: true,
      AtRestEncryptionEnabled: true,
      TransitEncryptionEnabled: true,
    });
    expect(properties('Redis').NumNodeGroups).toBeUndefined();
    expect(properties('Proxy').RequireTLS).toBe(true);
  });
});

describe('every function', () => {
  test.each(functionKeys)('%s runs as declared, traced, with logs that end', (key) => {
    const found = functionNamed(key);
    const { timeoutSeconds, memoryMb } = declared.functions.find((one) => one.key === key) ?? {};
    expect(found).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Timeout: timeoutSeconds,
      MemorySize: memoryMb,
      TracingConfig: { Mode: 'Active' },
      Environment: { Variables: { HOLDFAST_REGISTRY: 'ssm:/holdfast/prod', HOLDFAST_METRICS: 'emf' } },
    });
    const logs = ofType('AWS::Logs::LogGroup').find(
      ([, group]) => group.LogGroupName === `/aws/lambda/${found.FunctionName}`,
    );
    expect(logs?.[1].RetentionInDays).toBeGreaterThan(0);
  });

  test('has a role of its own', () => {
    const roles = functionKeys.map((key) => logicalIdIn(functionNamed(key).Role));
    expect(new Set(roles).size).toBe(functionKeys.length);
  });

  test.each(functionKeys)('%s may do what it needs on exactly what it needs', (key) => {
    for (const statement of statementsOf(roleOf(key))) {
      for (const action of listed(statement.Action)) expect(action).not.toContain('*');
      const wide = listed(statement.Resource).filter((one) => JSON.stringify(one).includes('*'));
      for (const resource of wide) expect(excused(statement, resource)).toBe(true);
    }
  });

  test.each(functionKeys)('%s may look up the names it is told of, which exist, and the secrets behind them', (key) => {
    const names = String(functionNamed(key).Environment.Variables.HOLDFAST_NAMES).split(' ').filter(Boolean);
    const statements = statementsOf(roleOf(key));
    const granted = (action: string) =>
      statements.filter(({ Action }) => listed(Action).includes(action)).flatMap(({ Resource }) => listed(Resource));
    const parameter = /:parameter\/holdfast\/prod\/(.+)$/;
    const readable = granted('ssm:GetParameters').map((one) => parameter.exec((one as Properties)['Fn::Sub'])?.[1]);
    expect(readable).toEqual(names);
    const secrets = names.flatMap((name) => {
      const value = registered(name);
      if (value === undefined) {
        expect(name).toMatch(/^(token\/verification-key|auth\/customers|limit\/[\w-]+)$/);
        return [];
      }
      return [...JSON.stringify(value).matchAll(/\{secretsmanager:\$\{(\w+)\}/g)].map(([, secret]) => secret);
    });
    const readableSecrets = granted('secretsmanager:GetSecretValue').map((one) => logicalIdIn(one as Properties));
    expect(new Set(readableSecrets)).toEqual(new Set(secrets));
  });

  test('reaches MySQL by an account of the functions, and none knows that of the master', () => {
    for (const key of functionKeys) {
      const secrets = statementsOf(roleOf(key)).filter(({ Action }) =>
        listed(Action).includes('secretsmanager:GetSecretValue'),
      );
      expect([key, JSON.stringify(secrets)]).toEqual([key, expect.not.stringContaining('DatabaseSecret')]);
    }
    expect(JSON.stringify(registered('mysql/main'))).toMatch(/FunctionsSecret\}#username.*FunctionsSecret\}#password/);
    expect(properties('Proxy').Auth).toMatchObject([{ SecretArn: { Ref: 'FunctionsSecret' } }]);
    expect(properties('Database').MasterUsername['Fn::Sub']).toContain('DatabaseSecret');
  });

  test('is invoked by our own APIs alone', () => {
    // A WebSocket function by the permission that the WebSocket API has on it; no other function lets anybody in.
    const permissions = ofType('AWS::Lambda::Permission');
    const keys = functionKeys.filter((key) => key.startsWith('websocket-'));
    expect(permissions.map(([, { FunctionName }]) => logicalIdIn(FunctionName)).sort()).toEqual(keys.map(idOf).sort());
    for (const [id, { Action, SourceArn }] of permissions) {
      expect([id, Action]).toEqual([id, 'lambda:InvokeFunction']);
      expect([id, JSON.stringify(SourceArn ?? '')]).toEqual([id, expect.stringMatching(/\$\{WebsocketsApi\}/)]);
    }
    // One behind the HTTP API by a role that API Gateway alone takes, and which may invoke exactly those that it stands before.
    const integrations = ofType('AWS::ApiGatewayV2::Integration').filter(([, { ApiId }]) => ApiId.Ref === 'HttpApi');
    const role = properties('HttpApiRole');
    expect(role.AssumeRolePolicyDocument.Statement).toEqual([
      { Effect: 'Allow', Principal: { Service: 'apigateway.amazonaws.com' }, Action: 'sts:AssumeRole' },
    ]);
    expect(statementsOf(role)).toEqual([
      {
        Effect: 'Allow',
        Action: ['lambda:InvokeFunction'],
        Resource: integrations.map(([, { IntegrationUri }]) => IntegrationUri),
      },
    ]);
    for (const [id, { CredentialsArn }] of integrations) {
      expect([id, logicalIdIn(CredentialsArn)]).toEqual([id, 'HttpApiRole']);
    }
    const behind = declared.functions.filter(({ routes }) => routes.length > 0).map(({ key }) => idOf(key));
    expect(integrations.map(([, { IntegrationUri }]) => logicalIdIn(IntegrationUri)).sort()).toEqual(behind.sort());
    for (const key of functionKeys) {
      expect([key, JSON.stringify(statementsOf(roleOf(key)))]).toEqual([
        key,
        expect.not.stringContaining('lambda:InvokeFunction'),
      ]);
    }
  });

  test('that needs a store or the outside is in the network, and reaches no further than it must', () => {
    for (const key of functionKeys) {
      const { VpcConfig: place, Environment } = functionNamed(key);
      const names = String(Environment.Variables.HOLDFAST_NAMES);
      // Endpoints of webhooks have no name in the registry.
      const outside =
        /websocket\/management|provider\/(payments|toss)|mail-url|bucket\/pictures/.test(names) || key === 'deliver';
      const subnets = outside ? /^Egress/ : /^Private/;
      if (!outside && !/mysql|redis/.test(names)) expect([key, place]).toEqual([key, undefined]);
      else expect([key, place?.SubnetIds.every((one: Properties) => subnets.test(one.Ref))]).toEqual([key, true]);
    }
  });

  test('that any customer can make ask MySQL leaves connections for the others', () => {
    const called = functionKeys.filter((key) =>
      /functions\/(http|websocket)\//.test(String(functionNamed(key).Handler)),
    );
    const asking = called.filter((key) =>
      /\bmysql\/main\b/.test(functionNamed(key).Environment.Variables.HOLDFAST_NAMES),
    );
    expect(asking.length).toBeGreaterThan(30);
    for (const key of asking) {
      const { ReservedConcurrentExecutions } = functionNamed(key);
      expect([key, ReservedConcurrentExecutions]).toEqual([key, expect.any(Number)]);
      expect(ReservedConcurrentExecutions).toBeLessThanOrEqual(1_000);
    }
  });
});

/**
 * The only statements that may name more than one thing. X-Ray knows no resources; Lambda makes network interfaces with
 * the function's role before they have ids, and the code itself is denied it; a connection gets its id when it is made, and a
 * picture its name when it is announced.
 */
function excused({ Sid, Effect, Action, Condition }: Statement, resource: unknown): boolean {
  const actions = listed(Action);
  if (Sid === 'Tracing') return actions.every((action) => /^xray:Put(TraceSegments|TelemetryRecords)$/.test(action));
  if (Sid === 'NetworkInterfaces') return actions.every((action) => action.startsWith('ec2:'));
  if (Sid === 'NotTheCodeItself') return Effect === 'Deny' && Condition?.ArnEquals !== undefined;
  const files = /^\$\{PicturesBucket\.Arn\}\/(incoming|pictures)\/\*$/;
  if (files.test((resource as Properties)['Fn::Sub'])) {
    return actions.every((action) => /^s3:(Put|Get|Delete)Object$/.test(action));
  }
  const connections = /:execute-api:.*:\$\{WebsocketsApi\}\/prod\/(POST|DELETE)\/@connections\/\*$/;
  return actions.join() === 'execute-api:ManageConnections' && connections.test((resource as Properties)['Fn::Sub']);
}

/** The value of a name of the registry, if this template gives it one. */
function registered(name: string): unknown {
  return ofType('AWS::SSM::Parameter').find(([, { Name }]) => Name === `/holdfast/prod/${name}`)?.[1].Value;
}

/** What it takes to consume a queue, besides knowing how full it is. */
const readingActions = ['sqs:ChangeMessageVisibility', 'sqs:DeleteMessage', 'sqs:ReceiveMessage'];

describe('every endpoint of an AWS service', () => {
  const endpoints = () => ofType('AWS::EC2::VPCEndpoint');

  test('lets the roles of this account do what functions do, on what belongs to this stack', () => {
    expect(endpoints()).toHaveLength(4);
    for (const [id, { PolicyDocument }] of endpoints()) {
      const statements: Properties[] = PolicyDocument?.Statement ?? [];
      expect([id, statements.length]).toEqual([id, 1]);
      const [{ Effect, Action, Resource, Condition }] = statements as [Properties];
      expect([id, Effect, Condition]).toEqual([
        ...[id, 'Allow'],
        { StringEquals: { 'aws:PrincipalAccount': { Ref: 'AWS::AccountId' } } },
      ]);
      for (const action of listed<string>(Action)) expect(action).not.toContain('*');
      for (const resource of listed(Resource)) {
        expect([id, JSON.stringify(resource)]).toEqual([
          id,
          expect.stringMatching(/holdfast|Secret|Key|MailUrl|GetAtt/),
        ]);
      }
    }
  });

  test('allows every action on that service that a role is granted', () => {
    const service: Record<string, string> = {
      sqs: 'sqs',
      events: 'events',
      ssm: 'ssm',
      secretsmanager: 'secretsmanager',
    };
    const allowed = new Set(
      endpoints().flatMap(([, { PolicyDocument }]) => listed<string>(PolicyDocument.Statement[0].Action)),
    );
    const granted = functionKeys.flatMap((key) => statementsOf(roleOf(key)).flatMap(({ Action }) => listed(Action)));
    const through = granted.filter((action) => service[action.split(':')[0] ?? ''] !== undefined);
    expect([...new Set(through)].filter((action) => !allowed.has(action))).toEqual([]);
  });
});

test('the endpoint of secrets lets through each secret that a function may read, and no other', () => {
  const [, endpoint] = ofType('AWS::EC2::VPCEndpoint').find(([id]) => id === 'SecretsEndpoint') ?? [];
  const names = (resources: unknown) => listed(resources).map((resource) => JSON.stringify(resource));
  const granted = functionKeys.flatMap((key) =>
    statementsOf(roleOf(key))
      .filter(({ Action }) => listed<string>(Action).includes('secretsmanager:GetSecretValue'))
      .flatMap(({ Resource }) => names(Resource)),
  );
  expect(granted.length).toBeGreaterThan(0);
  expect(names(endpoint?.PolicyDocument.Statement[0].Resource).sort()).toEqual([...new Set(granted)].sort());
});

describe('every queue', () => {
  const liveQueues = declared.queues.filter(({ redrive }) => redrive);

  test.each(declared.queues.map(({ logicalId }) => logicalId))(
    '%s is encrypted and keeps messages for 14 days',
    (id) => {
      expect(properties(id)).toMatchObject({ SqsManagedSseEnabled: true, MessageRetentionPeriod: 1_209_600 });
    },
  );

  test.each(liveQueues.map(({ logicalId }) => logicalId))(
    '%s has dead letters, alarms and a place in the registry',
    (id) => {
      const policy = properties(id).RedrivePolicy;
      const dead = logicalIdIn(policy.deadLetterTargetArn);
      expect(policy.maxReceiveCount).toBe(maxReceiveCount);
      expect(made.resources[dead]?.Type).toBe('AWS::SQS::Queue');
      const watched = (metric: string, queue: string) =>
        ofType('AWS::CloudWatch::Alarm').some(
          ([, { MetricName, Dimensions }]) => MetricName === metric && logicalIdIn(Dimensions?.[0]?.Value) === queue,
        );
      expect(watched('ApproximateAgeOfOldestMessage', id)).toBe(true);
      expect(watched('ApproximateNumberOfMessagesVisible', dead)).toBe(true);
      const name = liveQueues.find(({ logicalId }) => logicalId === id)?.registryName ?? '';
      expect(registered(name)).toEqual({ Ref: id });
      expect(registered(name.replace('queue/', 'dead/'))).toEqual({ Ref: dead });
    },
  );

  test('is read by its own worker alone, which may also delay a message and send it to the dead-letter queue', () => {
    for (const [, mapping] of ofType('AWS::Lambda::EventSourceMapping')) {
      const queue = logicalIdIn(mapping.EventSourceArn);
      const dead = logicalIdIn(properties(queue).RedrivePolicy.deadLetterTargetArn);
      const worker = logicalIdIn(mapping.FunctionName);
      for (const key of functionKeys) {
        const { FunctionName, Role } = functionNamed(key);
        const own = FunctionName === properties(worker).FunctionName;
        const granted = (id: string) =>
          statementsOf(properties(logicalIdIn(Role)))
            .filter(({ Resource }) => listed(Resource).some((one) => logicalIdIn(one as Properties) === id))
            .flatMap(({ Action }) => listed(Action));
        const reads = granted(queue).filter(
          (action) => !['sqs:SendMessage', 'sqs:GetQueueAttributes'].includes(action),
        );
        expect([key, queue, reads.sort()]).toEqual([key, queue, own ? readingActions : []]);
        if (!own) continue;
        expect(granted(queue)).toContain('sqs:GetQueueAttributes');
        expect([key, granted(dead)]).toEqual([key, ['sqs:SendMessage']]);
      }
    }
  });

  test('is invisible for longer than six runs of its function and the window, and is consumed as measured', () => {
    const mappings = ofType('AWS::Lambda::EventSourceMapping');
    expect(mappings).toHaveLength(liveQueues.length);
    for (const [, mapping] of mappings) {
      const queue = properties(logicalIdIn(mapping.EventSourceArn));
      const consumer = properties(logicalIdIn(mapping.FunctionName));
      const window = mapping.MaximumBatchingWindowInSeconds ?? 0;
      expect(queue.VisibilityTimeout).toBeGreaterThanOrEqual(6 * consumer.Timeout + window);
      expect(mapping.FunctionResponseTypes).toEqual(['ReportBatchItemFailures']);
      expect(mapping.ScalingConfig?.MaximumConcurrency).toBeGreaterThanOrEqual(2);
      expect(mapping.BatchSize).toBeGreaterThan(0);
    }
  });
});

describe('every rule', () => {
  test.each(declared.rules.map(({ logicalId }) => logicalId))(
    '%s retries, has dead letters, and may send to both',
    (id) => {
      const policies = ofType('AWS::SQS::QueuePolicy').map(([, policy]) => policy);
      for (const target of properties(id).Targets) {
        expect(target.RetryPolicy.MaximumRetryAttempts).toBeGreaterThan(0);
        for (const queue of [logicalIdIn(target.Arn), logicalIdIn(target.DeadLetterConfig.Arn)]) {
          const allowed = policies
            .flatMap((policy) => policy.PolicyDocument.Statement as Statement[])
            .filter(
              ({ Resource, Condition }) =>
                listed(Resource).some((one) => logicalIdIn(one as Properties) === queue) &&
                listed(Condition?.ArnEquals['aws:SourceArn']).some((one) => logicalIdIn(one as Properties) === id),
            );
          expect([queue, allowed.length]).toEqual([queue, 1]);
          expect(policies.some((policy) => policy.Queues.some((one: Properties) => one.Ref === queue))).toBe(true);
        }
      }
    },
  );
});

describe('every alarm', () => {
  test('notifies the topic, also when it is over', () => {
    const topics = ofType('AWS::SNS::Topic').map(([id]) => id);
    expect(ofType('AWS::SNS::Subscription').map(([, { TopicArn }]) => TopicArn.Ref)).toEqual(topics);
    for (const [id, { AlarmActions, OKActions, AlarmDescription }] of ofType('AWS::CloudWatch::Alarm')) {
      expect([id, AlarmActions.map((one: Properties) => one.Ref)]).toEqual([id, topics]);
      expect([id, OKActions.map((one: Properties) => one.Ref)]).toEqual([id, topics]);
      expect(AlarmDescription).toMatch(/\w/);
    }
  });

  test('that is expected exists', () => {
    const names = ofType('AWS::CloudWatch::Alarm').map(([, { AlarmName }]) => String(AlarmName));
    const ofMoney = ['payments-disputed', 'refunds-failed', 'webhooks-switched-off'];
    const ofService = ['http-5xx', 'drift', 'breaker-open', 'faults', 'throttles', 'outbox-age', 'allocate-errors'];
    for (const about of [...ofMoney, ...ofService]) {
      expect(names).toContain(`holdfast-prod-${about}`);
    }
  });

  test('and every chart of ours watches a metric that the code has', () => {
    const ours = [...JSON.stringify(made.resources).matchAll(/"Namespace":"Holdfast","MetricName":"(\w+)"/g)];
    const alarms = ofType('AWS::CloudWatch::Alarm').filter(([, { Namespace }]) => Namespace === 'Holdfast');
    const charts: unknown[][] = JSON.parse(properties('Dashboard').DashboardBody['Fn::Sub']).widgets.flatMap(
      (widget: Properties) => widget.properties.metrics,
    );
    const watched = [
      ...ours.map(([, name]) => name),
      ...alarms.map(([, { MetricName }]) => MetricName),
      ...charts.filter(([namespace]) => namespace === 'Holdfast').map(([, name]) => name),
    ];
    expect(watched.length).toBeGreaterThan(15);
    for (const name of watched) expect(Object.keys(metrics)).toContain(name);
  });

  test('and every metric is measured somewhere', () => {
    const measured = readdirSync(join(projectRoot, 'lib'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .flatMap((path) => readFileSync(join(projectRoot, 'lib', path), 'utf8').match(/\bmeasure\(\s*\{[^}]*\}/g) ?? [])
      .join();
    for (const name of Object.keys(metrics)) expect(measured).toMatch(new RegExp(`\\b${name}\\b`));
  });
});

describe('the pages', () => {
  const config = () => properties('Distribution').DistributionConfig as Properties;
  const behaviours = (): Properties[] => [
    { PathPattern: '*', ...config().DefaultCacheBehavior },
    ...config().CacheBehaviors,
  ];
  const behaviour = (path: string) => behaviours().find(({ PathPattern }) => PathPattern === path) ?? {};

  test('no bucket is public, and each is encrypted', () => {
    const buckets = ofType('AWS::S3::Bucket').filter(([id]) => id !== 'ServerlessDeploymentBucket');
    expect(buckets.length).toBeGreaterThan(0);
    for (const [id, bucket] of buckets) {
      expect([id, bucket]).toEqual([
        id,
        expect.objectContaining({
          PublicAccessBlockConfiguration: {
            BlockPublicAcls: true,
            BlockPublicPolicy: true,
            IgnorePublicAcls: true,
            RestrictPublicBuckets: true,
          },
          OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
          BucketEncryption: expect.anything(),
        }),
      ]);
      expect(bucket.AccessControl).toBeUndefined();
      expect(bucket.WebsiteConfiguration).toBeUndefined();
      expect(made.resources[id]?.DeletionPolicy).toBe('Retain');
    }
  });

  test('each bucket is read by our distribution alone, and over TLS', () => {
    for (const [id] of ofType('AWS::S3::Bucket').filter(([id]) => id !== 'ServerlessDeploymentBucket')) {
      const policies = ofType('AWS::S3::BucketPolicy').filter(([, { Bucket }]) => logicalIdIn(Bucket) === id);
      const [allowed, denied, ...more] = policies.flatMap(([, { PolicyDocument }]) => PolicyDocument.Statement);
      expect([id, policies.length, more]).toEqual([id, 1, []]);
      expect(allowed).toEqual({
        Effect: 'Allow',
        Principal: { Service: 'cloudfront.amazonaws.com' },
        Action: 's3:GetObject',
        Resource: { 'Fn::Sub': `\${${id}.Arn}/${id === 'PicturesBucket' ? 'pictures/' : ''}*` },
        Condition: {
          StringEquals: {
            'aws:SourceArn': {
              'Fn::Sub': `arn:\${AWS::Partition}:cloudfront::\${AWS::AccountId}:distribution/\${Distribution}`,
            },
          },
        },
      });
      expect(denied).toMatchObject({
        Effect: 'Deny',
        Principal: '*',
        Action: 's3:*',
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      });
    }
  });

  test('speak TLS 1.2 or later, to browsers and to the APIs', () => {
    expect(config().ViewerCertificate.MinimumProtocolVersion).toBe('TLSv1.2_2021');
    for (const { ViewerProtocolPolicy } of behaviours()) expect(ViewerProtocolPolicy).toMatch(/https/);
    const origins: Properties[] = config().Origins;
    for (const { Id, CustomOriginConfig, OriginAccessControlId } of origins) {
      if (CustomOriginConfig === undefined) {
        expect(properties(logicalIdIn(OriginAccessControlId)).OriginAccessControlConfig).toMatchObject({
          OriginAccessControlOriginType: 's3',
          SigningBehavior: 'always',
          SigningProtocol: 'sigv4',
        });
      } else {
        expect([Id, CustomOriginConfig]).toEqual([
          Id,
          { OriginProtocolPolicy: 'https-only', OriginSSLProtocols: ['TLSv1.2'] },
        ]);
      }
    }
  });

  test('come with the headers that the local server sends', () => {
    const headers = pageHeaders({ connect: [picturesOrigin] });
    for (const path of ['*', '/assets/*', '/pictures/*', '/embed/*', '/sales/*']) {
      const policy = properties(logicalIdIn(behaviour(path).ResponseHeadersPolicyId)).ResponseHeadersPolicyConfig;
      expect(policy.SecurityHeadersConfig).toMatchObject({
        ContentSecurityPolicy: {
          ContentSecurityPolicy: { 'Fn::Sub': headers['content-security-policy'] },
          Override: true,
        },
        ContentTypeOptions: { Override: true },
        ReferrerPolicy: { ReferrerPolicy: headers['referrer-policy'], Override: true },
        StrictTransportSecurity: { AccessControlMaxAgeSec: 63_072_000, Override: true },
        FrameOptions: { FrameOption: 'DENY', Override: true },
      });
    }
    expect(headers['content-security-policy']).not.toMatch(/unsafe|\*|http:/);
  });

  test('have the APIs behind their origin, and nothing of those is kept', () => {
    for (const [path, api] of [
      ['/api/*', 'HttpApi'],
      ['/prod', 'WebsocketsApi'],
    ] as const) {
      const { TargetOriginId, CachePolicyId, OriginRequestPolicyId, AllowedMethods } = behaviour(path);
      const origin: Properties = config().Origins.find(({ Id }: Properties) => Id === TargetOriginId);
      expect(origin.DomainName['Fn::Sub']).toMatch(new RegExp(`^\\$\\{${api}\\}\\.execute-api\\.`));
      // Managed-CachingDisabled, and Managed-AllViewerExceptHostHeader: API Gateway knows itself by its own host alone.
      expect([CachePolicyId, OriginRequestPolicyId]).toEqual([
        '4135ea2d-6df8-44a3-9df3-4b5a84be39ad',
        'b689b0a8-53d0-40ab-baf2-68738e2966ac',
      ]);
      expect(AllowedMethods).toEqual(expect.arrayContaining(['GET', 'POST', 'PATCH', 'DELETE']));
    }
  });

  test('prove themselves to the API with a key that only the functions know that believe them', () => {
    const { OriginCustomHeaders } = config().Origins.find(({ Id }: Properties) => Id === 'api');
    expect(OriginCustomHeaders).toEqual([
      { HeaderName: edgeKeyHeader, HeaderValue: { 'Fn::Sub': `{{resolve:secretsmanager:\${EdgeKey}}}` } },
    ]);
    expect(registered('secret/edge-key')).toEqual({ 'Fn::Sub': `{secretsmanager:\${EdgeKey}}` });
    for (const path of ['/api/*', '/sales/*']) {
      const events = behaviour(path).FunctionAssociations.map(({ EventType }: Properties) => EventType);
      expect([path, events]).toEqual([path, expect.arrayContaining(['viewer-request'])]);
    }
  });

  test('of a sale are kept by language, for as long as the function says', () => {
    const cache = properties(logicalIdIn(behaviour('/sales/*').CachePolicyId)).CachePolicyConfig;
    expect([cache.MinTTL, cache.DefaultTTL]).toEqual([0, 0]);
    expect(cache.ParametersInCacheKeyAndForwardedToOrigin).toMatchObject({
      HeadersConfig: { HeaderBehavior: 'whitelist', Headers: ['Accept-Language', edgeHostHeader] },
      CookiesConfig: { CookieBehavior: 'none' },
      QueryStringsConfig: { QueryStringBehavior: 'whitelist', QueryStrings: ['code'] },
    });
    const asked = properties(logicalIdIn(behaviour('/sales/*').OriginRequestPolicyId)).OriginRequestPolicyConfig;
    expect(asked.HeadersConfig.Headers).toEqual([edgeViewerHeader]);
  });

  test('of a sale name the scripts that are brought to the bucket', async () => {
    const shop = (await buildPages()).get('/index.html')?.body.toString() ?? '';
    const named = [...shop.matchAll(/\/assets\/[\w.-]+/g)].map(([path]) => path);
    const bundle = readFileSync(
      join(made.unpacked.get('get-sale-page') ?? '', 'functions/http/get-sale-page.mjs'),
      'utf8',
    );
    expect(named.length).toBeGreaterThan(2);
    for (const path of named) expect(bundle).toContain(path);
  });
});

describe('every bundle', () => {
  // A tenth above the largest, which docs/decisions/2026-11-29-bundles.md accounts for: a new dependency shows here first.
  // But these: the script of the page at /docs is text of 4.9 MB, which only the documents share a bundle with.
  // Where passwords are set there is a dictionary of common ones, the import of products has the tables of CP949, and the mail
  // worker speaks SMTP; who pays, or hears of payments, has the package of Stripe.
  const larger: Record<string, number> = {
    ...{ documents: 8_000_000, register: 2_200_000, 'customer-passwords': 2_200_000, mail: 2_000_000 },
    'operate-look-up': 2_400_000,
    ...{ pay: 2_100_000, 'payment-webhook': 2_100_000 },
    // They have the client of S3.
    'operate-pictures': 2_000_000,
  };
  const bytesAtMost = (key: string) => larger[key] ?? 1_800_000;
  const luaFiles = readdirSync(join(projectRoot, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.lua'))
    .map((path) => join('lib', path));

  test.each(functionKeys)('%s is one file of limited size, and the Lua scripts', (key) => {
    const folder = made.unpacked.get(key) ?? '';
    const bundle = String(functionNamed(key).Handler).replace(/\.handler$/, '.mjs');
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => relative(folder, join(parentPath, name)));
    expect(files.sort()).toEqual([bundle, ...luaFiles].sort());
    expect(statSync(join(folder, bundle)).size).toBeLessThan(bytesAtMost(key));
  });
});
