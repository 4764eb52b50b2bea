import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Koa from 'koa';
import request from 'supertest';
import { afterAll, expect, test } from 'vitest';
import { createAssets } from '../../src/http/assets.ts';

const dir = mkdtempSync(join(tmpdir(), 'assets-'));
afterAll(() => rmSync(dir, { recursive: true }));
writeFileSync(join(dir, 'manifest.json'), '{"page.js":"page-ABC.js"}');
writeFileSync(join(dir, 'page-ABC.js'), 'plain');
writeFileSync(join(dir, 'page-ABC.js.gz'), 'gz');
writeFileSync(join(dir, 'page-ABC.js.br'), 'br');
const assets = createAssets({ dir });
const server = new Koa().use(assets.middleware).callback();

test('a built file is served as it is named, for good, in the form the browser takes', async () => {
  expect(assets.urlFor('page.js')).toBe('/assets/page-ABC.js');
  const plain = await request(server).get('/assets/page-ABC.js').set('accept-encoding', 'identity');
  expect(plain.text).toBe('plain');
  expect(plain.headers).toMatchObject({
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, max-age=31536000, immutable',
    vary: 'Accept-Encoding',
  });
  expect(plain.headers).not.toHaveProperty('content-encoding');
  const head = await request(server).head('/assets/page-ABC.js').set('accept-encoding', 'gzip, br');
  expect(head.headers).toMatchObject({ 'content-encoding': 'br', 'content-length': '2' });
});

test.each([
  '/assets/manifest.json',
  '/assets/page.js',
  '/assets/',
  '/assets/../package.json',
  '/assets/toString',
])('%s is not there', async (path) => {
  expect((await request(server).get(path)).status).toBe(404);
});

test('a missing build says what to run', () => {
  expect(() => createAssets({ dir: join(dir, 'none') })).toThrow('npm run build');
  expect(() => assets.urlFor('other.js')).toThrow('no built file is called other.js');
});
