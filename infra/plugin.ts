/**
 * Completes what serverless.yml declares for a real account: from a function's `uses` its role, the names it may look up
 * and its place in the network; from queues and workers their registry entries and alarms; from the pages where they are
 * served; from all of it a dashboard. At a deployment it brings the pages there.
 *
 * Invariant: it only adds what follows from the declarations, so that no list has to be kept in step with another by hand.
 * Loaded by the Serverless Framework when it packages; the local stack never loads it.
 */
import { originsOf } from '#platform/security/origins.ts';
import { dashboardBody } from './dashboard.ts';
import { hostingOutputs, hostingResources } from './hosting.ts';
import { type Grant, grantOf, type Landscape, type Statement } from './uses.ts';

type Resource = { Type: string; Properties: Record<string, unknown> };
type Resources = Record<string, Resource>;

interface FunctionDeclaration {
  uses?: string[];
  role?: string;
  environment?: Record<string, unknown>;
  vpc?: unknown;
  events?: Record<string, unknown>[];
}

/** The part of the framework that is used here. */
interface Serverless {
  service: {
    service: string;
    functions: Record<string, FunctionDeclaration>;
    resources: { Resources: Resources; Outputs?: Record<string, unknown> };
    custom: { pages: { domain: string; certificate: string } };
    provider: {
      httpApi: { cors: { allowedOrigins: string[] } };
      compiledCloudFormationTemplate: { Resources: Resources };
    };
  };
  getProvider(name: 'aws'): {
    getStage(): string;
    getRegion(): string;
    naming: { getNormalizedFunctionName(key: string): string };
  };
  configSchemaHandler: { defineFunctionProperties(provider: string, schema: object): void };
}

export default class HoldfastPlugin {
  readonly hooks: Record<string, () => void | Promise<void>>;
  readonly #serverless: Serverless;

  constructor(serverless: Serverless) {
    this.#serverless = serverless;
    serverless.configSchemaHandler.defineFunctionProperties('aws', {
      properties: { uses: { type: 'array', items: { type: 'string' } } },
    });
    this.hooks = {
      'before:package:initialize': () => this.#complete(),
      'before:package:finalize': () => {
        const { Resources: compiled } = serverless.service.provider.compiledCloudFormationTemplate;
        invokeByRole(compiled);
        limitToWebsocketsApi(compiled);
      },
      // The new code names what pages are made of, so that is there before it; pages follow the code that they call.
      'before:aws:deploy:deploy:updateStack': () => this.#bringPages('assets'),
      'after:aws:deploy:deploy:updateStack': () => this.#bringPages('all'),
    };
  }

  async #bringPages(part: 'assets' | 'all'): Promise<void> {
    // Loaded when it is needed: packaging takes neither the SDK nor the pages.
    const { bringPages } = await import('./pages.ts');
    const provider = this.#serverless.getProvider('aws');
    await bringPages({ stage: provider.getStage(), region: provider.getRegion() }, part);
  }

  #complete(): void {
    const { service, functions, resources, custom } = this.#serverless.service;
    const { cors } = this.#serverless.service.provider.httpApi;
    cors.allowedOrigins = cors.allowedOrigins.flatMap(originsOf);
    const provider = this.#serverless.getProvider('aws');
    const stage = provider.getStage();
    const landscape: Landscape = { stage, queues: queuesIn(resources.Resources, `${service}-${stage}-`) };
    Object.assign(resources.Resources, hostingResources({ stage, ...custom.pages }));
    resources.Outputs = { ...resources.Outputs, ...hostingOutputs() };
    const workers: string[] = [];
    for (const [key, declared] of Object.entries(functions)) {
      const id = provider.naming.getNormalizedFunctionName(key);
      const name = `${service}-${stage}-${key}`;
      const consumed = queuesConsumed(declared, landscape);
      const uses = [...(declared.uses ?? []), ...consumed.map((queue) => `consume:${queue}`)];
      const grants = uses.map((word) => grantOf(word, landscape));
      const names = [...new Set(grants.flatMap((grant) => grant.names))].sort();
      declared.role = `${id}Role`;
      declared.environment = { ...declared.environment, HOLDFAST_NAMES: names.join(' '), HOLDFAST_METRICS: 'emf' };
      const vpc = placeOf(grants);
      if (vpc) declared.vpc = vpc;
      resources.Resources[declared.role] = roleOf(name, stage, `${id}LogGroup`, names, grants);
      if (consumed.length > 0) {
        workers.push(name);
        Object.assign(resources.Resources, workerAlarms(id, name));
      }
    }
    for (const [name, { queue, dead }] of landscape.queues) {
      Object.assign(
        resources.Resources,
        registryEntries(name, queue, dead, stage),
        queueAlarms(name, queue, dead, stage),
      );
    }
    resources.Resources.Dashboard = {
      Type: 'AWS::CloudWatch::Dashboard',
      Properties: {
        DashboardName: `${service}-${stage}`,
        DashboardBody: { 'Fn::Sub': dashboardBody(service, stage, [...landscape.queues.keys()], workers) },
      },
    };
  }
}

