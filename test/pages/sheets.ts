/**
 * `npm run pictures -- --sheets`: every page of the shop in every state, at three sizes, in both languages and both themes, on one
 * sheet for each page and size: to be looked at, not kept.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { readerOf } from '#platform/kernel/reader.ts';
import { coverPng } from '#web/cover-png.ts';
import { type Pretended, pretend } from './pretend.ts';
import { type Scene, scenesFor } from './scenes.ts';

const sizes = { phone: [390, 844], tablet: [820, 1_180], desktop: [1_440, 900] } as const;
/** How tall a picture may become; what is below is cut off. */
const tallest = { phone: 2_600, tablet: 2_000, desktop: 1_800 };
/** How many stand beside each other, and how wide each is on the sheet. */
const laid = { phone: [4, 390], tablet: [2, 820], desktop: [2, 1_000] } as const;
const locales = ['en-GB', 'ko-KR'] as const;
const schemes = ['light', 'dark'] as const;
const timeZone = 'Asia/Seoul';

type Size = keyof typeof sizes;

/** Takes the sheets of the scenes whose names begin with one of these, separated by commas, or of `all`. */
export async function takeSheets(folder: string, only: string, say: (line: string) => void): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const pages = await pretend();
  try {
    const names = scenesFor(readerOf({ timeZone })).map(({ name }) => name);
    const wanted = names.filter((name) => only === 'all' || only.split(',').some((one) => name.startsWith(one)));
    for (const name of wanted) {
      for (const size of Object.keys(sizes) as Size[]) await takeSheet(pages, folder, name, size);
      say(name);
    }
  } finally {
    await pages.close();
  }
}

async function takeSheet(pages: Pretended, folder: string, name: string, size: Size): Promise<void> {
  const taken: Buffer[] = [];
  for (const locale of locales) {
    const scene = scenesFor(readerOf({ locale, timeZone })).find((one) => one.name === name);
    if (scene) taken.push(...(await take(pages, scene, size, locale)));
  }
  const sheet = await tile(pages, taken, size);
  writeFileSync(join(folder, `${name}-${size}.png`), sheet);
}

/** The pictures of a scene in a language, in each theme. */
async function take(pages: Pretended, scene: Scene, size: Size, locale: string): Promise<Buffer[]> {
  const [width, height] = sizes[size];
  const { page } = await pages.open({
    ...{ role: scene.role, locale, viewport: { width, height }, isLive: true },
    answer: (path, _query, { method }) => scene.answer(path, method),
  });
  await page.route('**/pictures/*.png', (route) =>
    route.fulfill({ contentType: 'image/png', body: coverPng(new URL(route.request().url()).pathname) }),
  );
  await page.goto(pages.url + scene.at);
  await page.locator('main h1').waitFor();
  await page.waitForTimeout(600);
  await scene.reach?.(page);
  await page.waitForTimeout(300);
  const pictures: Buffer[] = [];
  for (const colorScheme of schemes) {
    await page.emulateMedia({ colorScheme });
    pictures.push(await whole(page, size));
  }
  await page.context().close();
  return pictures;
}

/** The whole page; one on which something floats stays as large as its window. */
async function whole(page: Page, size: Size): Promise<Buffer> {
  const floats = await page.locator('dialog[open], .pay').count();
  if (floats > 0) return page.screenshot();
  const [width] = sizes[size];
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  return page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width, height: Math.min(height, tallest[size]) } });
}

/** Pictures beside each other, as one. */
async function tile(pages: Pretended, pictures: readonly Buffer[], size: Size): Promise<Buffer> {
  const [columns, width] = laid[size];
  const page = await pages.blank({ width: columns * (width + 8), height: 100 });
  const images = pictures.map((one) => `<img width=${width} src="data:image/png;base64,${one.toString('base64')}">`);
  await page.setContent(
    `<style>body { margin: 0; background: #888; display: grid; gap: 8px; align-items: start;
      grid-template-columns: repeat(${columns}, ${width}px) } img { display: block }</style>${images.join('')}`,
  );
  await page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
  const sheet = await page.screenshot({ fullPage: true });
  await page.context().close();
  return sheet;
}
