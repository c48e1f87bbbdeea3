/**
 * Leaves the database client out of functions that serverless.yml does not let use it: what opens the dependencies can
 * open MySQL too, so esbuild would keep it everywhere. An esbuild plugin, called by serverless-esbuild; plain JavaScript,
 * because that loads it as it is.
 *
 * Invariant: a function whose `uses` lacks `mysql` and that reaches for it nevertheless fails with a sentence that says so.
 */
import { fileURLToPath } from 'node:url';

const client = /^mysql2(\/promise)?$/;
const noMysql = fileURLToPath(new URL('no-mysql.mjs', import.meta.url));

/** serverless-esbuild calls this with the Serverless instance. */
export default ({ service }) => [
  {
    name: 'without-mysql',
    setup(build) {
      const [entry] = build.initialOptions.entryPoints;
      const own = Object.values(service.functions).find(({ handler }) => entry === handler.replace(/\.\w+$/, '.ts'));
      if (!own) throw new Error(`serverless.yml has no function whose handler is in ${entry}`);
      if (own.uses?.includes('mysql')) return;
      build.onResolve({ filter: client }, () => ({ path: noMysql }));
    },
  },
];
