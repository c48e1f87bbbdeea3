/**
 * Structured logs: one JSON line per event, with the correlation id of the request that caused it.
 *
 * Only the fields that a caller names are written, and fields named like secrets are redacted, so that neither a token
 * nor a password can reach a log as part of some object (invariant I10).
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { pino } from 'pino';

const secretFields = ['password', 'token', 'accessToken', 'refreshToken', 'paymentToken', 'authorization', 'apiKey'];

const root = pino({
  level: process.env.HOLDFAST_LOG_LEVEL ?? 'info',
  base: undefined,
  redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: '[secret]' },
  formatters: { level: (label) => ({ level: label }) },
  timestamp: pino.stdTimeFunctions.isoTime,
});

const correlation = new AsyncLocalStorage<string>();

/** Runs `work` with a correlation id that every log line inside it carries. */
export function withCorrelation<T>(id: string, work: () => T): T {
  return correlation.run(id, work);
}

/** The current correlation id, if any, to be passed on in messages and events. */
export function correlationId(): string | undefined {
  return correlation.getStore();
}

/** What the log may carry about an error: its name, message, code and stack, never its parameters. */
function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = (error as { code?: unknown }).code;
  const cause = error.cause instanceof Error ? error.cause : undefined;
  return {
    name: error.name,
    message: error.message,
    code: code ?? (cause as { code?: unknown })?.code,
    stack: error.stack,
  };
}

type Fields = Record<string, unknown> & { error?: unknown };

function write(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Fields = {}): void {
  const { error, ...rest } = fields;
  const id = correlation.getStore();
  root[level](
    {
      ...(id === undefined ? {} : { correlationId: id }),
      ...rest,
      ...(error === undefined ? {} : { error: describe(error) }),
    },
    message,
  );
}

/** The log. Messages are constant sentences; what varies goes into named fields. */
export const log = {
  debug: (message: string, fields?: Fields) => write('debug', message, fields),
  info: (message: string, fields?: Fields) => write('info', message, fields),
  warn: (message: string, fields?: Fields) => write('warn', message, fields),
  error: (message: string, fields?: Fields) => write('error', message, fields),
};
