/** What a sign-in costs a person's own machine: Chromium at the login page, OPAQUE in its worker, scrypt in that. */
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { startRegistration } from '../../../src/browser/opaque_client.ts';
import { launchBrowser } from '../../support/browser.ts';
import { authorization, newVerifier } from '../oauth.ts';
import { password } from '../opaque_clients.ts';
import { signUp } from '../sign_in.ts';
import { median } from '../statistics.ts';
import type { Cypher } from '../subjects/cypher.ts';
import { type Work, whole } from '../work.ts';

const username = 'somebody-at-a-browser';

/** An account whose password is stretched as the pages stretch it, unlike those of the other works. */
async function signUpAsBrowsersDo(cypher: Cypher): Promise<void> {
  const registration = await startRegistration(password);
  const { request, finish: record } = registration;
  await signUp(
    { ...cypher, opaque: { ...cypher.opaque, registrationRequest: async () => request, record } },
    username,
  );
}

interface SignIn {
  /** From the click to the next page. */
  ms: number;
  /** The longest time in which the page showed no frame. */
  stillMs: number;
}

async function passwordStep(page: Page, cypher: Cypher): Promise<SignIn> {
  await page.goto(cypher.origin + authorization(cypher, newVerifier()));
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.evaluate(() => {
    const { requestAnimationFrame } = globalThis as unknown as {
      requestAnimationFrame(then: () => void): void;
    };
    let last = performance.now();
    let longest = 0;
    const frame = () => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      sessionStorage.setItem('longest', String(longest));
      requestAnimationFrame(frame);
    };
    frame();
  });
  const begun = performance.now();
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByLabel('Code').waitFor();
  const ms = performance.now() - begun;
  return { ms, stillMs: Number(await page.evaluate(() => sessionStorage.getItem('longest'))) };
}

/** Milliseconds of one scrypt with opaque-ts' parameters, in Chromium. */
async function scryptMs(page: Page): Promise<number> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { ScryptMemHardFn } from '@cloudflare/opaque-ts';
        globalThis.scrypt = () => { const begun = performance.now(); ScryptMemHardFn.harden(new Uint8Array(32)); return performance.now() - begun; };`,
      resolveDir: join(import.meta.dirname, '../../..'),
    },
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    // As in src/browser/build.ts.
    define: { module: 'undefined' },
    logLevel: 'error',
  });
  await page.goto('about:blank');
  await page.addScriptTag({ content: outputFiles[0]?.text ?? '' });
  const times: number[] = [];
  for (let turn = 0; turn < 5; turn += 1) {
    times.push(await page.evaluate(() => (globalThis as unknown as { scrypt(): number }).scrypt()));
  }
  return median(times);
}

export const browser: Work = {
  name: 'browser',
  alone: true,
  async run({ cypher, told, options }) {
    told('Chromium: signing in');
    await signUpAsBrowsersDo(cypher);
    const chromium = await launchBrowser();
    try {
      const signIns: SignIn[] = [];
      for (let turn = 0; turn <= (options.quick ? 3 : 10); turn += 1) {
        const context = await chromium.newContext();
        const step = await passwordStep(await context.newPage(), cypher);
        // The first one also loads Chromium.
        if (turn > 0) signIns.push(step);
        await context.close();
      }
      const scrypt = await scryptMs(await chromium.newPage());
      const total = median(signIns.map(({ ms }) => ms));
      const still = Math.max(...signIns.map(({ stillMs }) => stillMs));
      return {
        title: 'the password step of a sign-in, in Chromium',
        figures: [],
        ratios: [],
        goals: [
          {
            goal: 'the page never stands still for 100 ms',
            figure: `${whole(still)} ms; ${whole(total)} ms from the click to the next page, ${whole(scrypt)} ms of them scrypt`,
            met: still < 100,
          },
        ],
        notes: [],
      };
    } finally {
      await chromium.close();
    }
  },
};
