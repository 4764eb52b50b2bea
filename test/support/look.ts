/**
 * Checks how a page looks: axe-core finds nothing in either colour scheme, and nothing is wider than the window. With
 * SCREENSHOTS=<folder> it saves a picture of each page there, at 390 and 1280 px, light and dark.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Visitor } from './visitor.ts';

const folder = process.env.SCREENSHOTS;

/** The pictures of one test file are numbered; `prefix` keeps those of another apart. */
export function createLook(prefix = '') {
  let looks = 0;
  return async ({ page, barriers }: Visitor, name: string): Promise<void> => {
    looks += 1;
    expect(await barriers(), name).toEqual([]);
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: width === 390 ? 844 : 800 });
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      expect(overflow, `${name} at ${width} px`).toBe(0);
      if (!folder) continue;
      await mkdir(folder, { recursive: true });
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        const file = `${prefix}${String(looks).padStart(2, '0')}-${name}-${width}-${colorScheme}.png`;
        await page.screenshot({ path: join(folder, file), fullPage: true });
      }
    }
  };
}