/**
 * The framework gives each function behind the HTTP API a permission for it. A template holds at most 500 resources, so the API
 * gets a role instead, which may invoke exactly these functions.
 */
function invokeByRole(resources: Resources): void {
  const functions: unknown[] = [];
  for (const [id, { Type, Properties }] of Object.entries(resources)) {
    if (Type === 'AWS::ApiGatewayV2::Integration' && (Properties.ApiId as { Ref: string }).Ref === 'HttpApi') {
      functions.push(Properties.IntegrationUri);
      Properties.CredentialsArn = arnOf('HttpApiRole');
    }
    if (Type === 'AWS::Lambda::Permission' && JSON.stringify(Properties.SourceArn ?? '').includes('"HttpApi"')) {
      delete resources[id];
    }
  }
  resources.HttpApiRole = {
    Type: 'AWS::IAM::Role',
    Properties: {
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { Service: 'apigateway.amazonaws.com' }, Action: 'sts:AssumeRole' }],
      },
      Policies: [
        {
          PolicyName: 'invoke',
          PolicyDocument: {
            Version: '2012-10-17',
            Statement: [{ Effect: 'Allow', Action: ['lambda:InvokeFunction'], Resource: functions }],
          },
        },
      ],
    },
  };
}

/** The framework lets any API invoke a WebSocket function; this limits it to the stack's own API. */
function limitToWebsocketsApi(resources: Resources): void {
  for (const { Type, Properties } of Object.values(resources)) {
    if (Type !== 'AWS::Lambda::Permission') continue;
    Properties.SourceArn ??= inAccount(`arn:execute-api:\${AWS::Region}:\${AWS::AccountId}:\${WebsocketsApi}/*`);
  }
}

/** The queues that have dead letters, by their short names. */
function queuesIn(resources: Resources, stem: string): Landscape['queues'] {
  const queues = new Map<string, { queue: string; dead: string }>();
  for (const [logicalId, { Type, Properties }] of Object.entries(resources)) {
    const policy = Properties?.RedrivePolicy as { deadLetterTargetArn: { 'Fn::GetAtt': string[] } } | undefined;
    const dead = policy?.deadLetterTargetArn['Fn::GetAtt'][0];
    if (Type !== 'AWS::SQS::Queue' || dead === undefined) continue;
    queues.set(String(Properties.QueueName).slice(stem.length), { queue: logicalId, dead });
  }
  return queues;
}

function queuesConsumed(declared: FunctionDeclaration, { queues }: Landscape): string[] {
  const arns = (declared.events ?? []).flatMap(({ sqs }) => (sqs as { arn?: { 'Fn::GetAtt'?: string[] } })?.arn ?? []);
  const logicalIds = arns.map((arn) => arn['Fn::GetAtt']?.[0]);
  return [...queues].filter(([, { queue }]) => logicalIds.includes(queue)).map(([name]) => name);
}

/** Where a function runs: in the egress subnets if it calls an external service, in the private ones if it needs a store. */
function placeOf(grants: Grant[]): unknown {
  const outside = grants.some((grant) => grant.outside);
  if (!outside && !grants.some((grant) => grant.vpc)) return undefined;
  const kind = outside ? 'Egress' : 'Private';
  return {
    securityGroupIds: [{ Ref: 'FunctionsGroup' }, ...(outside ? [{ Ref: 'OutsideGroup' }] : [])],
    subnetIds: [{ Ref: `${kind}SubnetA` }, { Ref: `${kind}SubnetB` }],
  };
}

const inAccount = (text: string) => ({ 'Fn::Sub': text.replace(/^arn:/, `arn:\${AWS::Partition}:`) });

