/** docs/dependencies.md names every production dependency with its licence and a reason, and every licence that they bring. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';

interface Locked {
  version?: string;
  /** A folder of this project that npm installs as a package. */
  link?: boolean;
  license?: string;
  dev?: boolean;
  devOptional?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');
const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> };
const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as Required<Locked>;
const text = read('docs/dependencies.md');
const rows = [...text.matchAll(/^\| `([^`]+)` +\| (\S+) +\| (.*\S) +\|$/gm)].map(([, name = '', licence, reason]) => ({
  name,
  licence,
  reason,
}));

const direct = Object.keys({ ...dependencies, ...optionalDependencies });

test('every production dependency has one row, with the licence of the lock file and a reason', () => {
  expect(rows.map(({ name }) => name).sort()).toEqual([...direct].sort());
  const wrong = rows.filter(({ name, licence }) => packages[`node_modules/${name}`]?.license !== licence);
  expect(wrong).toEqual([]);
  for (const { reason } of rows) expect(reason).toMatch(/\w/);
});

test('there is one S3 client, of the version that the package for forms wants', () => {
  const name = '@aws-sdk/client-s3';
  const installed = Object.entries(packages).filter(([path]) => path.endsWith(`node_modules/${name}`));
  const wanted = packages['node_modules/@aws-sdk/s3-presigned-post']?.dependencies?.[name];
  expect(installed.map(([path, { version }]) => [path, version])).toEqual([[`node_modules/${name}`, wanted]]);
  expect(dependencies[name as keyof typeof dependencies]).toBe(wanted);
});

test('every package of an account has a licence that the document names', () => {
  const [, section = ''] = /^## Licences\n([^#]+)/m.exec(text) ?? [];
  const allowed = [...section.matchAll(/`([^`]+)`/g)].map(([, licence]) => licence);
  // What only a tool or an optional peer asks for is in no account.
  const installed = Object.entries(packages).filter(
    ([path, { dev, devOptional, link }]) => path !== '' && !dev && !devOptional && !link,
  );
  expect(installed.length).toBeGreaterThan(direct.length);
  const others = installed.filter(([, { license }]) => !allowed.includes(license ?? ''));
  expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
});

test('every package with a known advisory is at a version in which it is mended', () => {
  const [, section = ''] = /^## Known vulnerabilities\n([\s\S]+)/m.exec(text) ?? [];
  const found = [...section.matchAll(/^\| ([\w-]+) +\| (\d[\d., ]*\d) +\|/gm)];
  expect(found.length).toBeGreaterThan(5);
  for (const [, name = '', mendedIn = ''] of found) {
    const versions = Object.entries(packages).flatMap(([path, { version, dev, devOptional }]) =>
      path.split('node_modules/').at(-1) === name && !dev && !devOptional && version ? [version] : [],
    );
    expect([name, versions.length > 0]).toEqual([name, true]);
    const mended = mendedIn.split(', ').map(numbersOf);
    for (const version of versions) {
      // Of several lines the one with its own major counts, and otherwise the newest.
      const least = mended.find(([major]) => major === numbersOf(version)[0]) ?? mended.at(-1);
      expect([name, version, isAtLeast(numbersOf(version), least ?? [])]).toEqual([name, version, true]);
    }
  }
});

const numbersOf = (version: string) => version.split('.').map(Number);

function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  const index = version.findIndex((part, place) => part !== least[place]);
  return index < 0 || (version[index] ?? 0) > (least[index] ?? 0);
}
