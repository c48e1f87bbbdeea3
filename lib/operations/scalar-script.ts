/** The script of the page at `/docs`, in a module of its own: it is larger than all other code of a function together. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import scalar from '@scalar/fastify-api-reference';

/** The part of Fastify that Scalar's plugin needs to offer its routes. */
interface Host {
  initialConfig: object;
  route(route: { url: string; handler(request: object, reply: ScriptReply): unknown }): void;
}
interface ScriptReply {
  header(name: string, value: string): ScriptReply;
  send(text: string): void;
}

/**
 * Scalar's script in one piece. `@scalar/api-reference` itself would install 284 packages and 310 MB for this one file;
 * its plugin for Fastify contains it as text, and is called here as Fastify would call it.
 */
function scalarScript(): string {
  let script = '';
  const reply: ScriptReply = {
    header: () => reply,
    send: (text) => {
      script = text;
    },
  };
  const host: Host = {
    initialConfig: {},
    route: ({ url, handler }) => {
      if (url.endsWith('.js')) handler({}, reply);
    },
  };
  const plugin = scalar as unknown as (host: Host, options: object, done: () => void) => void;
  plugin(host, { configuration: { url: '/openapi.json' } }, () => undefined);
  return script;
}

/** The script of the page, compressed with gzip: a third of its 4.9 MB. Kept by `deps.once(apiReferenceScript)`. */
export function apiReferenceScript(): Promise<Buffer> {
  return promisify(gzip)(scalarScript());
}
