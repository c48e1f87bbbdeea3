/**
 * One HTTP exchange with a payment provider, and what it means that it failed.
 *
 * Invariant: a call that certainly never arrived (`Busy`) is told apart from one whose answer is missing (`NoAnswer`): only the
 * first may be made elsewhere at once, the second must be asked about. The signal is the deadline of the whole exchange, since
 * neither fetch nor a breaker would ever give up by itself; nothing is repeated, and no redirect is followed.
 */
import { unconnectedCode } from '#platform/resilience/unconnected.ts';

/** The provider certainly did nothing: it was too busy or could not be reached. */
export class Busy extends Error {}
/** There was no usable answer: whether anything was done is unknown. */
export class NoAnswer extends Error {}
/** An unusable answer: the provider is healthy, but whether anything was done must be asked. */
export class Unclear extends NoAnswer {}

export interface HttpReply {
  readonly status: number;
  /** The parsed body; undefined for an empty one, and for a refusal's that is no JSON. */
  readonly body: unknown;
}

/** Makes one exchange. Throws `Busy` if certainly nothing was done, `NoAnswer` if that is unknown. */
export async function exchange(
  url: string,
  request: { method: string; headers: Record<string, string>; body: unknown; signal: AbortSignal },
): Promise<HttpReply> {
  try {
    const { body, ...rest } = request;
    const response = await fetch(url, {
      ...rest,
      redirect: 'error',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // Read in any case, so that the connection can be reused (keep-alive).
    const text = await response.text();
    if (response.status === 429) throw new Busy('the provider is too busy');
    return { status: response.status, body: bodyOf(text, response.status) };
  } catch (error) {
    if (error instanceof Busy) throw error;
    const unconnected = unconnectedCode(error);
    if (unconnected) throw new Busy(`no connection to the provider: ${unconnected}`);
    const why = request.signal.aborted ? 'the provider did not answer in time' : 'the connection to the provider broke';
    throw new NoAnswer(why, { cause: error });
  }
}

/** The parsed body. For a refusal the status is enough; its body may be anything. */
function bodyOf(text: string, status: number): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (status >= 400 && status < 500) return undefined;
    throw error;
  }
}