/** A role of this function alone. */
function roleOf(name: string, stage: string, logGroup: string, names: string[], grants: Grant[]): Resource {
  const functionArn = inAccount(`arn:lambda:\${AWS::Region}:\${AWS::AccountId}:function:${name}`);
  const inVpc = placeOf(grants) !== undefined;
  const statements: (Statement & { Sid?: string })[] = [
    { Effect: 'Allow', Action: ['logs:CreateLogStream', 'logs:PutLogEvents'], Resource: arnOf(logGroup) },
    // X-Ray has no resource that these could be limited to.
    { Sid: 'Tracing', Effect: 'Allow', Action: ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'], Resource: '*' },
    ...(names.length > 0
      ? [
          {
            Effect: 'Allow' as const,
            Action: ['ssm:GetParameters'],
            Resource: names.map((one) =>
              inAccount(`arn:ssm:\${AWS::Region}:\${AWS::AccountId}:parameter/holdfast/${stage}/${one}`),
            ),
          },
        ]
      : []),
    ...grants.flatMap((grant) => grant.statements),
    ...(inVpc ? networkInterfaces(functionArn) : []),
  ];
  return {
    Type: 'AWS::IAM::Role',
    Properties: {
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }],
      },
      Policies: [{ PolicyName: name, PolicyDocument: { Version: '2012-10-17', Statement: statements } }],
    },
  };
}

/**
 * Lambda itself makes a function's network interfaces, with the function's role and before there is anything to name: the
 * describing actions know no resources, and Lambda refuses a role that may not make interfaces of any id. So the role may,
 * and the function's own code may not.
 */
function networkInterfaces(functionArn: unknown): (Statement & { Sid: string })[] {
  const Action = [
    'ec2:CreateNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:DeleteNetworkInterface',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ];
  return [
    { Sid: 'NetworkInterfaces', Effect: 'Allow', Action, Resource: '*' },
    {
      Sid: 'NotTheCodeItself',
      Effect: 'Deny',
      Action,
      Resource: '*',
      Condition: { ArnEquals: { 'lambda:SourceFunctionArn': functionArn } },
    },
  ];
}

/** `queue/<name>` and `dead/<name>` for discovery. */
function registryEntries(name: string, queue: string, dead: string, stage: string): Resources {
  const entry = (path: string, logicalId: string): Resource => ({
    Type: 'AWS::SSM::Parameter',
    Properties: { Name: `/holdfast/${stage}/${path}`, Type: 'String', Value: { Ref: logicalId } },
  });
  return { [`${queue}Name`]: entry(`queue/${name}`, queue), [`${dead}Name`]: entry(`dead/${name}`, dead) };
}

/** The age of a queue's oldest message that raises an alarm, seconds. */
const oldestMessageSeconds: Record<string, number> = { reservations: 60, purchases: 300, notifications: 300 };
const oldestMessageOtherwiseSeconds = 600;

function queueAlarms(name: string, queue: string, dead: string, stage: string): Resources {
  const oldest = oldestMessageSeconds[name] ?? oldestMessageOtherwiseSeconds;
  return {
    [`${dead}Alarm`]: alarm({
      AlarmName: `holdfast-${stage}-${name}-dead-letters`,
      AlarmDescription: `A message of the queue ${name} was given up`,
      Namespace: 'AWS/SQS',
      MetricName: 'ApproximateNumberOfMessagesVisible',
      Dimensions: [{ Name: 'QueueName', Value: { 'Fn::GetAtt': [dead, 'QueueName'] } }],
      Statistic: 'Maximum',
      EvaluationPeriods: 1,
      Threshold: 0,
    }),
    [`${queue}AgeAlarm`]: alarm({
      AlarmName: `holdfast-${stage}-${name}-oldest-message`,
      AlarmDescription: `A message of the queue ${name} has waited for more than ${oldest} seconds`,
      Namespace: 'AWS/SQS',
      MetricName: 'ApproximateAgeOfOldestMessage',
      Dimensions: [{ Name: 'QueueName', Value: { 'Fn::GetAtt': [queue, 'QueueName'] } }],
      Statistic: 'Maximum',
      EvaluationPeriods: 2,
      Threshold: oldest,
    }),
  };
}

function workerAlarms(id: string, name: string): Resources {
  return {
    [`${id}ErrorsAlarm`]: alarm({
      AlarmName: `${name}-errors`,
      AlarmDescription: `The worker ${name} was killed or ran out of time; its messages are delivered again`,
      Namespace: 'AWS/Lambda',
      MetricName: 'Errors',
      Dimensions: [{ Name: 'FunctionName', Value: name }],
      Statistic: 'Sum',
      EvaluationPeriods: 2,
      Threshold: 0,
    }),
  };
}

function alarm(properties: Record<string, unknown>): Resource {
  return {
    Type: 'AWS::CloudWatch::Alarm',
    Properties: {
      ...properties,
      Period: 60,
      ComparisonOperator: 'GreaterThanThreshold',
      TreatMissingData: 'notBreaching',
      AlarmActions: [{ Ref: 'AlarmTopic' }],
      OKActions: [{ Ref: 'AlarmTopic' }],
    },
  };
}

function arnOf(logicalId: string): unknown {
  return { 'Fn::GetAtt': [logicalId, 'Arn'] };
}
