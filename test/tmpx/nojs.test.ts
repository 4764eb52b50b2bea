import { test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { startDemo } from '../support/demo.ts';
test('x', async () => {
  const demo = await startDemo(); const browser = await launchBrowser({scripts:false});
  for (const o of [{}, { reducedMotion: 'reduce' as const }]) {
  const c = await browser.newContext(o);
  const page = await c.newPage();
  const v = async () => console.log(JSON.stringify(o), page.url(), await page.locator('noscript p').count(), await page.locator('noscript').isVisible(), await page.getByText('Signing in needs JavaScript').count(), await page.getByText('Signing in needs JavaScript').isVisible(), await page.getByText(/Creating an account needs/).isVisible());
  await page.goto(`${demo.app}/login`); await v();
  await page.goto(`${page.url()}`); await v();
  await page.goto(`${page.url()}/register`); await v();
  await page.screenshot({ path: '/tmp/scratch/nojs.png' });
  }
  await browser.close(); await demo.close();
});
