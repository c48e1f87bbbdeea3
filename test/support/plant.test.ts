/** A planted fault reaches every caller; one that cannot be planted is an error at compile time or load time. */
import { spawnSync } from 'node:child_process';
import { projectRoot } from '#local/state-folder.ts';
import { replaceFunctions } from './lua-functions.ts';
import { inModule } from './plant.ts';

/** Plants one of the examples in a process of its own, and returns what it printed. */
function example(name: string): string {
  const args = ['--disable-warning=ExperimentalWarning', 'test/support/plant-example.ts', name];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: projectRoot, encoding: 'utf8' });
  return stdout + stderr;
}

test('callers inside and outside of the module get the function that is planted', () => {
  expect(JSON.parse(example('function'))).toEqual({ inside: ['cancelled'], outside: true, notPlanted: [] });
});

test('of two substitutes the later is made from the earlier', () => {
  expect(JSON.parse(example('twice'))).toEqual({ answer: 'real, first, second' });
});

test('members of a constant object are replaced, the others stay', () => {
  expect(JSON.parse(example('object'))).toEqual({ available: '1 = 1', sold: 's.sold + m.sold >= 0' });
});

test('functions of a script are replaced', () => {
  expect(JSON.parse(example('lua'))).toEqual({ planted: true, notPlanted: [] });
});

test('what does not exist, is not a function or is never loaded is an error', () => {
  expect(example('renamed')).toContain('lib/state/reservation-state.ts: mayMoveOn cannot be replaced');
  expect(example('constant')).toContain('lib/platform/kernel/time-limits.ts: lockLifeMs cannot be replaced');
  expect(example('member')).toContain('lib/sale/sale.store.ts: moveGuards has no member unknown');
  expect(example('script')).toContain('lib/mirror/mirror.lua declares no function isNewest at its top');
  expect(example('nowhere')).toContain('a fault names a module that cannot be resolved');
  expect(JSON.parse(example('unloaded'))).toEqual({ notPlanted: ['lib/state/reservation-state.ts: mayMove'] });
});

test('the compiler finds what is planted where nothing of that name and type is', () => {
  const faults = [
    // @ts-expect-error: the module exports no such function.
    inModule(() => import('#state/reservation-state.ts'), { mayMoveOn: () => () => true }),
    // @ts-expect-error: there is no such module.
    inModule(() => import('#state/reservation-states.ts'), {}),
    // @ts-expect-error: the function returns no text.
    inModule(() => import('#state/reservation-state.ts'), { mayMove: () => () => 'yes' }),
    // @ts-expect-error: the function is not given a number.
    inModule(() => import('#state/reservation-state.ts'), { mayMove: (real) => (from) => real(from, 1) }),
    // @ts-expect-error: the object has no such member.
    inModule(() => import('#sale/sale.store.ts'), { moveGuards: { unknown: '1 = 1' } }),
    // @ts-expect-error: the module itself would still use its own number.
    inModule(() => import('#platform/kernel/time-limits.ts'), { lockLifeMs: 1 }),
  ];
  expect(faults).toHaveLength(6);
});

test('a function of a script is found by its name, whatever its body contains', () => {
  const script = `local function one(a, b)
  for n = 1, a do if n > b then return 'end' end end
  while a do a = nil end
end
-- local function two() end
local function two() return one(1, 2) end
return two()`;
  expect(replaceFunctions(script, 'a script', { one: 'return 7' })).toBe(
    script.replace(/\n {2}for[\s\S]*?\nend\n/, ' return 7 end\n'),
  );
  expect(replaceFunctions(script, 'a script', { two: '' })).toContain('local function two()  end\nreturn two()');
  expect(() => replaceFunctions(script, 'a script', { three: '' })).toThrow('declares no function three');
});
