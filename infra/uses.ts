/**
 * What a function may do: the words that serverless.yml lists under a function's `uses`, and what each of them stands for
 * in an account: the names the function may look up, the statements of its role, and the subnets it lives in.
 *
 * Invariant: nothing else grants a function anything, so the list beside a handler is all there is to know about its
 * power. Called by the plugin that completes the template and by the contract test, which holds the words against what
 * the function's code does.
 */

/** An IAM statement on exact resources. */
export interface Statement {
  Effect: 'Allow' | 'Deny';
  Action: string[];
  Resource: unknown;
  Condition?: unknown;
}

/** What a word stands for. */
export interface Grant {
  /** Logical names that may be looked up in the registry. */
  names: string[];
  statements: Statement[];
  /** Needs a network interface in the VPC. */
  vpc?: boolean;
  /** Calls a service outside AWS, or one for which the VPC has no endpoint. */
  outside?: boolean;
}

/** What the template has to grant access to. */
export interface Landscape {
  stage: string;
  /** Queues by their short name: logical ids of the queue and of its dead letters. */
  queues: ReadonlyMap<string, { queue: string; dead: string }>;
}

const allow = (actions: string[], ...resources: unknown[]): Statement => ({
  Effect: 'Allow',
  Action: actions,
  Resource: resources.length === 1 ? resources[0] : resources,
});
const arnOf = (logicalId: string) => ({ 'Fn::GetAtt': [logicalId, 'Arn'] });
/** The secret that a name's value refers to; reading the name is useless without it. */
const secret = (logicalId: string) => allow(['secretsmanager:GetSecretValue'], { Ref: logicalId });

/** The words that take no argument. */
const plain: Record<string, (landscape: Landscape) => Grant> = {
  mysql: () => ({ names: ['mysql/main'], statements: [secret('FunctionsSecret')], vpc: true }),
  redis: () => ({ names: ['redis/main'], statements: [secret('RedisSecret')], vpc: true }),
  bus: () => ({ names: ['bus/main'], statements: [allow(['events:PutEvents'], arnOf('Bus'))] }),
  'bus:probe': () => ({ names: ['bus/main'], statements: [allow(['events:DescribeEventBus'], arnOf('Bus'))] }),
  websocket: ({ stage }) => ({
    names: ['websocket/management'],
    statements: [
      // A connection's id is made when somebody connects, so the last part of the ARN cannot be known here.
      ...['POST', 'DELETE'].map((method) =>
        allow(['execute-api:ManageConnections'], {
          'Fn::Sub': `arn:\${AWS::Partition}:execute-api:\${AWS::Region}:\${AWS::AccountId}:\${WebsocketsApi}/${stage}/${method}/@connections/*`,
        }),
      ),
    ],
    outside: true,
  }),
  payments: () => ({
    names: ['provider/payments', 'secret/payment-api-key', 'provider/stripe', 'provider/toss'],
    statements: [secret('PaymentApiKey'), secret('StripeApiKey'), secret('TossSecretKey')],
    outside: true,
  }),
  'payments:probe': () => ({ names: ['provider/payments'], statements: [], outside: true }),
  /** Toss does not sign its webhooks, so who hears of payments asks Toss. */
  'payments:webhook': () => ({
    names: ['secret/payment-webhook', 'secret/stripe-webhook', 'provider/toss'],
    statements: [secret('PaymentWebhookSecret'), secret('StripeWebhookSecret'), secret('TossSecretKey')],
    outside: true,
  }),
  'webhooks:secrets': () => ({ names: ['secret/webhook-key'], statements: [secret('WebhookKey')] }),
  'webhooks:send': () => ({ names: ['secret/webhook-key'], statements: [secret('WebhookKey')], outside: true }),
  /** Mails have links, so who sends them has to know where the API is. */
  mail: () => ({
    names: ['api/public', 'secret/mail-url'],
    statements: [secret('MailUrl')],
    outside: true,
  }),
  'tokens:verify': () => ({ names: ['token/verification-key', 'auth/customers'], statements: [] }),
  'tokens:sign': () => ({
    names: ['secret/token-signing-key', 'auth/customers'],
    statements: [secret('TokenSigningKey')],
  }),
  /** Reads the keys of other issuers from them. */
  issuers: () => ({ names: ['auth/customers'], statements: [], outside: true }),
  /** Challenges, device tokens and the salts of passwords. */
  guard: () => ({ names: ['secret/guard-key'], statements: [secret('GuardKey')] }),
  /**
   * The bucket of pictures: to make forms for files that are brought, and to look at, show and remove them. A file gets its name when it
   * is announced, so the last part of the ARN cannot be known here. Without the right to list, S3 would not say that a file is missing.
   */
  pictures: () => ({
    names: ['bucket/pictures'],
    statements: [
      allow(['s3:PutObject', 's3:GetObject', 's3:DeleteObject'], { 'Fn::Sub': `\${PicturesBucket.Arn}/incoming/*` }),
      allow(['s3:PutObject', 's3:DeleteObject'], { 'Fn::Sub': `\${PicturesBucket.Arn}/pictures/*` }),
      allow(['s3:ListBucket'], arnOf('PicturesBucket')),
    ],
    outside: true,
  }),
  /** What the distribution proves itself with, for who asks where a call came from. */
  edge: () => ({ names: ['secret/edge-key'], statements: [secret('EdgeKey')] }),
  receipts: () => ({ names: ['secret/receipt-key'], statements: [secret('ReceiptKey')] }),
  'dead-letters:read': ({ queues }) => ({
    names: [...queues.keys()].map((name) => `dead/${name}`),
    statements: [
      allow(
        ['sqs:GetQueueAttributes', 'sqs:ReceiveMessage', 'sqs:ChangeMessageVisibility'],
        ...[...queues.values()].map(({ dead }) => arnOf(dead)),
      ),
    ],
  }),
  'dead-letters:redrive': ({ queues }) => ({
    names: [...queues.keys()].flatMap((name) => [`dead/${name}`, `queue/${name}`]),
    statements: [
      allow(
        ['sqs:GetQueueAttributes', 'sqs:ReceiveMessage', 'sqs:ChangeMessageVisibility', 'sqs:DeleteMessage'],
        ...[...queues.values()].map(({ dead }) => arnOf(dead)),
      ),
      allow(['sqs:SendMessage'], ...[...queues.values()].map(({ queue }) => arnOf(queue))),
    ],
  }),
  'depth:all': ({ queues }) => ({
    names: [...queues.keys()].flatMap((name) => [`queue/${name}`, `dead/${name}`]),
    statements: [
      allow(
        ['sqs:GetQueueAttributes'],
        ...[...queues.values()].flatMap(({ queue, dead }) => [arnOf(queue), arnOf(dead)]),
      ),
    ],
  }),
};

