/** What an operator sees of a running server: its version, requests by route and status, and where people begin. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const get = (path: string, method = 'GET') =>
  fetch(`${server.url}${path}`, { method, headers: { accept: 'text/html' }, redirect: 'manual' });

test('the version is told by /health and by a metric', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
  for (const path of ['/health', '/health/live', '/health/ready']) {
    const answer = await get(path);
    expect([path, answer.status, await answer.json()]).toEqual([
      path,
      200,
      expect.objectContaining({ status: 'ok', version }),
    ]);
  }
  expect(await server.metrics.registry.metrics()).toContain(`cypher_build_info{version="${version}"} 1`);
});

test('requests are counted by route and status, and made-up addresses make no series', async () => {
  await createPerson(server, 'counted').tokensFor(apps.web);
  for (let index = 0; index < 50; index++) {
    await get(`/made-up-${index}`);
    await get(`/interaction/made-up-${index}`);
    await get(`/assets/made-up-${index}.js`);
    await get(`/account/made-up-${index}`, 'POST');
  }
  const text = await server.metrics.registry.metrics();
  const series = text.split('\n').filter((line) => line.startsWith('cypher_http_requests_total{'));
  const count = (labels: string) => Number(series.find((line) => line.includes(labels))?.split(' ')[1]);
  expect(count('route="none",status="404"')).toBeGreaterThanOrEqual(100);
  expect(count('route="/interaction/:uid",status="400"')).toBe(50);
  expect(count('route="token",status="200"')).toBe(1);
  expect(count('route="authorization",status="303"')).toBeGreaterThanOrEqual(1);
  expect(count('route="/interaction/:uid/totp/verify-setup",status="200"')).toBe(1);
  expect(series.join('\n')).not.toContain('made-up');
  expect(series.length).toBeLessThan(30);
  expect(text).toMatch(/cypher_http_request_seconds_count\{route="token"\} 1/);
});

test('home has a way to sign in, which leads to the account page', async () => {
  const page = await (await get('/')).text();
  const [, href] = /<a class="button" href="([^"]*)">Sign in<\/a>/.exec(page) ?? [];
  const begun = await get(String(href));
  expect([begun.status, begun.headers.get('location')]).toEqual([303, expect.stringMatching(/^\/auth\?/)]);
});
