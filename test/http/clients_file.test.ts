/** CLIENTS_FILE and RESOURCES_FILE, read anew on SIGHUP: all of them or, with a fault, nothing. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { built } from '../support/built.ts';
import { createDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp } from '../support/person.ts';

const machine = {
  client_id: 'machine',
  client_secret: 'the-first-secret-of-the-machine-0123456789',
  redirect_uris: [],
  response_types: [],
  grant_types: ['client_credentials'],
};
let directory: string;
let server: Awaited<ReturnType<typeof start>>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cypher-files-'));
  server = await start();
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});

const write = (name: string, list: object[]) => writeFile(join(directory, name), JSON.stringify(list));

async function start() {
  await write('clients.json', [machine]);
  await write('resources.json', []);
  const database = await createDatabase();
  const port = await freePorts();
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [built.server], {
    env: {
      PATH,
      HOME,
      PORT: String(port),
      DATA_DIR: directory,
      DATABASE_URL: database.url,
      CLIENTS_FILE: join(directory, 'clients.json'),
      RESOURCES_FILE: join(directory, 'resources.json'),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let logged = '';
  child.stdout.on('data', (chunk) => {
    logged += chunk;
  });
  const until = async (text: string, from = 0) => {
    while (!logged.slice(from).includes(text)) await sleep(20);
  };
  await until('answers at');
  return {
    url: `http://localhost:${port}`,
    logged: () => logged,
    /** Sends the signal and waits for the line that says how it went. */
    async reload() {
      const from = logged.length;
      child.kill('SIGHUP');
      await until('RESOURCES_FILE were', from);
      return logged.slice(from);
    },
    async stop() {
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
      await database.drop();
    },
  };
}

const asMachine = (client_secret: string, more: Record<string, string> = {}) =>
  asApp(
    server,
    { ...machine, client_secret, redirect_uri: '' },
    { grant_type: 'client_credentials', ...more },
  );
const statusWith = async (secret: string) => (await asMachine(secret)).status;

test('a file with faults is refused as a whole, with file and place of each, and the one before still counts', async () => {
  await write('clients.json', [
    { ...machine, client_secret: 'another-secret-of-the-machine-9876543210' },
    { client_id: 'app', client_secret: 'x', redirect_uris: ['https://a.example/', 'javascript:alert(1)'] },
  ]);
  await write('resources.json', [{ audience: 'nowhere' }]);
  const log = await server.reload();
  expect(log).toContain(`${join(directory, 'clients.json')}: $[1].redirect_uris[1] must be https`);
  expect(log).toContain(`${join(directory, 'resources.json')}: $[0].audience must be an absolute URL`);
  expect(await statusWith(machine.client_secret)).toBe(200);
  expect(await statusWith('another-secret-of-the-machine-9876543210')).toBe(401);

  await write('resources.json', []);
  await write('clients.json', [
    machine,
    {
      ...machine,
      client_id: 'odd',
      userinfo_signed_response_alg: 'none',
      token_endpoint_auth_method: 'magic',
    },
  ]);
  expect(await server.reload()).toMatch(/clients\.json: \$\[1\] token_endpoint_auth_method must be/);
  expect(await statusWith(machine.client_secret)).toBe(200);
});

test('a new file counts without a restart: two secrets at once, one of them as its hash, and a new API', async () => {
  const next = 'the-next-secret-of-the-machine-0123456789';
  const { client_secret: first, ...rest } = machine;
  const hash = createHash('sha256').update(next).digest('base64url');
  await write('clients.json', [{ ...rest, client_secrets: [first, `sha256:${hash}`] }]);
  await write('resources.json', [{ audience: 'https://api.example/new', scopes: ['read'] }]);
  expect(await server.reload()).toContain('were read anew');
  expect([await statusWith(first), await statusWith(next), await statusWith(hash)]).toEqual([200, 200, 401]);
  const answer = await asMachine(next, { resource: 'https://api.example/new', scope: 'read' });
  expect(answer.body.access_token).toMatch(/^v4\.public\./);

  await write('clients.json', [{ ...rest, client_secret: next }]);
  await server.reload();
  expect([await statusWith(first), await statusWith(next)]).toEqual([401, 200]);
  for (const secret of [first, next, hash]) expect(server.logged()).not.toContain(secret);
});
