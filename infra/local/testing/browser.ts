// The Chromium that tests of pages run in, if it is there.
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);

/** For a test's `skip`: false if there is a browser, else why nothing is tested, which is also printed. */
export function skipWithoutBrowser(what: string): string | false {
  if (CHROMIUM) return false;
  const why = `no chromium on this machine: ${what} NOT TESTED`;
  console.warn(why);
  return why;
}

export function launchChromium(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM as string, args: ['--no-sandbox', ...args] });
}
