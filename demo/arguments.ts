/**
 * What the demo understands on its command line.
 */
import { type Arguments, readArguments } from '#local/arguments.ts';

export interface DemoOptions {
  customers: number;
  reservations: number;
  sales: number;
  seed: number;
}

/** The sizes of a demo that was asked for like this. */
export function demoOptions({ values }: Arguments<'demo'> = readArguments('demo', [])): DemoOptions {
  return {
    customers: Number(values.customers),
    reservations: Number(values.reservations),
    sales: Number(values.sales),
    seed: Number(values.seed),
  };
}
