/** What a sign-in costs a person's own machine: Chromium at the login page, OPAQUE in its worker, scrypt in that. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { BrowserContext, Page } from 'playwright-core';
import { fastOpaque } from '../../../src/browser/build_plugins.ts';
import { startRegistration } from '../../../src/browser/opaque_client.ts';
import { root } from '../../../src/root.ts';
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

/** The part of the DOM that is used here: the tests' types have none. */
interface Dom {
  addEventListener(type: string, then: () => void, capture: boolean): void;
  requestAnimationFrame(then: () => void): void;
  sessionStorage: Record<string, string>;
}

/** Opens the sign-in page and fills it in. `watch` runs in the page before the click, `read` in the next one. */
async function passwordStep(
  context: BrowserContext,
  cypher: Cypher,
  { watch, read }: { watch: () => void; read: () => Promise<number> | number },
): Promise<number> {
  const page = await context.newPage();
  await page.goto(cypher.origin + authorization(cypher, newVerifier()));
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(password);
  // Whoever types takes longer than the page takes to load its worker.
  await page.waitForLoadState('networkidle');
  await page.evaluate(watch);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByLabel('Code').waitFor();
  return page.evaluate(read);
}

/** Milliseconds from the click to the first paint of the next page, by the pages' own clocks: playwright looks too seldom. */
const speed = {
  watch() {
    const { addEventListener, sessionStorage } = globalThis as unknown as Dom;
    const clicked = () => {
      sessionStorage.clicked = String(performance.timeOrigin + performance.now());
    };
    addEventListener('click', clicked, true);
  },
  async read() {
    const paint = () => performance.getEntriesByName('first-contentful-paint')[0];
    while (!paint()) await new Promise((resolve) => setTimeout(resolve, 10));
    const { clicked } = (globalThis as unknown as Dom).sessionStorage;
    return performance.timeOrigin + (paint()?.startTime ?? Number.NaN) - Number(clicked);
  },
};

/** The longest time in milliseconds in which the page showed no frame. To ask for every frame makes the page slower. */
const frames = {
  watch() {
    const { requestAnimationFrame, sessionStorage } = globalThis as unknown as Dom;
    let last = performance.now();
    let longest = 0;
    const frame = () => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      sessionStorage.longest = String(longest);
      requestAnimationFrame(frame);
    };
    frame();
  },
  read: () => Number((globalThis as unknown as Dom).sessionStorage.longest),
};

/** Milliseconds of one scrypt with opaque-ts' parameters, in Chromium. */
async function scryptMs(page: Page): Promise<number> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { ScryptMemHardFn } from '@cloudflare/opaque-ts';
        globalThis.scrypt = () => { const begun = performance.now(); ScryptMemHardFn.harden(new Uint8Array(32)); return performance.now() - begun; };`,
      resolveDir: root,
    },
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    plugins: [fastOpaque],
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

/** Bytes of the OPAQUE worker as a browser downloads it without brotli. */
async function workerBytes(): Promise<number> {
  const assets = join(root, 'views/assets');
  const manifest = JSON.parse(await readFile(join(assets, 'manifest.json'), 'utf8'));
  return (await readFile(join(assets, `${manifest['opaque_worker.js']}.gz`))).length;
}

export const browser: Work = {
  name: 'browser',
  alone: true,
  async run({ cypher, told, options }) {
    told('Chromium: signing in');
    await signUpAsBrowsersDo(cypher);
    const chromium = await launchBrowser();
    try {
      const [speeds, stills]: [number[], number[]] = [[], []];
      for (let turn = 0; turn <= (options.quick ? 3 : 10); turn += 1) {
        for (const [kind, seen] of [
          [speed, speeds],
          [frames, stills],
        ] as const) {
          const context = await chromium.newContext();
          const measured = await passwordStep(context, cypher, kind);
          // The first one also loads Chromium.
          if (turn > 0) seen.push(measured);
          await context.close();
        }
      }
      const scrypt = await scryptMs(await chromium.newPage());
      const bytes = await workerBytes();
      const [total, still] = [median(speeds), Math.max(...stills)];
      return {
        title: 'the password step of a sign-in, in Chromium',
        figures: [],
        ratios: [],
        goals: [
          {
            goal: 'from the click to the next page in 600 ms',
            figure: `${whole(total)} ms, ${whole(scrypt)} ms of them scrypt`,
            met: total <= 600,
          },
          {
            goal: 'the page never stands still for more than 50 ms',
            figure: `${whole(still)} ms`,
            met: still <= 50,
          },
          {
            goal: "the worker's download is at most 45 kB",
            figure: `${(bytes / 1000).toFixed(1)} kB`,
            met: bytes <= 45_000,
          },
        ],
        notes: [],
      };
    } finally {
      await chromium.close();
    }
  },
};
