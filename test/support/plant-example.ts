/** Examples of what can be planted, and of what cannot, for plant.test.ts: each in a process of its own, by name. */
import { inLua, inModule, type Planted, plant } from './plant.ts';

const state = () => import('#state/reservation-state.ts');
const say = (facts: object) => process.stdout.write(JSON.stringify(facts));

/** A fault as it would be if the compiler had not been asked. */
function unchecked(module: () => Promise<object>, substitutes: Record<string, unknown>): Planted {
  return { kind: 'module', module, substitutes };
}

const examples: Record<string, () => Promise<unknown>> = {
  async function() {
    const notPlanted = await plant([inModule(state, { mayMove: () => (from) => from === 'cancelled' })]);
    const { mayMove, statesBefore } = await state();
    say({ inside: statesBefore('allocated'), outside: mayMove('cancelled', 'allocated'), notPlanted: notPlanted() });
  },
  async twice() {
    const adding = (text: string) =>
      inModule(() => import('#sale/phase.ts'), {
        phaseAt:
          (real) =>
          (...args) =>
            `${real(...args)}, ${text}` as ReturnType<typeof real>,
      });
    const first = inModule(() => import('#sale/phase.ts'), { phaseAt: () => () => 'real' as never });
    await plant([first, adding('first'), adding('second')]);
    const { phaseAt } = await import('#sale/phase.ts');
    const times = { reserveOpensAtMs: 0, reserveClosesAtMs: 0, purchaseOpensAtMs: 0, purchaseClosesAtMs: 0 };
    say({ answer: phaseAt(times, 0) });
  },
  async object() {
    await plant([inModule(() => import('#sale/sale.store.ts'), { moveGuards: { available: '1 = 1' } })]);
    const { available, sold } = (await import('#sale/sale.store.ts')).moveGuards;
    say({ available, sold });
  },
  async lua() {
    const notPlanted = await plant([inLua('lib/mirror/return-claim.lua', { keepTicket: 'return 42' })]);
    const { luaSource } = await import('#platform/redis/redis.ts');
    const source = luaSource('../../lib/mirror/return-claim.lua', import.meta.url);
    say({ planted: source.includes('keepTicket(bucket, field, rest) return 42 end'), notPlanted: notPlanted() });
  },
  async renamed() {
    await plant([unchecked(state, { mayMoveOn: () => () => true })]);
    await state();
  },
  async constant() {
    const limits = () => import('#platform/kernel/time-limits.ts');
    await plant([unchecked(limits, { lockLifeMs: () => 1 })]);
    await limits();
  },
  async member() {
    const stock = () => import('#sale/sale.store.ts');
    await plant([unchecked(stock, { moveGuards: { unknown: '1 = 1' } })]);
    await stock();
  },
  async script() {
    await plant([inLua('lib/mirror/mirror.lua', { isNewest: 'return true' })]);
    await import('#mirror/mirror.ts');
  },
  async nowhere() {
    const name = '#state/nowhere.ts';
    await plant([unchecked(() => import(name), {})]);
  },
  async unloaded() {
    const notPlanted = await plant([inModule(state, { mayMove: (real) => real })]);
    say({ notPlanted: notPlanted() });
  },
};

await examples[process.argv[2] ?? '']?.();
process.exit();
