/**
 * The other end of the accept measure: takes messages as SQS does, checks nothing, keeps nothing but their number. The
 * local queue server would be the bottleneck long before our code is, which SQS itself is not.
 *
 * Answers `SendMessage` and `SendMessageBatch` of the AWS JSON protocol, with the digests that the SDK checks; GET says
 * how many messages came in how many calls, and DELETE begins at zero.
 */
import { hash, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Input {
  MessageBody: string;
  Entries: { Id: string; MessageBody: string }[];
}

let taken = 0;
let calls = 0;

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const answer = reply(request.method ?? '', String(request.headers['x-amz-target']), Buffer.concat(chunks));
    const body = JSON.stringify(answer);
    response.writeHead(200, {
      'content-type': 'application/x-amz-json-1.0',
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));

function reply(method: string, target: string, text: Buffer): object {
  if (method === 'DELETE') {
    taken = 0;
    calls = 0;
  }
  if (method !== 'POST') return { taken, calls };
  calls += 1;
  const input = JSON.parse(text.toString('utf8')) as Input;
  if (target === 'AmazonSQS.SendMessage') {
    taken += 1;
    return receiptOf(input.MessageBody);
  }
  taken += input.Entries.length;
  return { Successful: input.Entries.map(({ Id, MessageBody }) => ({ Id, ...receiptOf(MessageBody) })), Failed: [] };
}

function receiptOf(body: string): { MessageId: string; MD5OfMessageBody: string } {
  return { MessageId: randomUUID(), MD5OfMessageBody: hash('md5', body) };
}
