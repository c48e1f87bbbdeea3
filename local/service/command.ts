/**
 * Runs a local service as a process: start, print one JSON line when it is ready, stop on a signal.
 *
 * Invariant: the ready line is the only thing written to standard output; everything else goes to standard error.
 * Called by queue-server.ts, events/main.ts and provider/main.ts.
 */

/** Runs a service until SIGINT or SIGTERM. A failure to start is one line on standard error and exit code 1. */
export async function runService(
  name: string,
  start: () => Promise<{ url: string; stop(): Promise<void> }>,
): Promise<void> {
  try {
    const service = await start();
    let stopping = false;
    const stop = () => {
      if (stopping) return;
      stopping = true;
      service.stop().then(
        () => process.exit(0),
        (error: unknown) => {
          process.stderr.write(`${name}: did not stop cleanly: ${String(error)}\n`);
          process.exit(1);
        },
      );
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    process.stdout.write(`${JSON.stringify({ ready: true, url: service.url })}\n`);
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

/** Reads a port flag; absent means any free port. Throws if it is not a port. */
export function portFlag(value: string | undefined): number {
  const port = Number(value ?? '0');
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`--port ${value} is not a port number.`);
  return port;
}
