/**
 * docs/operations.md says what is there: what of the template LocalStack is asked for and what not, what to do about each
 * alarm, and sums that add up.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deployablePart } from '#local/deploy-to-localstack.ts';
import { projectRoot } from '#local/state-folder.ts';
import { type Package, packaged, packagingLimitMs } from '../support/package.ts';

let made: Package;
beforeAll(async () => {
  made = await packaged();
}, packagingLimitMs);

const text = readFileSync(join(projectRoot, 'docs', 'operations.md'), 'utf8');

/** What stands under a heading, up to the next one. */
function under(heading: string): string {
  const found = new RegExp(`^#+ ${heading}\\n([\\s\\S]*?)(?=^#+ |(?![\\s\\S]))`, 'm').exec(text);
  if (!found?.[1]) throw new Error(`operations.md has no "${heading}"`);
  return found[1];
}

const rowsOf = (section: string) =>
  section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split('|').slice(1, -1));
const typesIn = (part: string) => [...new Set([...part.matchAll(/`(AWS::\w+::\w+)`/g)].map(([, type]) => type))].sort();
const sorted = (types: Iterable<string>) => [...new Set(types)].sort();

test('lists what of the template is deployed to LocalStack and what is not', () => {
  const section = under('The packaged template on LocalStack');
  const { template, left } = deployablePart({ Resources: made.resources }, { functions: true });
  const listed = section.replace(/^\|.*\n/gm, '');
  expect(typesIn(listed)).toEqual(sorted(Object.values(template.Resources).map(({ Type }) => Type)));
  const missing = rowsOf(section).map(([types = '']) => types);
  expect(typesIn(missing.join())).toEqual(sorted(left.values()));
});

test('says what to do about each alarm, and about no other', () => {
  const described = rowsOf(under('Runbook')).flatMap(([names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, n]) => n),
  );
  const alarms = Object.values(made.resources)
    .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
    .map(({ Properties }) => String(Properties.AlarmName).replace('holdfast-prod-', ''))
    .map((name) =>
      name.replace(/^\w+-(dead-letters|oldest-message)$/, '<queue>-$1').replace(/^\w+-errors$/, '<worker>-errors'),
    );
  expect(sorted(described.filter((name) => name !== undefined))).toEqual(sorted(alarms));
});

test('adds up what a month costs', () => {
  const rows = rowsOf(under('Three launches'));
  const first = rows.findIndex(([name = '']) => name.includes('A month'));
  const parts = rows.slice(first + 2).map((row) => row.slice(1).map(dollars));
  const together = parts.pop() ?? [];
  const promised = rows
    .find(([name = '']) => name.includes('Per month, standing'))
    ?.slice(1)
    .map(dollars);
  expect(together).toEqual(promised);
  for (const [column, sum] of together.entries()) {
    const added = parts.reduce((total, row) => total + (row[column] ?? 0), 0);
    // Sums are rounded to two or three figures.
    expect(Math.abs(added - sum) / sum).toBeLessThan(0.01);
  }
});

test('plans with the batches and the concurrency that are declared', () => {
  const mappings = new Map(
    Object.values(made.resources)
      .filter(({ Type }) => Type === 'AWS::Lambda::EventSourceMapping')
      .map(({ Properties }) => [String(Properties.FunctionName['Fn::GetAtt'][0]), Properties]),
  );
  const planned = (worker: string) =>
    rowsOf(under('Three launches')).find(([name = '']) => name.includes(`\`${worker}\``));
  const { BatchSize, ScalingConfig } = mappings.get('AllocateLambdaFunction') ?? {};
  const [name = '', least = ''] = planned('allocate') ?? [];
  const [, batch = ''] = /\bbatch ([\d,]+)/.exec(name) ?? [];
  expect(Number(batch.replaceAll(',', ''))).toBe(BatchSize);
  expect(Number(least)).toBe(ScalingConfig.MaximumConcurrency);
  expect(Number(planned('pay')?.[1])).toBe(mappings.get('PayLambdaFunction')?.ScalingConfig.MaximumConcurrency);
});

test('says how many concurrent executions the account needs', () => {
  const reserved = Object.values(made.resources)
    .filter(({ Type }) => Type === 'AWS::Lambda::Function')
    .map(({ Properties }) => Number(Properties.ReservedConcurrentExecutions ?? 0))
    .reduce((sum, each) => sum + each, 0);
  const kept = (name: string) => {
    const [, value = ''] = rowsOf(under('Deploy')).find(([cell = '']) => cell.includes(`\`${name}\``)) ?? [];
    return Number(value.trim().replaceAll(',', ''));
  };
  expect(kept('ReservedConcurrentExecutions')).toBe(reserved);
  // Lambda refuses to reserve the last hundred.
  expect(kept('ConcurrentExecutions')).toBe(reserved + 100);
});

/** What the amounts in a cell come to. */
function dollars(cell: string): number {
  return [...cell.matchAll(/\$([\d,]+)/g)].reduce(
    (sum, [, amount = '']) => sum + Number(amount.replaceAll(',', '')),
    0,
  );
}
