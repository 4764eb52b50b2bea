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

/**
 * A headless Chromium with a fresh profile, which playwright removes when it is closed. `scripts: false` shows
 * <noscript>, which playwright's own option does not; but then nothing can be waited for, for that takes a script.
 * `resolve`: host resolver rules, such as `MAP *.example.test 127.0.0.1`.
 */
export async function launchBrowser({ scripts = true, resolve = '' } = {}): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath)
    throw new Error('The tests need Chromium on PATH, or CHROMIUM: `npm test` sees to it.');
  const args = [
    ...FLAGS,
    ...(scripts ? [] : ['--blink-settings=scriptEnabled=false']),
    ...(resolve ? [`--host-resolver-rules=${resolve}`] : []),
  ];
  // Chromium's sandbox does not start as root.
  return chromium.launch({ executablePath, args, chromiumSandbox: process.getuid?.() !== 0 });
}
