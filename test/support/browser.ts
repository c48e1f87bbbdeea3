/**
 * The browser of the tests of pages: Chromium or Chrome of this machine, or else Debian's package. Chromium's headless shell comes
 * first: it is the same engine without the windows around it, and the tests take half as long in it.
 */
import { type Browser, chromium } from 'playwright-core';
import { CannotInstall, findProgram, installPackages } from '#local/debian.ts';

const programs = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Debian's packages of it; older releases have only the second. */
const packages = ['chromium-headless-shell', 'chromium'];
/** Without these, Korean and emoji are boxes in the pictures. */
const fonts = ['fonts-noto-cjk', 'fonts-noto-color-emoji'];

/** The path of a browser; installs one where that is possible. Undefined where there is none and none can be had. */
export async function findBrowser(report: (line: string) => void): Promise<string | undefined> {
  const found = () => process.env.HOLDFAST_TEST_BROWSER || programs.map(findProgram).find((path) => path !== undefined);
  const there = found();
  if (there) return there;
  for (const name of packages) {
    try {
      await installPackages([name, ...fonts], report);
      return found();
    } catch (error) {
      if (error instanceof CannotInstall) return undefined;
      report((error as Error).message);
    }
  }
  return undefined;
}

/** Starts the browser that `npm test` found. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    ...(process.env.HOLDFAST_TEST_BROWSER ? { executablePath: process.env.HOLDFAST_TEST_BROWSER } : {}),
    // The tests run as root in containers, where Chromium's own sandbox cannot be.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
  });
}
