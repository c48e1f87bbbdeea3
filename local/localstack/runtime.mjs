/**
 * What Lambda's runtime is to a function, in a process of this machine: loads the handler that `_HANDLER` names, reads one
 * event a line, and writes one answer a line. Started by holdfast_functions.py, which LocalStack loads.
 *
 * Invariant: an answer is a line that begins with the mark; everything else on standard output is the function's log. Plain
 * JavaScript, because it runs beside bundles and not beside this project's packages.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const mark = '@answer ';
const say = (answer) => process.stdout.write(`\n${mark}${JSON.stringify(answer)}\n`);

const [path = '', name = ''] = (process.env._HANDLER ?? '').split(/\.(?=[^.]*$)/);
const { [name]: handler } = await import(pathToFileURL(join(process.env.LAMBDA_TASK_ROOT ?? '', `${path}.mjs`)).href);
say({ ready: typeof handler === 'function' });

for await (const line of createInterface({ input: process.stdin })) {
  const { event, requestId, arn, timeoutMs } = JSON.parse(line);
  const endsAtMs = Date.now() + timeoutMs;
  const context = {
    awsRequestId: requestId,
    invokedFunctionArn: arn,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    getRemainingTimeInMillis: () => endsAtMs - Date.now(),
  };
  try {
    const result = await handler(JSON.parse(event), context);
    say({ payload: JSON.stringify(result ?? null), isError: false });
  } catch (error) {
    const { name: errorType, message: errorMessage } = error;
    say({ payload: JSON.stringify({ errorType, errorMessage }), isError: true });
  }
}
process.exit(0);
