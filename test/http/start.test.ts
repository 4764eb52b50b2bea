/**
 * `npm start` as a newcomer runs it: a child process on an empty DATA_DIR with a PostgreSQL of its own. Killed without a
 * warning and started again, it has lost nothing that it had acknowledged.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, createPerson } from '../support/person.ts';

const root = new URL('../..', import.meta.url).pathname;
const { web } = apps;

let dataDir: string;
let port: number;
let url: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'cypher-start-'));
  await writeFile(join(dataDir, 'clients.json'), JSON.stringify([web]));
  port = await freePort();
  url = `http://localhost:${port}`;
});
afterEach(async () => {
  // Where a test failed half-way, its PostgreSQL is still there.
  const pid = await postmaster();
  if (pid) process.kill(pid, 'SIGQUIT');
  while (await postmaster()) await sleep(20);
  await rm(dataDir, { recursive: true, force: true });
});

/** Runs `npm start` in a process group of its own, so that a signal can be sent to all of it, as a terminal does. */
function npmStart() {
  const { PATH, HOME } = process.env;
  const settings = { PORT: String(port), DATA_DIR: dataDir, CLIENTS_FILE: join(dataDir, 'clients.json') };
  const begun = performance.now();
  const child = spawn('npm', ['start', '--silent'], {
    cwd: root,
    env: { PATH, HOME, ...settings, LIMIT_ADDRESS_PER_MINUTE: '1000' },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const group = -Number(child.pid);
  const ended = once(child, 'exit').then(([code]) => Number(code));
  onTestFinished(() => {
    if (isAlive(group)) process.kill(group, 'SIGKILL');
  });
  return {
    ended,
    output: () => output,
    /** Resolves once every process of the group has gone; to npm's exit code. */
    async signal(name: NodeJS.Signals): Promise<number> {
      process.kill(group, name);
      const code = await ended;
      while (isAlive(group)) await sleep(10);
      return code;
    },
    /** Milliseconds from the command to the first discovery answer. */
    async answers(): Promise<number> {
      for (;;) {
        const found = await fetch(`${url}/.well-known/openid-configuration`).catch(() => undefined);
        if (found?.ok) return Math.round(performance.now() - begun);
        if (child.exitCode !== null) throw new Error(`npm start ended: ${output}`);
        await sleep(10);
      }
    },
  };
}

test('account, session and refresh token outlive kill -9, the database its own', async () => {
  let provider = npmStart();
  const times = [await provider.answers()];
  for (const secret of ['key_encryption_key', 'postgres/password']) {
    expect((await stat(join(dataDir, secret))).mode & 0o777, secret).toBe(0o600);
  }

  const clock = { now: Date.now, advance: () => {} };
  const ada = createPerson({ url, clock }, 'ada');
  const tokens = await ada.tokensFor(web);
  await provider.signal('SIGKILL');
  const orphan = await postmaster();
  expect(orphan).toBeGreaterThan(0);

  // The database lives on, and is adopted.
  provider = npmStart();
  times.push(await provider.answers());
  expect(await postmaster()).toBe(orphan);
  const refresh = (token: string) =>
    asApp({ url }, web, { grant_type: 'refresh_token', refresh_token: token });
  const refreshed = await refresh(tokens.refresh_token);
  expect(refreshed.status).toBe(200);
  const again = await ada.authorize(web, { prompt: 'none', ...pkce });
  expect(again.searchParams.get('code')).toBeTruthy();

  // Nothing lives on.
  process.kill(Number(orphan), 'SIGKILL');
  await provider.signal('SIGKILL');
  provider = npmStart();
  times.push(await provider.answers());
  expect((await refresh(refreshed.body.refresh_token)).status).toBe(200);
  expect((await ada.authorize(web, { prompt: 'none', ...pkce })).searchParams.get('code')).toBeTruthy();
  // The step of the sign-up's code is used up: the next one's is taken, as from a phone whose clock is ahead.
  const ahead = { now: () => Date.now() + 30_000, advance: () => {} };
  const elsewhere = createPerson({ url, clock: ahead }, 'ada');
  elsewhere.totpSecret = ada.totpSecret;
  expect(await elsewhere.codeFor(web, pkce)).toBeTruthy();

  expect(await provider.signal('SIGTERM')).toBe(0);
  expect(await postmaster()).toBeUndefined();
  console.log(`npm start to the first answer: ${times.join(', ')} ms (first start, adopting, recovering)`);
}, 60_000);

test('a start that fails or is stopped half-way leaves no database running', async () => {
  const taken = createServer().listen(port, '127.0.0.1');
  await once(taken, 'listening');
  const unlucky = npmStart();
  expect(await unlucky.ended).toBe(1);
  expect(unlucky.output()).toContain('EADDRINUSE');
  expect(await postmaster()).toBeUndefined();
  await new Promise((resolve) => taken.close(resolve));

  const hasty = npmStart();
  while (!(await postmaster())) await sleep(5);
  await hasty.signal('SIGTERM');
  expect(await postmaster()).toBeUndefined();
}, 60_000);

const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };

/** The pid of the PostgreSQL on DATA_DIR, while it lives. */
async function postmaster(): Promise<number | undefined> {
  const text = await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return pid > 0 && isAlive(pid) ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}
