/** The rules of WCAG 2.2 AA, as axe sees them, and what holds on every page: nothing is wider than the window. */
import { appendFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import type { Look } from './kept.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Where a run that is kept writes its looks down, a line for each. */
const log = process.env.HOLDFAST_AXE_LOG;

/** Rules of what a theme changes: it sets colours alone (local/web.test.ts). */
const ofColours = ['color-contrast', 'link-in-text-block'];

/** What breaks the rules on a page, or some of them, a line for each element. */
export async function findings(page: Page, rules?: readonly string[]): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe);
  const runOnly = rules ? { type: 'rule', values: [...rules] } : { type: 'tag', values: tags };
  const { found, ...look } = await page.evaluate(async (wanted) => {
    const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
    const { violations, passes, incomplete } = await axe.run(document, {
      runOnly: wanted as import('axe-core').RunOnly,
      // What passes is not told: telling takes longer than looking.
      resultTypes: ['violations'],
    });
    return {
      found: violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`)),
      page: document.querySelector('holdfast-sale') ? '<holdfast-sale>' : location.pathname + location.hash,
      isDark: matchMedia('(prefers-color-scheme: dark)').matches,
      language: document.documentElement.lang,
      rules: violations.length + passes.length + incomplete.length,
    };
  }, runOnly);
  const seen: Look = { ...look, findings: found.length };
  if (log) appendFileSync(log, `${JSON.stringify(seen)}\n`);
  return found;
}

/** By how much a page is wider than its window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - innerWidth));

/** Expects that axe finds nothing, in the light and in the dark, that nothing is wider than the window, and one heading. */
export async function expectFine(page: Page): Promise<void> {
  expect([await overflow(page), await page.locator('h1').count()]).toEqual([0, 1]);
  for (const [colorScheme, rules] of [['dark', ofColours], ['light']] as const) {
    await page.emulateMedia({ colorScheme });
    expect([colorScheme, await findings(page, rules)]).toEqual([colorScheme, []]);
  }
}
