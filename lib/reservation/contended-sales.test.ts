import type { SaleId } from '#platform/kernel/ids.ts';
import { newId } from '#test/support/ids.ts';
import { contendedSales } from './contended-sales.ts';

describe('the sales that had to be held lately', () => {
  const [one, other] = [newId() as SaleId, newId() as SaleId];

  it('remembers a sale for two seconds after it was last held', () => {
    let nowMs = 10_000;
    const sales = contendedSales({ clock: () => nowMs });
    expect(sales.includes([one, other])).toBe(false);
    sales.add([one]);
    expect([sales.includes([other, one]), sales.includes([other])]).toEqual([true, false]);
    nowMs += 1_500;
    sales.add([one]);
    nowMs += 1_999;
    expect(sales.includes([one])).toBe(true);
    nowMs += 1;
    expect(sales.includes([one])).toBe(false);
  });
});
