/**
 * A verification as text.
 */
import type { Verification } from '../verify.ts';
import { invariantNames, meanings } from './tally.ts';

const number = new Intl.NumberFormat('en');

/** The lines of a verification: invariants with counts, latencies, rates, and the first cases of what is wrong. */
export function linesOf(result: Verification): string[] {
  const lines = ['', '  invariant               checked   violations'];
  for (const name of invariantNames) {
    const { checked, violations } = result.invariants[name];
    const mark = violations > 0 ? '✗' : checked === 0 ? '?' : '✓';
    lines.push(`  ${mark} ${`${name} ${meanings[name]}`.padEnd(20)} ${pad(checked, 9)} ${pad(violations, 12)}`);
  }
  lines.push('', '  latency, ms                p50      p90      p99      max');
  for (const [name, { count, p50, p90, p99, max }] of Object.entries(result.latencyMs)) {
    if (count > 0)
      lines.push(`  ${spaced(name).padEnd(21)} ${[p50, p90, p99, max].map((one) => pad(one, 8)).join(' ')}`);
  }
  const { requests, acceptedPeak, decidedPeak } = result.ratesPerSecond;
  lines.push(
    '',
    `  rates: ${number.format(requests)} reservation requests/s on average; in the busiest second ` +
      `${number.format(acceptedPeak)} accepted, ${number.format(decidedPeak)} decided`,
  );
  if (!result.quiet.reached) {
    const seconds = Math.round(result.quiet.waitedMs / 1_000);
    lines.push('', `  still moving after ${seconds} s: ${result.quiet.moving.join(', ')}`);
  }
  for (const name of invariantNames) {
    for (const example of result.invariants[name].examples) lines.push(`  ${name}: ${example}`);
  }
  for (const name of result.unchecked) lines.push(`  ${name}: there was nothing to check, which proves nothing`);
  return lines;
}

function pad(value: number, width: number): string {
  return number.format(Math.round(value)).padStart(width);
}

/** `acceptToDecision` as "accept to decision". */
function spaced(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
