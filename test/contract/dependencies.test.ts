/** docs/dependencies.md names every production dependency with its licence and a reason, and every licence that they bring. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';

interface Locked {
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
