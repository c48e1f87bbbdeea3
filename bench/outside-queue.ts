/**
 * A queue outside of the function that is measured: what waits in it lies in a file, so that it takes none of the process's
 * memory, which a queue in an account does not take either.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class OutsideQueue {
  readonly #file: number;
  /** Where each message that was ever put in ends. */
  readonly #ends: number[] = [0];
  #taken = 0;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'outside-queue-'));
    this.#file = openSync(join(folder, 'messages'), 'w+');
    // The file lives until it is closed, and has no name that could be left behind.
    rmSync(folder, { recursive: true });
  }

  /** How many messages wait. */
  get length(): number {
    return this.#ends.length - 1 - this.#taken;
  }

  push(body: object): void {
    const message = Buffer.from(JSON.stringify(body));
    const start = this.#ends.at(-1) ?? 0;
    writeSync(this.#file, message, 0, message.length, start);
    this.#ends.push(start + message.length);
  }

  /** Takes the message that has waited for longest; undefined if none waits. */
  shift(): object | undefined {
    if (this.length === 0) return undefined;
    const [start = 0, end = 0] = this.#ends.slice(this.#taken, this.#taken + 2);
    this.#taken++;
    const message = Buffer.alloc(end - start);
    readSync(this.#file, message, 0, message.length, start);
    return JSON.parse(message.toString()) as object;
  }

  /** Takes so many messages, or fewer if fewer wait. */
  take(count: number): object[] {
    return Array.from({ length: Math.min(count, this.length) }, () => this.shift() as object);
  }

  close(): void {
    closeSync(this.#file);
  }
}
