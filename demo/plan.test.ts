import { readArguments } from '#local/arguments.ts';
import { demoOptions } from './arguments.ts';
import { garbageKinds, planDemo } from './plan.ts';

const options = demoOptions();

describe('the script of the demo', () => {
  const plan = planDemo(options);

  test('is the same for the same seed and another for another', () => {
    expect(planDemo(options)).toEqual(plan);
    expect(planDemo({ ...options, seed: 2 })).not.toEqual(plan);
  });

  test('has the promised size', () => {
    expect(plan.rush.length).toBeGreaterThanOrEqual(5_000);
    expect(plan.customers.length).toBeGreaterThanOrEqual(500);
    expect(plan.sales.length).toBeGreaterThan(1);
    expect(new Set(plan.rush.map((one) => one.customer)).size).toBeGreaterThanOrEqual(495);
  });

  test('asks for 1 to 10 units at a time and for five times the allotment', () => {
    expect(new Set(plan.rush.map((one) => one.quantity))).toEqual(new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    for (const sale of plan.sales) {
      expect(sale.demandUnits / sale.allotment).toBeGreaterThan(4.9);
      expect(sale.demandUnits / sale.allotment).toBeLessThan(5.1);
    }
    expect(plan.rush.every((one) => one.atLeast >= 1 && one.atLeast <= one.quantity)).toBe(true);
  });

  test('repeats one request in ten, goes over the cap, comes early and late, and sends every kind of garbage', () => {
    expect(plan.rush.filter((one) => one.repeat).length).toBe(500);
    const units = new Map<string, number>();
    for (const { customer, sale, quantity } of plan.rush) {
      const name = `${customer}/${sale}`;
      units.set(name, (units.get(name) ?? 0) + quantity);
    }
    const over = [...units].filter(([name, sum]) => sum > (plan.sales[Number(name.split('/')[1])]?.cap ?? 0));
    expect(over.length).toBeGreaterThan(50);
    expect(plan.early.every((one) => one.atMs < 0)).toBe(true);
    expect(plan.late.every((one) => one.atMs > 0)).toBe(true);
    expect(new Set(plan.garbage.map((one) => one.kind))).toEqual(new Set(garbageKinds));
  });

  test('gives every request a key of its own', () => {
    const keys = [...plan.rush, ...plan.early, ...plan.late].map((one) => one.key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('the command line of the demo', () => {
  test('reads what is given and refuses what makes no sense', () => {
    const asked = (...args: string[]) => demoOptions(readArguments('demo', args));
    expect(asked('--customers', '1000', '--reservations=9000', '--sales', '2', '--seed', '7')).toEqual({
      customers: 1_000,
      reservations: 9_000,
      sales: 2,
      seed: 7,
    });
    expect(() => asked('--customers', 'many')).toThrow('--customers must be a whole number');
    expect(() => asked('--sales', '0')).toThrow('--sales must be a whole number');
    expect(() => asked('--speed', '9')).toThrow('has no option --speed');
  });
});
