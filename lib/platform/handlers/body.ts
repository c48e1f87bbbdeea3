/** A request's body: its permitted size, media type and encoding, and how it is read. */
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { InvalidJson, parseJson } from './json.ts';
import { Refused } from './problem-details.ts';
import type { Route } from './route.ts';

/** The largest JSON body that is accepted. */
export const maxJsonBytes = 16_384;

/** The body as text. Throws a `Refused` that says what is wrong; the size is checked before anything is decoded. */
export function readBody(route: Route, event: APIGatewayProxyEventV2): string {
  const limit = route.maxBodyBytes ?? maxJsonBytes;
  const sent = event.body ?? '';
  if (sent.length > (event.isBase64Encoded ? Math.ceil(limit / 3) * 4 : limit)) throw tooLarge(limit);
  const wanted = route.bodyType ?? 'application/json';
  if (!isMediaType(event.headers['content-type'], wanted)) {
    throw new Refused('unsupported_media_type', `Send the body as ${wanted} in UTF-8.`);
  }
  if ((event.headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new Refused('unsupported_media_type', 'Send the body without a content encoding.');
  }
  const body = event.isBase64Encoded ? decodeUtf8(Buffer.from(sent, 'base64')) : sent;
  // When API Gateway passes a body as text it replaces every invalid UTF-8 byte by U+FFFD.
  if (body === undefined || body.includes('\ufffd')) throw new Refused('invalid_input', 'The body is not valid UTF-8.');
  if (Buffer.byteLength(body) > limit) throw tooLarge(limit);
  return body;
}

/** The parsed JSON, or the text itself if the route accepts another media type. */
export function parseBody(route: Route, text: string): unknown {
  const isJson = (route.bodyType ?? 'application/json') === 'application/json';
  if (text === '') throw new Refused(isJson ? 'invalid_json' : 'invalid_input', 'The body is empty.');
  if (!isJson) return text;
  try {
    return parseJson(text);
  } catch (error) {
    if (!(error instanceof InvalidJson)) throw error;
    throw new Refused('invalid_json', `The body cannot be read: ${error.message}.`);
  }
}

function tooLarge(limit: number): Refused {
  return new Refused('payload_too_large', `The body may have at most ${limit} bytes.`);
}

/** Whether a content type is this media type, with the charset UTF-8 if it names one. */
function isMediaType(contentType: string | undefined, wanted: string): boolean {
  const [type, ...parameters] = (contentType ?? '').toLowerCase().split(';');
  return (
    type?.trim() === wanted &&
    parameters.every((parameter) => {
      const [name, value] = parameter.split('=').map((part) => part.trim());
      return name !== 'charset' || /^"?utf-?8"?$/.test(value ?? '');
    })
  );
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
