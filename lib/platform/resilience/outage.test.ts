import { Fault } from '#platform/kernel/errors.ts';
import { BreakerOpen } from './circuit-breaker.ts';
import { isConnectionLoss, isOutage, mysqlOutage, mysqlOutages, redisOutages } from './outage.ts';

const mysqlError = (errno: number) => Object.assign(new Error(`error ${errno}`), { errno, code: `ER_${errno}` });
const coded = (code: string) => Object.assign(new Error('x'), { code });
const redisReply = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });

test('a full disk, a read-only server and one without free connections are outages', () => {
  const kinds = [1021, 1114, 1290, 1792, 1836, 1040, 1203, 1226, 1053, 1927, 1205, 1213].map((errno) =>
    mysqlOutage(mysqlError(errno)),
  );
  expect(kinds).toEqual([
    ...['unavailable', 'unavailable'],
    ...['read-only', 'read-only', 'read-only'],
    ...['unavailable', 'unavailable', 'unavailable'],
    ...['unavailable', 'unavailable'],
    ...['contended', 'contended'],
  ]);
});

test.each([...mysqlOutages].map(([errno, { name, kind }]) => [name, errno, kind] as const))(
  '%s is an outage, also inside another error, and costs the connection unless it is only contention',
  (_, errno, kind) => {
    expect(isOutage(mysqlError(errno))).toBe(true);
    expect(isOutage(new Error('Failed query', { cause: mysqlError(errno) }))).toBe(true);
    // The breaker counts these: a server that only reads still answers.
    expect(isConnectionLoss(mysqlError(errno))).toBe(kind === 'unavailable');
  },
);

test.each([...redisOutages.keys()])('the reply %s of Redis is an outage', (word) => {
  expect(isOutage(redisReply(`${word} is what the server says`))).toBe(true);
});

test.each<[string, unknown]>([
  ['an open breaker', new BreakerOpen('redis', undefined)],
  ['a fault', new Fault('queue_unavailable', 'x')],
  ['a refused connection', coded('ECONNREFUSED')],
  ['a name that cannot be resolved', coded('EAI_AGAIN')],
  ['a lost connection', coded('PROTOCOL_CONNECTION_LOST')],
  ['a statement without an answer', coded('PROTOCOL_SEQUENCE_TIMEOUT')],
  ['an invocation that ran out of time', Object.assign(new Error('aborted'), { name: 'TimeoutError' })],
  [
    'a call of the AWS SDK that got no answer in time',
    Object.assign(new Error('Request aborted'), { name: 'AbortError' }),
  ],
  ['what the driver calls fatal', Object.assign(new Error("Can't add new command"), { fatal: true })],
  ['a command of Redis without an answer', new Error('Command timed out')],
  ['a Redis without a connection', new Error("Stream isn't writeable and enableOfflineQueue options is false")],
  ['something that is no Error and has a code', { code: 'ECONNRESET' }],
])('%s is an outage', (_, error) => {
  expect(isOutage(error)).toBe(true);
});

test.each<[string, unknown]>([
  ['a mistake of ours', new TypeError('x is undefined')],
  ['a duplicate key', mysqlError(1062)],
  ['a syntax error', mysqlError(1064)],
  ['a value that does not fit', mysqlError(1406)],
  ['a broken CHECK', mysqlError(3819)],
  ['a wrong type in Redis', redisReply('WRONGTYPE Operation against a key holding the wrong kind of value')],
  ['a failed script', redisReply('ERR user_script:1: nil')],
  ['text', 'ECONNREFUSED'],
  ['nothing', undefined],
])('%s is none', (_, error) => {
  expect(isOutage(error)).toBe(false);
  expect(isConnectionLoss(error)).toBe(false);
});
