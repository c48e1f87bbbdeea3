/**
 * The realistic host: serverless-offline in process, as the local stack runs it, with two routes: the shipped accept path
 * and a function that does nothing. Both are served by one process, so what differs is the function alone.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePort } from '#local/free-port.ts';
import { waitFor } from '#local/wait.ts';

const root = resolve(import.meta.dirname, '..', '..');
const workDir = process.argv[2] ?? join(root, '.local', 'bench', 'offline');

function handlerModule(name: string, file: string): string {
  mkdirSync(workDir, { recursive: true });
  const url = pathToFileURL(join(root, file)).href;
  writeFileSync(join(workDir, `${name}.js`), `export { handler } from ${JSON.stringify(url)};\n`);
  return `${name}.handler`;
}

mkdirSync(workDir, { recursive: true });
writeFileSync(join(workDir, 'package.json'), '{"type":"module"}');
const functions = {
  accept: {
    handler: handlerModule('accept', 'functions/http/create-reservation.ts'),
    events: [{ httpApi: { method: 'POST', path: '/sales/{saleId}/reservations' } }],
  },
  empty: {
    handler: handlerModule('empty', 'bench/hosts/empty-handler.ts'),
    events: [{ httpApi: { method: 'POST', path: '/empty/{saleId}/reservations' } }],
  },
};

process.env.SLS_LOG_LEVEL = 'error';
process.env.SLS_DEPRECATION_DISABLE = '*';
const require = createRequire(import.meta.url);
require('serverless/lib/utils/serverless-utils/log-reporters/node.js');
const Serverless = require('serverless/lib/serverless.js') as new (
  config: object,
) => { init(): Promise<void>; run(): Promise<void> };
const port = await freePort();
const serverless = new Serverless({
  serviceDir: root,
  configurationFilename: 'serverless.yml',
  configuration: {
    service: 'bench',
    frameworkVersion: '4',
    configValidationMode: 'off',
    plugins: ['serverless-offline'],
    provider: { name: 'aws', runtime: 'nodejs24.x', region: 'us-east-1', stage: 'bench' },
    functions,
  },
  commands: ['offline', 'start'],
  options: {
    host: '127.0.0.1',
    httpPort: String(port),
    websocketPort: String(await freePort()),
    lambdaPort: '0',
    location: workDir,
    useInProcess: true,
    noPrependStageInUrl: true,
    disableCookieValidation: true,
    noSponsor: true,
  },
});
process.on('disconnect', () => process.exit(0));
await serverless.init();
const running = serverless.run();
const answers = async (): Promise<boolean> => {
  await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) });
  return true;
};
await Promise.race([waitFor('serverless-offline to answer', answers, { timeoutMs: 60_000 }), running]);
process.send?.({ port });
await running;
