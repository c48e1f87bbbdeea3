// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of CloudFormation look like template strings.
/**
 * The dashboard: a launch on one page, from HTTP requests down to the stores.
 * Called by the plugin; `${…}` in the result is for CloudFormation's Sub.
 */

interface Widget {
  title: string;
  metrics: unknown[][];
  stat?: string;
  stacked?: boolean;
}

const widgetsPerRow = 3;
const widgetWidth = 8;
const widgetHeight = 6;

/** The dashboard's body as JSON. */
export function dashboardBody(service: string, stage: string, queues: string[], workers: string[]): string {
  const api = ['ApiId', '${HttpApi}'];
  const ours = (metric: string, options: object = {}) => ['Holdfast', metric, 'Stage', stage, options];
  const ofQueue = (metric: string, queue: string, options: object = {}) => [
    'Holdfast',
    metric,
    'Stage',
    stage,
    'Queue',
    queue,
    { label: queue, ...options },
  ];
  const sqs = (metric: string, queue: string) => [
    'AWS/SQS',
    metric,
    'QueueName',
    `${service}-${stage}-${queue}`,
    { label: queue },
  ];
  const database = ['DBInstanceIdentifier', '${Database}'];
  const proxy = ['ProxyName', '${Proxy}'];
  const redis = ['CacheClusterId', '${Redis}-001'];

  const widgets: Widget[] = [
    {
      title: 'HTTP requests a minute',
      metrics: [
        ['AWS/ApiGateway', 'Count', ...api],
        ['AWS/ApiGateway', '4xx', ...api],
        ['AWS/ApiGateway', '5xx', ...api],
      ],
      stat: 'Sum',
    },
    {
      title: 'HTTP latency, ms',
      metrics: ['p50', 'p99'].map((stat) => ['AWS/ApiGateway', 'Latency', ...api, { stat, label: stat }]),
    },
    {
      title: 'Requests by outcome, as the functions count them',
      metrics: [ours('Requests'), ours('Refusals'), ours('RequestFaults')],
      stat: 'Sum',
    },
    { title: 'Messages processed', metrics: queues.map((queue) => ofQueue('Messages', queue)), stat: 'Sum' },
    {
      title: 'Messages to be delivered again',
      metrics: queues.map((queue) => ofQueue('MessagesRepeated', queue)),
      stat: 'Sum',
    },
    {
      title: 'Message age on receipt, ms',
      metrics: queues.map((queue) => ofQueue('OldestMessageAgeMs', queue)),
      stat: 'Maximum',
    },
    {
      title: 'Waiting messages',
      metrics: queues.map((queue) => sqs('ApproximateNumberOfMessagesVisible', queue)),
      stat: 'Maximum',
      stacked: true,
    },
    {
      title: 'Oldest message, seconds',
      metrics: queues.map((queue) => sqs('ApproximateAgeOfOldestMessage', queue)),
      stat: 'Maximum',
    },
    {
      title: 'Dead letters',
      metrics: queues.map((queue) => sqs('ApproximateNumberOfMessagesVisible', `${queue}-dead`)),
      stat: 'Maximum',
    },
    {
      title: 'Batch duration, ms',
      metrics: queues.map((queue) => ofQueue('BatchMs', queue, { stat: 'p99' })),
    },
    {
      title: 'Drift, breakers, outbox',
      metrics: [
        ours('Drifts', { stat: 'Sum' }),
        ours('BreakersOpened', { stat: 'Sum' }),
        ours('OutboxOldestMs', { stat: 'Maximum', yAxis: 'right' }),
      ],
    },
    {
      title: 'Webhooks a minute',
      metrics: [ours('WebhooksDelivered'), ours('WebhooksFailed'), ours('WebhooksSwitchedOff', { yAxis: 'right' })],
      stat: 'Sum',
    },
    {
      title: 'Lambda',
      metrics: [
        ['AWS/Lambda', 'ConcurrentExecutions', { stat: 'Maximum' }],
        ['AWS/Lambda', 'Throttles', { stat: 'Sum', yAxis: 'right' }],
        ...workers.map((name) => ['AWS/Lambda', 'Errors', 'FunctionName', name, { stat: 'Sum', yAxis: 'right' }]),
      ],
    },
    {
      title: 'MySQL',
      metrics: [
        ['AWS/RDS', 'CPUUtilization', ...database],
        ['AWS/RDS', 'WriteIOPS', ...database, { yAxis: 'right' }],
        ['AWS/RDS', 'CommitLatency', ...database, { yAxis: 'right' }],
      ],
    },
    {
      title: 'Connections',
      metrics: [
        ['AWS/RDS', 'DatabaseConnections', ...database, { stat: 'Maximum' }],
        ['AWS/RDS', 'ClientConnections', ...proxy, { stat: 'Maximum' }],
        ['AWS/RDS', 'DatabaseConnectionsCurrentlySessionPinned', ...proxy, { stat: 'Maximum' }],
      ],
    },
    {
      title: 'Redis',
      metrics: [
        ['AWS/ElastiCache', 'EngineCPUUtilization', ...redis],
        ['AWS/ElastiCache', 'DatabaseMemoryUsagePercentage', ...redis],
        ['AWS/ElastiCache', 'CurrConnections', ...redis, { yAxis: 'right' }],
      ],
    },
  ];

  return JSON.stringify({
    widgets: widgets.map(({ title, metrics, stat = 'Average', stacked = false }, index) => ({
      type: 'metric',
      x: (index % widgetsPerRow) * widgetWidth,
      y: Math.floor(index / widgetsPerRow) * widgetHeight,
      width: widgetWidth,
      height: widgetHeight,
      properties: { title, metrics, stat, stacked, period: 60, region: '${AWS::Region}', view: 'timeSeries' },
    })),
  });
}
