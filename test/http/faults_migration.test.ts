/**
 * Row "Faults", migration with old and new version running. The old one is the last release, from the history. Where the
 * history does not have it, this version is the old one, and a made-up migration comes after its own.
 */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { migrate } from '../../src/storage/migrate.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { buildLastRelease, cannotBuild } from '../support/last_release.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp, isAlive, tokensOfSomebody } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';

const { spa } = apps;
const migrations = new URL('../../migrations', import.meta.url).pathname;

/** What a later version may add: expanded tables, which this version knows nothing of. */
const expansion = `-- Up Migration
alter table accounts add column added_later text;
alter table sessions add column added_later int not null default 0;
alter table refresh_tokens add column added_later jsonb;
create table added_later (account_id text primary key references accounts on delete cascade);
`;

/** Where the old version is (undefined: it is this one), and the migrations of the new one. */
async function prepareVersions(directory: string): Promise<{ old: string | undefined; next: string }> {
  if (!cannotBuild) {
    await buildLastRelease(directory);
    return { old: directory, next: migrations };
  }
  await cp(migrations, directory, { recursive: true });
  await writeFile(join(directory, '9999_expansion.sql'), expansion);
  return { old: undefined, next: directory };
}

let drop = async () => {};
let directory = '';
afterEach(async () => {
  await drop();
  await rm(directory, { recursive: true, force: true });
});

test('Faults: migration while the old version runs: it goes on, the new one beside it, and what either gives both take', async () => {
  directory = await mkdtemp(join(tmpdir(), 'cypher-old-'));
  const { old, next } = await prepareVersions(directory);

  const database = await createDatabase();
  drop = database.drop;
  const port = await freePorts();
  const shared = {
    ISSUER: `http://localhost:${port}`,
    DATABASE_URL: database.url,
    REDIS_URL: await createRedisDatabase(),
  };
  const before = await startProcess({ ...shared, PORT: String(port) }, old);
  await before.up();
  let tokens = await tokensOfSomebody(shared.ISSUER, spa);

  expect(await migrate(database.url, next)).not.toEqual([]);
  const after = await startProcess(shared);
  await after.up();
  // There and back again: the new one's tokens at the old one, the old one's at the new one.
  for (const on of [{ url: shared.ISSUER }, after, { url: shared.ISSUER }, after]) {
    const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
    const refreshed = await asApp(on, spa, form);
    expect([refreshed.status, refreshed.body.error]).toEqual([200, undefined]);
    tokens = refreshed.body;
    for (const each of [{ url: shared.ISSUER }, after]) {
      expect(await isAlive(each, tokens.access_token)).toBe(true);
    }
  }
  // People arrive at the old one as before, and one of its processes may start anew.
  await tokensOfSomebody(shared.ISSUER, spa);
  const again = await startProcess(shared, old);
  await again.up();
  const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
  expect((await asApp(again, spa, form)).status).toBe(200);
});
