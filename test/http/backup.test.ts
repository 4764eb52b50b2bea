/** `npx cypher backup` and `npx cypher restore`, on a PostgreSQL given by DATABASE_URL. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import request from 'supertest';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { apps } from '../support/apps.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { createDatabase, createRedisDatabase, generousTimeouts } from '../support/databases.ts';
import { isActive, refresh } from '../support/key_pair.ts';
import { createPerson } from '../support/person.ts';
import { startServer } from '../support/server.ts';

const { web, api } = apps;
const options = { clients: [web, api] };
let server: Administered;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cypher-backup-'));
  server = await startAdministered(options);
});
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

const file = (name: string) => join(directory, name);

/** An empty database, and what commands and queries say there. */
async function anotherDatabase() {
  const { url, drop } = await createDatabase();
  const database = openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts });
  onTestFinished(async () => {
    await database.close();
    await drop();
  });
  const restore = (path: string, ...flags: string[]) =>
    server.cypher(['restore', path, ...flags], { settings: { DATABASE_URL: url } });
  const tables = async () =>
    (
      await database.query<{ name: string }>(
        "select tablename as name from pg_tables where schemaname = 'public'",
      )
    ).length;
  return { url, database, restore, tables };
}

test('Restore: a backup that is made while the server runs is restored into an empty database: people sign in, nothing of before lives', async () => {
  const ada = createPerson(server, 'ada');
  const before = await ada.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  // What COPY has to escape, in a row of its own.
  const awkward = 'a\\b\tc\n\\.\nd\r"é😀';
  await server.database.query(
    "insert into audit_log (at, event, detail) values (now(), 'login.failed', $1)",
    [JSON.stringify({ awkward })],
  );
  const made = await server.cypher(['backup', file('first')]);
  expect([made.code, made.stderr]).toEqual([0, '']);
  expect(made.stdout).toMatch(/key-encryption key is not in it/);
  expect((await stat(file('first'))).mode & 0o777).toBe(0o600);
  const again = await server.cypher(['backup', file('first')]);
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('exists')]);

  const other = await anotherDatabase();
  const restored = await other.restore(file('first'));
  expect([restored.code, restored.stderr]).toEqual([0, '']);
  expect(restored.stdout).toMatch(/keys .* were replaced/);
  for (const table of ['accounts', 'unused_recovery_codes', 'sessions', 'refresh_families']) {
    const count = `select count(*)::int as rows from ${table}`;
    expect(await other.database.query(count), table).toEqual(await server.database.query(count));
  }
  const [kept] = await other.database.query<{ text: string }>(
    "select detail->>'awkward' as text from audit_log where detail ? 'awkward'",
  );
  expect(kept?.text).toBe(awkward);
  await expect(other.database.query('delete from audit_log')).rejects.toThrow('append-only');

  const there = await startServer({
    ...options,
    issuer: server.url,
    storage: { databaseUrl: other.url, redisUrl: await createRedisDatabase() },
  });
  onTestFinished(there.close);
  expect((await request(there.url).get('/health/ready')).status).toBe(200);
  expect(await isActive(there, before.access_token)).toBe(false);
  expect((await refresh(there, before.refresh_token)).body.error).toBe('invalid_grant');

  const moved = await startServer({
    ...options,
    storage: { databaseUrl: other.url, redisUrl: await createRedisDatabase() },
  });
  onTestFinished(moved.close);
  // No code of the authenticator up to now is taken.
  moved.clock.advance((server.clock.now() - Date.now()) / 1000 + 30);
  const home = createPerson(moved, 'ada');
  home.totpSecret = ada.totpSecret;
  expect((await home.tokensFor(web)).access_token).toBeTruthy();
});

test('a backup that is damaged, newer or of another key changes nothing', async () => {
  const { code } = await server.cypher(['backup', file('sound')]);
  expect(code).toBe(0);
  const sound = await readFile(file('sound'));
  const text = gunzipSync(sound).toString('latin1');
  const altered = (name: string, content: Buffer) => writeFile(file(name), content);
  await altered('cut', sound.subarray(0, sound.length - 40));
  await altered('changed', gzipSync(Buffer.from(text.replace('\tada\t', '\teve\t'), 'latin1')));
  await altered('newer', gzipSync(Buffer.from(text.replace('"0001_keys"', '"9999_later"'), 'latin1')));
  await altered('none', Buffer.from('no backup'));
  const other = await anotherDatabase();
  for (const [name, because] of [
    ['cut', /damaged/],
    ['changed', /checksum/],
    ['newer', /newer version.*9999_later/],
    ['none', /damaged/],
    ['absent', /ENOENT/],
  ] as const) {
    const { code, stderr } = await other.restore(file(name));
    expect.soft([name, code, stderr]).toEqual([name, 1, expect.stringMatching(because)]);
    expect.soft(await other.tables(), name).toBe(0);
  }
  const stranger = await server.cypher(['restore', file('sound')], {
    settings: { DATABASE_URL: other.url, KEY_ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64url') },
  });
  expect([stranger.code, stranger.stderr]).toEqual([
    1,
    expect.stringContaining('KEY_ENCRYPTION_KEY is not the one'),
  ]);
  expect(await other.tables()).toBe(0);
});

test('a database that is not empty is replaced only if that is said, under a running server too', async () => {
  const bea = createPerson(server, 'bea');
  const tokens = await bea.tokensFor(web);
  await server.cypher(['backup', file('under')]);
  await server.cypher(['user', 'disable', 'bea']);
  const restore = (...flags: string[]) => server.cypher(['restore', file('under'), ...flags]);
  const refused = await restore();
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--replace')]);
  expect(await isActive(server, tokens.access_token)).toBe(false);

  const { code, stderr } = await restore('--replace');
  expect([code, stderr]).toEqual([0, '']);
  const silent = { prompt: 'none', code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  await vi.waitFor(
    async () => {
      expect((await request(server.url).get('/health/ready')).status).toBe(200);
      expect((await bea.authorize(web, silent)).searchParams.get('error')).toBe('login_required');
      expect(await isActive(server, tokens.access_token)).toBe(false);
      expect((await bea.tokensFor(web)).access_token).toBeTruthy();
    },
    { timeout: 30_000, interval: 500 },
  );
});
