/**
 * Payment providers for tests: real processes of the sandbox provider that share their books, and a receiver for their
 * webhooks that delivers them, holds them back or loses them, as a test asks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ReceivedWebhook {
  headers: Record<string, string>;
  body: string;
}

export interface TestProviders {
  readonly addresses: string[];
  /** What becomes of webhooks from now on: handed to `deliver`, or acknowledged and forgotten. */
  webhooks: 'deliver' | 'lose';
  /** Every webhook that came, delivered or not. */
  readonly received: ReceivedWebhook[];
  /** Sets the faults of every instance; none without. */
  faults(settings?: Record<string, unknown>): Promise<void>;
  /** Ends one instance with SIGKILL. */
  kill(index: number): Promise<void>;
  /** Starts it again at the same address. */
  start(index: number): Promise<void>;
  /** Everything the provider ever did. */
  ledger(): Promise<{ charges: ProviderCharge[]; refunds: { chargeId: string; amountMinor: number }[] }>;
  stop(): Promise<void>;
}

export interface ProviderCharge {
  id: string;
  idempotencyKey: string;
  amountMinor: number;
  currency: string;
  status: 'captured' | 'declined';
}

const program = fileURLToPath(new URL('../../local/provider/main.ts', import.meta.url));

/** Starts `count` instances. `deliver` gets each webhook and answers its status. */
export async function startProviders(
  count: number,
  secrets: { apiKey: string; webhookSecret: string },
  deliver: (webhook: ReceivedWebhook) => Promise<number>,
): Promise<TestProviders> {
  const dataDir = mkdtempSync(join(tmpdir(), 'holdfast-provider-'));
  const received: ReceivedWebhook[] = [];
  const receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const webhook = {
        headers: request.headers as Record<string, string>,
        body: Buffer.concat(chunks).toString('utf8'),
      };
      received.push(webhook);
      response.writeHead(providers.webhooks === 'deliver' ? await deliver(webhook) : 200).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const webhookUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/webhooks/payments`;

  const children: ChildProcess[] = [];
  const addresses: string[] = [];

  async function start(index: number): Promise<void> {
    const port = addresses[index] ? new URL(addresses[index]).port : '0';
    const child = spawn(
      process.execPath,
      [program, ...['--port', port, '--data-dir', dataDir, '--webhook-url', webhookUrl]],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, PROVIDER_API_KEY: secrets.apiKey, PROVIDER_WEBHOOK_SECRET: secrets.webhookSecret },
      },
    );
    children[index] = child;
    addresses[index] = await new Promise<string>((resolve, reject) => {
      let output = '';
      child.stdout?.on('data', (chunk) => {
        output += chunk;
        if (output.includes('\n')) resolve((JSON.parse(output.split('\n')[0] ?? '') as { url: string }).url);
      });
      child.once('exit', (code) => reject(new Error(`the provider ended with ${code}`)));
    });
  }

  async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  const providers: TestProviders = {
    addresses,
    webhooks: 'lose',
    received,
    async faults(settings) {
      await Promise.all(
        addresses.map((address) =>
          fetch(
            `${address}/_faults`,
            settings ? { method: 'POST', body: JSON.stringify(settings) } : { method: 'DELETE' },
          ),
        ),
      );
    },
    kill: (index) => end(children[index], 'SIGKILL'),
    start,
    async ledger() {
      const answer = await fetch(`${addresses[0]}/v1/ledger`, {
        headers: { authorization: `Bearer ${secrets.apiKey}` },
      });
      return (await answer.json()) as Awaited<ReturnType<TestProviders['ledger']>>;
    },
    async stop() {
      await Promise.all(children.map((child) => end(child, 'SIGTERM')));
      receiver.closeAllConnections();
      await new Promise((resolve) => receiver.close(resolve));
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  for (let index = 0; index < count; index++) await start(index);
  return providers;
}
