/**
 * What the demo understands on its command line.
 */
import { parseArgs } from 'node:util';

export interface DemoOptions {
  customers: number;
  reservations: number;
  sales: number;
  seed: number;
}

const limits = {
  customers: { least: 10, most: 20_000, standard: 500 },
  reservations: { least: 50, most: 1_000_000, standard: 5_000 },
  sales: { least: 1, most: 12, standard: 4 },
  seed: { least: 0, most: 2 ** 31 - 1, standard: 1 },
} as const;

/** Reads `--customers N --reservations N --sales N --seed S`. Throws a sentence when it cannot. */
export function demoOptions(args: string[]): DemoOptions {
  const { values } = parseArgs({
    args,
    options: {
      customers: { type: 'string' },
      reservations: { type: 'string' },
      sales: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  const read = (name: keyof typeof limits): number => {
    const { least, most, standard } = limits[name];
    const text = values[name];
    if (text === undefined) return standard;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new Error(`--${name} must be a whole number from ${least} to ${most}`);
    }
    return value;
  };
  return {
    customers: read('customers'),
    reservations: read('reservations'),
    sales: read('sales'),
    seed: read('seed'),
  };
}
