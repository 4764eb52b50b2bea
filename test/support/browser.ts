import { type Browser, chromium } from 'playwright-core';
import { findChromium } from './programs.ts';

const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A headless Chromium with a fresh profile, which playwright removes when it is closed. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath)
    throw new Error('The tests need Chromium on PATH, or CHROMIUM: `npm test` sees to it.');
  // Chromium's sandbox does not start as root.
  return chromium.launch({ executablePath, args: FLAGS, chromiumSandbox: process.getuid?.() !== 0 });
}
