/**
 * The browser of the tests of pages: Chromium or Chrome of this machine, or else Debian's package.
 */
import { type Browser, chromium } from 'playwright-core';
import { CannotInstall, findProgram, installPackages } from '#local/debian.ts';

const programs = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Without these, Korean and emoji are boxes in the pictures. */
const packages = ['chromium', 'fonts-noto-cjk', 'fonts-noto-color-emoji'];

/** The path of a browser; installs one where that is possible. Undefined where there is none and none can be had. */
export async function findBrowser(report: (line: string) => void): Promise<string | undefined> {
  const found = () => process.env.HOLDFAST_TEST_BROWSER || programs.map(findProgram).find((path) => path !== undefined);
  const there = found();
  if (there) return there;
  try {
    await installPackages(packages, report);
    return found();
  } catch (error) {
    if (error instanceof CannotInstall) return undefined;
    report((error as Error).message);
    return undefined;
  }
}

/** Starts the browser that `npm test` found. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    ...(process.env.HOLDFAST_TEST_BROWSER ? { executablePath: process.env.HOLDFAST_TEST_BROWSER } : {}),
    // The tests run as root in containers, where Chromium's own sandbox cannot be.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
  });
}
