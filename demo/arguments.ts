/**
 * The options of the demo's command line.
 */
import { type Arguments, readArguments } from '#local/arguments.ts';

export interface DemoOptions {
  customers: number;
  reservations: number;
  sales: number;
  seed: number;
}

/** The sizes of a demo with these options. */
export function demoOptions({ values }: Arguments<'demo'> = readArguments('demo', [])): DemoOptions {
  return {
    customers: Number(values.customers),
    reservations: Number(values.reservations),
    sales: Number(values.sales),
    seed: Number(values.seed),
  };
}
