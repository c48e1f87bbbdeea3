/**
 * Fires scheduled rules when they are due.
 *
 * Invariant: each due time fires once, because the next time is stored in the transaction of the firing's deliveries.
 * Firings that were missed while the process was down collapse into one at start. The clock decides, not the timer: after
 * a suspended machine or a changed clock the next check, at most longestSleepMs later, corrects the times.
 * Called by server.ts.
 */
import { type AcceptDeps, acceptFiring } from './accept.ts';
import type { RegisteredRule } from './registry.ts';

const longestSleepMs = 5_000;

export class Scheduler {
  private timer?: NodeJS.Timeout;
  private stopped = false;
  private readonly deps: AcceptDeps & { log: (message: string) => void };

  constructor(deps: AcceptDeps & { log: (message: string) => void }) {
    this.deps = deps;
  }

  /** Fires everything that is due and sleeps until the next time. Also to be called when the rules have changed. */
  async tick(): Promise<void> {
    clearTimeout(this.timer);
    const due = this.deps.registry.scheduledRules().filter(({ rule }) => (rule.nextFireMs ?? 0) <= this.deps.now());
    await Promise.all(due.map((registered) => this.fire(registered)));
    this.sleep();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private sleep(): void {
    if (this.stopped) return;
    clearTimeout(this.timer);
    const times = this.deps.registry.scheduledRules().map(({ rule }) => rule.nextFireMs ?? 0);
    if (times.length === 0) return;
    const waitMs = Math.min(Math.max(Math.min(...times) - this.deps.now(), 1), longestSleepMs);
    this.timer = setTimeout(() => void this.tick(), waitMs);
  }

  private async fire(registered: RegisteredRule): Promise<void> {
    const { rule, schedule } = registered;
    const dueMs = rule.nextFireMs;
    if (dueMs === undefined || !schedule) return;
    // Advanced before the commit, so that a second check in the meantime does not fire it again.
    rule.nextFireMs = schedule.next(dueMs, this.deps.now());
    try {
      await acceptFiring(this.deps, registered, dueMs, { ...rule });
    } catch (error) {
      rule.nextFireMs = dueMs;
      this.deps.log(`rule ${rule.name} could not fire and will be tried again: ${String(error)}`);
    }
  }
}