/** The words that take one, such as `send:reservations`. */
const withArgument: Record<string, (argument: string, landscape: Landscape) => Grant> = {
  send: (name, landscape) => ({
    names: [`queue/${name}`],
    statements: [allow(['sqs:SendMessage'], arnOf(queueOf(landscape, name).queue))],
  }),
  depth: (name, landscape) => {
    const { queue, dead } = queueOf(landscape, name);
    return {
      names: [`queue/${name}`, `dead/${name}`],
      statements: [allow(['sqs:GetQueueAttributes'], arnOf(queue), arnOf(dead))],
    };
  },
  /**
   * Derived, not written by hand: a function consumes the queues of its `sqs` events. It may change the visibility of a
   * message, and send one that is not worth retrying to the dead-letter queue.
   */
  consume: (name, landscape) => ({
    names: [`queue/${name}`, `dead/${name}`],
    statements: [
      allow(
        ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ChangeMessageVisibility'],
        arnOf(queueOf(landscape, name).queue),
      ),
      allow(['sqs:SendMessage'], arnOf(queueOf(landscape, name).dead)),
    ],
  }),
  /** A rate that an operator may have set; without a parameter the code's own holds. */
  limit: (name) => ({ names: [`limit/${name}`], statements: [] }),
};

/** What a word grants. Throws for a word that is not in the list above. */
export function grantOf(word: string, landscape: Landscape): Grant {
  const known = plain[word];
  if (known) return known(landscape);
  const [kind = '', argument] = word.split(/:(.*)/s);
  const made = withArgument[kind];
  if (!made || !argument) throw new Error(`serverless.yml: "${word}" is not a known use`);
  return made(argument, landscape);
}

function queueOf({ queues }: Landscape, name: string): { queue: string; dead: string } {
  const found = queues.get(name);
  if (!found) throw new Error(`serverless.yml: there is no queue "${name}" with dead letters`);
  return found;
}
