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

/** What is labels and numbers: not a word of it is broken over lines, and nothing of it is cut off. */
const whole = 'button, .button, .badge, .tabs a, th, dt, legend, .count dd, .tile dd, .fact dd, td.number';

/** What of a page is broken or cut off, a line for each. Names, codes and addresses may be broken anywhere. */
export const broken = (page: Page): Promise<string[]> =>
  page.evaluate((selector) => {
    const wrong: string[] = [];
    const range = document.createRange();
    for (const element of document.querySelectorAll<HTMLElement>(selector)) {
      if (!element.checkVisibility() || element.closest('.visually-hidden, .skip')) continue;
      const isBox = element.matches('button, .button, .badge, dd');
      const room = element.closest('.table, .card, dialog, main, body')?.getBoundingClientRect().right ?? 0;
      const isBeyond = element.getBoundingClientRect().right > room + 1;
      if (isBox && (isBeyond || element.scrollWidth > element.clientWidth + 1)) {
        wrong.push(`cut off: ${element.textContent}`);
      }
      const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        if (node.parentElement?.closest('bdi, code, .visually-hidden')) continue;
        // A line may end between words, and beside what parts them.
        for (const { index, 0: word } of (node.textContent ?? '').matchAll(/[^\s()/,·–-]+/g)) {
          range.setStart(node, index);
          range.setEnd(node, index + word.length);
          const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
          if (lines.size > 1) wrong.push(`broken: ${word} in ${element.textContent}`);
        }
      }
    }
    // What is drawn ends before the edges of its canvas, or it would be cut off there.
    for (const canvas of document.querySelectorAll<HTMLCanvasElement>('.chart canvas')) {
      const { width, height } = canvas;
      const edges = [0, width - 1].map((x) => canvas.getContext('2d')?.getImageData(x, 0, 1, height).data ?? []);
      if (edges.some((edge) => edge.some((value) => value > 0))) {
        wrong.push(`cut off: ${canvas.closest('[aria-label]')?.getAttribute('aria-label')}`);
      }
    }
    return wrong;
  }, whole);

/** By how much a page is wider than its window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - innerWidth));

/**
 * Expects that axe finds nothing, in the light and in the dark, that nothing is wider than the window, no label or number broken
 * or cut off, and one heading.
 */
export async function expectFine(page: Page): Promise<void> {
  expect([await overflow(page), await page.locator('h1').count(), await broken(page)]).toEqual([0, 1, []]);
  for (const [colorScheme, rules] of [['dark', ofColours], ['light']] as const) {
    await page.emulateMedia({ colorScheme });
    expect([colorScheme, await findings(page, rules)]).toEqual([colorScheme, []]);
  }
}
