/**
 * What depends on who imports a package, or on the function that is bundled; what depends on neither is a line of esbuild's
 * `alias` in serverless.yml. esbuild plugins, called by serverless-esbuild; plain JavaScript, because that loads it as it is.
 *
 * Invariant: a function whose `uses` lacks `mysql` and that reaches for it nevertheless fails with a sentence that says so.
 */
import { fileURLToPath } from 'node:url';

const fileOf = (name) => fileURLToPath(new URL(name, import.meta.url));

const client = /^mysql2(\/promise)?$/;

/**
 * Leaves the database client out of functions that serverless.yml does not let use it: what opens the dependencies can
 * open MySQL too, so esbuild would keep it everywhere.
 */
const withoutMysql = (service) => ({
  name: 'without-mysql',
  setup(build) {
    const [entry] = build.initialOptions.entryPoints;
    const own = Object.values(service.functions).find(({ handler }) => entry === handler.replace(/\.\w+$/, '.ts'));
    if (!own) throw new Error(`serverless.yml has no function whose handler is in ${entry}`);
    if (own.uses?.includes('mysql')) return;
    build.onResolve({ filter: client }, () => ({ path: fileOf('no-mysql.mjs') }));
  },
});

const ofTheClient = /[\\/]node_modules[\\/]mysql2[\\/]/;

/** Gives the database client the two character sets that it speaks; what else imports iconv-lite needs the whole of it. */
const charactersOfMysql = {
  name: 'characters-of-mysql',
  setup(build) {
    build.onResolve({ filter: /^iconv-lite$/ }, ({ importer }) =>
      ofTheClient.test(importer) ? { path: fileOf('iconv.cjs') } : undefined,
    );
  },
};

let shell;

/** Puts the shop's page, as it was built with this package, in the place of what would build it. */
const builtShell = {
  name: 'built-shell',
  setup(build) {
    build.onLoad({ filter: /[\\/]web[\\/]shell\.ts$/ }, async () => {
      shell ??= import('../../web/build.ts').then(({ buildPages }) => buildPages());
      const page = (await shell).get('/index.html').body.toString();
      return { contents: `export const shopShell = async () => ${JSON.stringify(page)};`, loader: 'js' };
    });
  },
};

/** serverless-esbuild calls this with the Serverless instance. */
export default ({ service }) => [withoutMysql(service), charactersOfMysql, builtShell];
