import { setTimeout as sleep } from 'node:timers/promises';
import { inAscii, openQueue } from './sqs.ts';
import type { SqsClient } from './sqs-client.ts';

/** An SQS that answers only when it is told to. */
function slowSqs() {
  const answers: (() => void)[] = [];
  const client: Pick<SqsClient, 'sendMessages'> = {
    sendMessages: (_, entries) =>
      new Promise((resolve) => {
        const Successful = entries.map(({ Id }) => ({ Id, MessageId: '', MD5OfMessageBody: '' }));
        answers.push(() => resolve({ Successful, Failed: [] }));
      }),
  };
  const answerAll = async () => {
    while (answers.length > 0) {
      for (const answer of answers.splice(0)) answer();
      await sleep(5);
    }
  };
  return { client, answerAll };
}

test('with a backlog of messages to be sent, a further one is refused at once', async () => {
  const { client, answerAll } = slowSqs();
  const queue = openQueue(client, 'http://127.0.0.1/queue');
  const first = Array.from({ length: 60 }, (_, n) => queue.send({ body: n }));
  await sleep(1_050);
  await expect(queue.send({ body: 'late' })).rejects.toMatchObject({ code: 'queue_unavailable', retryAfterSeconds: 1 });
  // What must be sent however long it takes is still taken.
  const patient = queue.sendAll([{ body: 'patient' }]);
  await answerAll();
  await Promise.all([...first, patient]);
  const next = queue.send({ body: 'next' });
  await sleep(10);
  await answerAll();
  await next;
});

test.each(['Söhne, 램프 😀', '\ufffe\uffff', '\u{132c0}\u{10ffff}', 'two\nlines\u007f\u2028', '"\\\\"'])(
  '%j goes into a queue in ASCII, and comes out as it was',
  (value) => {
    const sent = inAscii(JSON.stringify({ [value]: value }));
    expect(sent).toMatch(/^[\x20-\x7e]*$/);
    expect(JSON.parse(sent)).toEqual({ [value]: value });
  },
);
