/**
 * `npm start` and `npm run demo` as a newcomer runs them: child processes on an empty DATA_DIR with a PostgreSQL of their
 * own. Killed without a warning and started again, the server has lost nothing that it had acknowledged.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { built } from '../support/built.ts';
import { freePorts, isAlive, npmRun, onTerminal, postmasterOf } from '../support/npm_run.ts';
import { asApp, createPerson } from '../support/person.ts';

const root = new URL('../..', import.meta.url).pathname;
const { web } = apps;
const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'cypher-start-'));
});
afterEach(async () => {
  // Where a test failed half-way, its PostgreSQL is still there.
  for (const directory of [dataDir, join(dataDir, 'demo')]) {
    const pid = await postmasterOf(directory);
    if (pid) process.kill(pid, 'SIGQUIT');
    while (await postmasterOf(directory)) await sleep(20);
  }
  await rm(dataDir, { recursive: true, force: true });
});

const isUp = (url: string) =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

/** Lines of stack traces. */
const traces = (output: string) => output.split('\n').filter((line) => /^\s+at |Error:|"stack"/.test(line));

async function startOn(port: number) {
  const clients = join(dataDir, 'clients.json');
  await writeFile(clients, JSON.stringify([web]));
  return npmRun('start', { PORT: String(port), DATA_DIR: dataDir, CLIENTS_FILE: clients });
}

test('account, session and refresh token outlive kill -9, the database its own', async () => {
  const port = await freePorts();
  const url = `http://localhost:${port}`;
  const start = async () => {
    const provider = await startOn(port);
    times.push(await provider.until(() => isUp(`${url}/.well-known/openid-configuration`)));
    return provider;
  };
  const times: number[] = [];
  let provider = await start();
  for (const secret of ['key_encryption_key', 'postgres/password']) {
    expect((await stat(join(dataDir, secret))).mode & 0o777, secret).toBe(0o600);
  }

  const ada = createPerson({ url, clock: { now: Date.now, advance: () => {} } }, 'ada');
  const tokens = await ada.tokensFor(web);
  await provider.signal('SIGKILL');
  const orphan = await postmasterOf(dataDir);
  expect(orphan).toBeGreaterThan(0);

  // The database lives on, and is adopted.
  provider = await start();
  expect(await postmasterOf(dataDir)).toBe(orphan);
  const refresh = (token: string) =>
    asApp({ url }, web, { grant_type: 'refresh_token', refresh_token: token });
  const refreshed = await refresh(tokens.refresh_token);
  expect(refreshed.status).toBe(200);
  const again = await ada.authorize(web, { prompt: 'none', ...pkce });
  expect(again.searchParams.get('code')).toBeTruthy();

  // Nothing lives on.
  process.kill(Number(orphan), 'SIGKILL');
  await provider.signal('SIGKILL');
  provider = await start();
  expect((await refresh(refreshed.body.refresh_token)).status).toBe(200);
  expect((await ada.authorize(web, { prompt: 'none', ...pkce })).searchParams.get('code')).toBeTruthy();
  // The step of the sign-up's code is used up: the next one's is taken, as from a phone whose clock is ahead.
  const ahead = { now: () => Date.now() + 30_000, advance: () => {} };
  const elsewhere = createPerson({ url, clock: ahead }, 'ada');
  elsewhere.totpSecret = ada.totpSecret;
  expect(await elsewhere.codeFor(web, pkce)).toBeTruthy();

  expect(await provider.signal('SIGTERM')).toBe(0);
  expect(await postmasterOf(dataDir)).toBeUndefined();
  console.log(`npm start to the first answer: ${times.join(', ')} ms (first start, adopting, recovering)`);
});

test('a start that fails or is stopped half-way leaves no database running', async () => {
  const port = await freePorts();
  const taken = createServer().listen(port, '127.0.0.1');
  await once(taken, 'listening');
  const unlucky = await startOn(port);
  expect(await unlucky.ended).toBe(78);
  expect(unlucky.output()).toContain(`PORT ${port} is taken by another process`);
  expect(await postmasterOf(dataDir)).toBeUndefined();
  await new Promise((resolve) => taken.close(resolve));

  const hasty = await startOn(port);
  await hasty.until(async () => (await postmasterOf(dataDir)) !== undefined);
  await hasty.signal('SIGTERM');
  expect(await postmasterOf(dataDir)).toBeUndefined();
});

