/**
 * Progress on the screen: one line that is rewritten on a terminal; elsewhere, a new line from time to time.
 */

const rewriteEveryMs = 200;
const plainEveryMs = 5_000;
/** Where the terminal does not say how wide it is. */
const defaultColumns = 100;

export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #startedAtMs = Date.now();
  #present: () => string = () => '';
  #timer: NodeJS.Timeout | undefined;
  #shown = '';

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
  }

  /** Begins a stage: `present` says how far it is, whenever it is asked. */
  stage(present: () => string): void {
    this.#endStage();
    this.#present = present;
    this.#show();
    this.#timer = setInterval(() => this.#show(), this.#out.isTTY ? rewriteEveryMs : plainEveryMs);
    this.#timer.unref();
  }

  /** Prints a line that stays. */
  say(line: string): void {
    if (this.#out.isTTY) {
      this.#out.write('\r\x1b[K');
      // The stage's line was just wiped out, so it is drawn again even if nothing changes.
      this.#shown = '';
    }
    this.#out.write(`${line}\n`);
  }

  /** Leaves the last state of the stage standing. */
  end(): void {
    this.#endStage();
  }

  #endStage(): void {
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#show();
    if (this.#out.isTTY) this.#out.write('\n');
    this.#shown = '';
  }

  #show(): void {
    const text = this.#present();
    if (text === this.#shown) return;
    this.#shown = text;
    const seconds = ((Date.now() - this.#startedAtMs) / 1_000).toFixed(0).padStart(4);
    const line = `${seconds} s  ${text}`;
    if (!this.#out.isTTY) this.#out.write(`${line}\n`);
    else this.#out.write(`\r\x1b[K${line.slice(0, (this.#out.columns || defaultColumns) - 1)}`);
  }
}
