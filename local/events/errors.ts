/**
 * Errors of the EventBridge API, by the names the SDK turns into exception classes. Thrown by registry.ts and api.ts,
 * written as HTTP answers by server.ts.
 */

/** A request EventBridge would refuse. `code` is the exception's name; the status is 400 as in the AWS JSON protocol. */
export class ApiError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
  }
}

/** A parameter that is missing, malformed, or asks for something this emulator does not emulate. */
export function invalid(message: string): ApiError {
  return new ApiError('ValidationException', message);
}

export function notFound(message: string): ApiError {
  return new ApiError('ResourceNotFoundException', message);
}
