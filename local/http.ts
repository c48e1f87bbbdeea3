/**
 * The HTTP host: serverless-offline, serving the HTTP and WebSocket APIs of serverless.yml on 127.0.0.1.
 *
 *   node local/http.ts --port 3000 --websocket-port 3001 --work-dir .local/http
 *
 * All functions run in this process and share their modules, as requests of one warm environment would. The
 * TypeScript handlers are loaded by Node itself: serverless-offline gets a folder of one-line modules that re-export them,
 * and neither bundles nor compiles anything. Its configuration has only the functions and routes, so it resolves nothing
 * that needs an account and asks for no login. Started by `startStack`; prints one JSON line when both APIs answer.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { applyEnvironment, handlerOf } from './function-host.ts';
import { holdTo } from './origins.ts';
import { type DeclaredFunction, readDeclared } from './serverless-config.ts';
import { portFlag } from './service/command.ts';
import { projectRoot } from './state-folder.ts';
import { waitFor } from './wait.ts';

const startTimeoutMs = 60_000;

/** The part of the Serverless Framework (osls) that is used here. */
type Serverless = new (
  config: object,
) => {
  configSchemaHandler: { validateConfig: () => Promise<void> };
  init(): Promise<void>;
  run(): Promise<void>;
};

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    'websocket-port': { type: 'string' },
    'work-dir': { type: 'string' },
  },
});
const httpPort = portFlag(values.port);
const websocketPort = portFlag(values['websocket-port']);
const workDir = resolve(values['work-dir'] ?? join(projectRoot, '.local', 'http'));

/** Writes, for each function, the module that serverless-offline finds where the handler's path says. */
function writeHandlerModules(functions: DeclaredFunction[]): void {
  rmSync(workDir, { recursive: true, force: true });
  for (const declared of functions) {
    const { url, path, name } = handlerOf(declared);
    const file = join(workDir, `${path}.js`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `export { ${name} } from ${JSON.stringify(url)};\n`);
    // Node looks for it from the module's folder upwards at every request, so it lies in the first place.
    writeFileSync(join(dirname(file), 'package.json'), '{"type":"module"}');
  }
}

function configuration(functions: DeclaredFunction[], allowedOrigins: string[]): object {
  const { httpApi } = declared.gateway;
  return {
    service: declared.service,
    frameworkVersion: '4',
    configValidationMode: 'off',
    plugins: ['serverless-offline'],
    provider: {
      name: 'aws',
      runtime: 'nodejs24.x',
      stage: declared.stage,
      region: declared.region,
      ...declared.gateway,
      httpApi: { ...httpApi, cors: { ...(httpApi?.cors as object), allowedOrigins } },
    },
    functions: Object.fromEntries(
      functions.map(({ key, name, handler, timeoutSeconds, memoryMb, routes, websocketRoutes }) => [
        key,
        {
          name,
          handler,
          timeout: timeoutSeconds,
          memorySize: memoryMb,
          events: [
            ...routes.map(({ method, path }) => ({ httpApi: { method, path } })),
            ...websocketRoutes.map((route) => ({ websocket: { route } })),
          ],
        },
      ]),
    ),
  };
}

async function answers(port: number): Promise<boolean> {
  // Any answer will do, also 404: it shows that the server accepts requests.
  await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) });
  return true;
}

const declared = await readDeclared();
const functions = declared.functions.filter(
  ({ routes, websocketRoutes }) => routes.length > 0 || websocketRoutes.length > 0,
);
applyEnvironment(functions);
// What the environment of `npm start` says comes before what is declared.
const allowedOrigins = holdTo(process.env.HOLDFAST_ORIGINS ?? '*');
writeHandlerModules(functions);
// A function that cannot be loaded fails now, not at its first request.
await Promise.all(functions.map(async (one) => import(handlerOf(one).url)));

process.env.SLS_LOG_LEVEL = 'error';
process.env.SLS_DEPRECATION_DISABLE = '*';
const require = createRequire(import.meta.url);
require('serverless/lib/utils/serverless-utils/log-reporters/node.js');
const Serverless = require('serverless/lib/serverless.js') as Serverless;
const serverless = new Serverless({
  serviceDir: projectRoot,
  configurationFilename: 'serverless.yml',
  configuration: configuration(functions, allowedOrigins),
  commands: ['offline', 'start'],
  options: {
    stage: declared.stage,
    region: declared.region,
    host: '127.0.0.1',
    httpPort: String(httpPort),
    websocketPort: String(websocketPort),
    lambdaPort: '0',
    location: workDir,
    useInProcess: true,
    noPrependStageInUrl: true,
    disableCookieValidation: true,
    noSponsor: true,
  },
});
// Validating the configuration takes half a second, and it was made from checked declarations.
serverless.configSchemaHandler.validateConfig = async () => undefined;
await serverless.init();
const running = serverless.run();
await Promise.race([
  waitFor('the HTTP API to answer', () => answers(httpPort), { timeoutMs: startTimeoutMs }),
  running,
]);
if (functions.some(({ websocketRoutes }) => websocketRoutes.length > 0)) {
  await waitFor('the WebSocket API to answer', () => answers(websocketPort), { timeoutMs: startTimeoutMs });
}
process.stdout.write(`${JSON.stringify({ ready: true, pid: process.pid, functions: functions.length })}\n`);
await running;