test('the demo prints where each of its parts answers, and Ctrl-C stops them all', async () => {
  const port = await freePorts(4);
  const demo = npmRun('demo', { PORT: String(port), DATA_DIR: dataDir });
  await demo.until(() => demo.output().includes('Ctrl-C'));
  for (const offset of [0, 1, 2, 3]) {
    const url = `http://localhost:${port + offset}`;
    expect(demo.output()).toContain(url);
    expect(await isUp(url), url).toBe(true);
  }
  for (const file of ['clients.json', 'resources.json']) {
    expect((await stat(join(dataDir, 'demo', file))).mode & 0o777, file).toBe(0o600);
  }
  expect(await demo.signal('SIGINT')).toBe(0);
  expect(await postmasterOf(join(dataDir, 'demo'))).toBeUndefined();
  expect(traces(demo.output())).toEqual([]);
});

test('a demo that is stopped while it starts leaves neither a database nor a stack trace', async () => {
  const port = await freePorts(4);
  for (const begun of ['nothing', 'database', 'provider'] as const) {
    const demo = npmRun('demo', { PORT: String(port), DATA_DIR: dataDir });
    await demo.until(async () =>
      begun === 'nothing'
        ? stat(join(dataDir, 'demo/resources.json')).then(
            () => true,
            () => false,
          )
        : begun === 'database'
          ? (await postmasterOf(join(dataDir, 'demo'))) !== undefined
          : isUp(`http://localhost:${port}/health/ready`),
    );
    await demo.signal('SIGINT');
    expect([begun, traces(demo.output())]).toEqual([begun, []]);
    expect(await postmasterOf(join(dataDir, 'demo'))).toBeUndefined();
  }
});

test('on a terminal the log is for people and says what to do next; a misspelt setting is named', async () => {
  const port = await freePorts();
  const clients = join(dataDir, 'clients.json');
  await writeFile(clients, '[]');
  const settings = { PORT: String(port), DATA_DIR: dataDir, CLIENTS_FILE: clients, SIGNUP: 'invitation' };
  const piped = npmRun('start', settings);
  await piped.until(() => isUp(`http://localhost:${port}/health/ready`));
  await piped.signal('SIGTERM');
  const lines = piped
    .output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string });
  const said = lines.map(({ msg }) => msg).join('\n');
  expect(said).toMatch(/SIGNUP is no setting and was ignored: SIGN_UP is one/);
  expect(said).toMatch(/next: open http:\/\/localhost:\d+ and choose Sign in/);
  expect(said).toMatch(/Cypher \d+\.\d+\.\d+ answers/);

  // Without npm between: what script(1) ends is the server itself.
  const terminal = onTerminal(`exec ${process.execPath} dist/main.js`, settings);
  await terminal.until(() => terminal.output().includes('next:'));
  await terminal.signal('SIGTERM');
  await expect.poll(() => isUp(`http://localhost:${port}/health/live`)).toBe(false);
  expect(terminal.output()).toMatch(/INFO.*Cypher/);
  expect(terminal.output()).not.toContain('{"level"');
});

test('a server whose terminal is closed ends, and its PostgreSQL with it; while there is one, SIGHUP reads the files anew', async () => {
  const port = await freePorts();
  const settings = { PORT: String(port), ISSUER: `http://localhost:${port}`, DATA_DIR: dataDir };
  const terminal = onTerminal(`echo "pid $$"; exec ${process.execPath} dist/main.js`, settings);
  await terminal.until(() => terminal.output().includes('next:'));
  const pid = Number(/pid (\d+)/.exec(terminal.output())?.[1]);
  onTestFinished(() => void (isAlive(pid) && process.kill(pid, 'SIGKILL')));
  process.kill(pid, 'SIGHUP');
  await terminal.until(() => terminal.output().includes('were read anew'));
  expect(await isUp(`http://localhost:${port}/health/live`)).toBe(true);
  // What holds the terminal's other end is gone: so is the terminal.
  await terminal.signal('SIGKILL');
  await expect.poll(() => isAlive(pid)).toBe(false);
  expect(await postmasterOf(dataDir)).toBeUndefined();
});

test('server and commands find the same files wherever they are run', async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), 'cypher-elsewhere-'));
  // From the folder of the installation, as they stand in an environment file.
  const env = {
    PATH: process.env.PATH,
    DATA_DIR: relative(root, dataDir),
    CLIENTS_FILE: 'config/clients.json',
  };
  const run = promisify(execFile);
  const told = await run(process.execPath, [built.commands, 'user', 'list'], { cwd: elsewhere, env }).catch(
    ({ stderr }: { stderr: string }) => ({ stderr }),
  );
  // All that is missing is the server's database, and it is looked for where that is.
  expect(told.stderr).toContain(dataDir);
  const { stdout } = await run(process.execPath, [built.commands, '--version'], { cwd: elsewhere, env });
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  await rm(elsewhere, { recursive: true });
});
