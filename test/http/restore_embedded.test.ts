/** Row "Restore" on the embedded PostgreSQL, with `npm start`: its directory put back, and a backup taken to another machine. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { runCypher } from '../support/cypher.ts';
import { freePorts, npmRun, postmasterOf } from '../support/npm_run.ts';
import { asApp, createPerson } from '../support/person.ts';

const { web } = apps;
const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };

/** With its owner: PostgreSQL runs as the one whose directory it is. */
const copy = (from: string, to: string) => promisify(execFile)('cp', ['-a', from, to]);

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'cypher-restore-'));
});
afterEach(async () => {
  // Where a test failed half-way, its PostgreSQL is still there.
  for (const name of ['here', 'there']) {
    const pid = await postmasterOf(join(parent, name));
    if (pid) process.kill(pid, 'SIGQUIT');
    while (await postmasterOf(join(parent, name))) await sleep(20);
  }
  await rm(parent, { recursive: true, force: true });
});

test('Restore: the embedded PostgreSQL whose directory was put back is noticed at the start, and a backup of it is restored elsewhere', async () => {
  const [here, there] = [join(parent, 'here'), join(parent, 'there')];
  const port = await freePorts();
  const url = `http://localhost:${port}`;
  const clients = join(parent, 'clients.json');
  await writeFile(clients, JSON.stringify([web]));
  const settings = (dataDir: string) => ({
    PORT: String(port),
    ISSUER: url,
    DATA_DIR: dataDir,
    CLIENTS_FILE: clients,
    // So that a test need not run for a minute before what it puts back is an older state.
    FAILOVER_LOSS_SECONDS: '0',
  });
  const health = async () => {
    const answer = await fetch(`${url}/health/ready`).catch(() => undefined);
    return answer && { status: answer.status, body: (await answer.json()) as Record<string, string> };
  };
  const start = async (dataDir: string, status = 200) => {
    const provider = npmRun('start', settings(dataDir));
    await provider.until(async () => (await health())?.status === status);
    return provider;
  };
  const cypher = (dataDir: string, ...words: string[]) => runCypher(words, settings(dataDir));
  const marked = async () => Number((await readFile(join(here, 'restore_mark'), 'utf8')).split('.')[1]);

  let provider = await start(here);
  const ada = createPerson({ url, clock: { now: Date.now, advance: () => {} } }, 'ada');
  const tokens = await ada.tokensFor(web);
  expect(await provider.signal('SIGTERM')).toBe(0);
  await copy(join(here, 'postgres'), join(parent, 'aside'));

  provider = await start(here);
  const then = await marked();
  await provider.until(async () => (await marked()) > then);
  expect((await cypher(here, 'user', 'sign-out', 'ada')).code).toBe(0);
  expect(await provider.signal('SIGTERM')).toBe(0);

  await rm(join(here, 'postgres'), { recursive: true });
  await copy(join(parent, 'aside'), join(here, 'postgres'));
  provider = await start(here, 503);
  expect((await health())?.body).toMatchObject({
    database: 'behind',
    reason: expect.stringContaining('older state'),
  });
  const repeated = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
  expect((await asApp({ url }, web, repeated)).status).toBe(503);
  const restored = await cypher(here, 'restored');
  expect([restored.code, restored.stderr]).toEqual([0, '']);
  await provider.until(async () => (await health())?.status === 200);
  expect((await asApp({ url }, web, repeated)).body.error).toBe('invalid_grant');
  expect((await ada.authorize(web, { prompt: 'none', ...pkce })).searchParams.get('error')).toBe(
    'login_required',
  );

  // While the server runs, and while none does.
  expect((await cypher(here, 'backup', join(parent, 'running'))).code).toBe(0);
  expect(await provider.signal('SIGTERM')).toBe(0);
  const stopped = await cypher(here, 'backup', join(parent, 'stopped'));
  expect([stopped.code, stopped.stderr]).toEqual([0, '']);
  expect(await postmasterOf(here)).toBeUndefined();

  const keyless = await cypher(there, 'restore', join(parent, 'running'));
  expect([keyless.code, keyless.stderr]).toEqual([
    1,
    expect.stringContaining('key-encryption key is not in the backup'),
  ]);
  await cp(join(here, 'key_encryption_key'), join(there, 'key_encryption_key'));
  const moved = await cypher(there, 'restore', join(parent, 'running'));
  expect([moved.code, moved.stderr]).toEqual([0, '']);
  provider = await start(there);
  const ahead = { now: () => Date.now() + 30_000, advance: () => {} };
  const elsewhere = createPerson({ url, clock: ahead }, 'ada');
  elsewhere.totpSecret = ada.totpSecret;
  expect(await elsewhere.codeFor(web, pkce)).toBeTruthy();
  expect(await provider.signal('SIGTERM')).toBe(0);
});
