/** A request's body: its permitted size, media type and encoding, and how it is read. */
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { InvalidJson, parseJson } from './json.ts';
import { Refused } from './problem-details.ts';
import type { Route } from './route.ts';

/** The largest JSON body that is accepted. */
export const maxJsonBytes = 16_384;

/** The media type of a body that gateways pass on byte for byte. */
export const bytesType = 'application/octet-stream';

/** The encodings that the query can name for a body of bytes. */
export const namedEncodings = ['utf-8', 'cp949'] as const;

/** Whether a request came without a body. */
export function hasNoBody(event: APIGatewayProxyEventV2): boolean {
  return sentBody(event) === '';
}

/**
 * The body as the gateway passes it on. The local gateway parses JSON itself and passes `0` and `false` on as values, `null` and
 * `""` as no body; none of them is the body of any route, and none may be read as a missing one.
 */
function sentBody(event: APIGatewayProxyEventV2): string {
  const sent: unknown = event.body ?? '';
  if (typeof sent !== 'string' || (sent === '' && Number(event.headers['content-length'] ?? 0) > 0)) {
    throw new Refused('invalid_input', 'The body is not valid: it must be an object.');
  }
  return sent;
}

/** Refuses a body where none is taken, since what it asks for would be ignored. An empty object asks for nothing. */
export function refuseBody(event: APIGatewayProxyEventV2): void {
  const sent = sentBody(event);
  const text = event.isBase64Encoded ? Buffer.from(sent, 'base64').toString() : sent;
  if (!/^\s*(\{\s*\})?\s*$/.test(text)) {
    throw new Refused('invalid_input', 'This call takes no body; whatever it can be asked for goes into its query.');
  }
}

/**
 * The body as text. Throws what is wrong with it. Its size is checked before it is decoded. `encoding` is what the caller
 * names for bytes without a byte order mark.
 */
export function readBody(route: Route, event: APIGatewayProxyEventV2, encoding?: string): string {
  const limit = route.maxBodyBytes ?? maxJsonBytes;
  const sent = sentBody(event);
  if (sent.length > (event.isBase64Encoded ? Math.ceil(limit / 3) * 4 : limit)) throw tooLarge(limit);
  const wanted = route.bodyType ?? 'application/json';
  const isBytes = route.mayBeBytes === true && isMediaType(event.headers['content-type'], bytesType);
  if (!isBytes && !isMediaType(event.headers['content-type'], wanted)) {
    const orBytes = route.mayBeBytes ? `, or as ${bytesType}` : '';
    throw new Refused('unsupported_media_type', `Send the body as ${wanted} in UTF-8${orBytes}.`);
  }
  if ((event.headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new Refused('unsupported_media_type', 'Send the body without a content encoding.');
  }
  const bytes = event.isBase64Encoded ? Buffer.from(sent, 'base64') : undefined;
  const body = bytes === undefined ? sent : decode(route, bytes, isBytes ? encodingOf(bytes, encoding) : 'utf-8');
  // A gateway that passes text on replaces every byte that is not UTF-8 with U+FFFD; decoding CP949 does the same.
  if (body === undefined || body.includes('\ufffd')) throw unreadable(route, isBytes, encoding);
  if (isBytes && body === '') throw new Refused('unprocessable', 'The body is empty.');
  // The size limit of a body of bytes applies to the bytes, not to their length in UTF-8.
  if (!isBytes && Buffer.byteLength(body) > limit) throw tooLarge(limit);
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

/**
 * The encoding that the byte order mark names, or else the caller. A text that begins with an ASCII character and has no byte
 * order mark has a zero byte beside it in UTF-16, and in no other encoding.
 */
function encodingOf(bytes: Buffer, named: string | undefined): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return 'utf-8';
  if (bytes[0] && bytes[1] === 0) return 'utf-16le';
  if (bytes[0] === 0 && bytes[1]) return 'utf-16be';
  return named ?? 'utf-8';
}

function decode({ decodeCp949 }: Route, bytes: Buffer, encoding: string): string | undefined {
  if (encoding === 'cp949') {
    if (!decodeCp949) throw new Error('the handler of a route that takes bytes must add decodeCp949 to it');
    return decodeCp949(bytes);
  }
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function unreadable(route: Route, isBytes: boolean, named = 'utf-8'): Refused {
  const what = `The body is not valid ${isBytes ? named.toUpperCase() : 'UTF-8'}`;
  if (!route.mayBeBytes) return new Refused('invalid_input', `${what}.`);
  return new Refused(
    // Any bytes are well formed, and the encoding that is named may not be theirs.
    isBytes ? 'unprocessable' : 'invalid_input',
    `${what}. Save the file as "CSV UTF-8", or send it as ${bytesType}: as it is if it was saved as "Unicode Text" (UTF-16), with ?encoding=cp949 if it was saved as "CSV" in Korean Excel.`,
  );
}
