/**
 * The host of what is deployed: the packaged bundle of the accept function, beside the bundle of an empty one, in a process
 * of their own. As in Lambda the caller sends one request at a time.
 */
import type { HttpHandler } from '#platform/handlers/http.ts';
import { bundled } from '../bundle.ts';
import { acceptedBy, serve } from './serve.ts';

const handlerOf = async (name: string) => ((await import(bundled(name))) as { handler: HttpHandler }).handler;
const accept = await handlerOf('create-reservation');
const acceptNothing = await handlerOf('accept-nothing');

serve((request) => acceptedBy(request.url?.startsWith('/empty/') ? acceptNothing : accept, request));
