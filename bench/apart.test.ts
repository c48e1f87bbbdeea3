/** Processes kept apart, by what the kernel says of them, and left alone where that cannot be. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { keepApart } from './apart.ts';

let children: ChildProcess[] = [];

beforeEach(async () => {
  children = [idle(), idle()];
  await Promise.all(children.map((child) => once(child, 'spawn')));
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
});

const idle = (): ChildProcess => spawn(process.execPath, ['-e', 'setInterval(() => {}, 1_000)']);

/** The processors that the kernel lets a process use, one by one; of this process where none is named. */
function processorsOf(pid: number | string = 'self'): number[] {
  const mask = /^Cpus_allowed:\s*([0-9a-f,]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
  const bits = [...BigInt(`0x${mask.replaceAll(',', '')}`).toString(2)].reverse();
  return bits.flatMap((bit, processor) => (bit === '1' ? [processor] : []));
}

const possible =
  process.platform === 'linux' && processorsOf().length > 1 && spawnSync('taskset', ['--version']).status === 0;

describe('keepApart', () => {
  it('keeps some on the first processor and others off it until it is released, where that is possible', () => {
    const [some, other] = children.map(({ pid }) => pid);
    const release = keepApart([some, undefined], [other]);
    expect(release !== undefined).toBe(possible);
    if (some === undefined || other === undefined || release === undefined) return;

    const all = processorsOf();
    expect(processorsOf(some)).toEqual(all.slice(0, 1));
    expect(processorsOf(other)).toEqual(all.slice(1));
    release();
    expect(processorsOf(some)).toEqual(all);
    expect(processorsOf(other)).toEqual(all);
  });

  it('leaves everything where it was if one of them cannot be kept', () => {
    const [some] = children.map(({ pid }) => pid);
    const refused = Number.NaN;
    expect(keepApart([some], [refused])).toBeUndefined();
    if (some !== undefined && process.platform === 'linux') expect(processorsOf(some)).toEqual(processorsOf());
  });
});
