/** Listings of the command line: complete, in order, each row once, and in a memory that does not grow with the rows. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { built } from '../support/built.ts';
import { cypher, runCypher } from '../support/cypher.ts';
import { createMigratedDatabase, generousTimeouts } from '../support/databases.ts';
import { kek } from '../support/server.ts';

/** More than two pages, and no multiple of a page. */
const some = 1203;
const many = 60_000;
let created: Awaited<ReturnType<typeof createMigratedDatabase>>;
let database: Database;
let settings: Record<string, string>;

beforeAll(async () => {
  created = await createMigratedDatabase();
  database = openDatabase(created.url, { onIdleError: () => {}, timeouts: generousTimeouts });
  settings = { DATABASE_URL: created.url, KEY_ENCRYPTION_KEY: kek.toString('base64url') };
  await addAccounts('person', 1, some);
  await database.query(
    `insert into invitations (username_key, username, token_hash, created_at, expires_at)
     select 'guest-' || n, 'Guest-' || n, 'token ' || n, now(), now() + interval '1 h' from generate_series(1, $1::int) n`,
    [some],
  );
  await database.query(
    `insert into clients (id, source, metadata, created_at, changed_at)
     select 'app-' || n, 'registration', jsonb_build_object('client_id', 'app-' || n, 'redirect_uris', '[]'::jsonb,
       'token_endpoint_auth_method', 'none'), now(), now() from generate_series(1, $1::int) n`,
    [some],
  );
  await database.query(
    `insert into client_secrets (client_id, id, hash, created_at)
     select 'app-' || n, 's' || n || m, '\\x00', now() from generate_series(1, $1::int, 5) n, generate_series(1, 2) m`,
    [some],
  );
  // Several of them were made within one millisecond, and some at the very same time.
  await database.query(
    `insert into sessions (id_hash, uid, account_id, payload, created_at, last_seen_at, expires_at)
     select 'hash ' || n, 'uid-' || n, 'person-7', '{}', now() - make_interval(secs => (n / 3) * 0.0001), now(),
       now() + interval '1 h' from generate_series(1, $1::int) n`,
    [some],
  );
});
afterAll(async () => {
  await database.close();
  await created.drop();
});

const addAccounts = (name: string, from: number, to: number) =>
  database.query(
    `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite, opaque_stretching,
       opaque_key_id, created_at)
     select $1 || '-' || n, $1 || '-' || n, $1 || '-' || n, 'c ' || $1 || n, '\\x00', 's', '{}', 'k', now()
     from generate_series($2::int, $3::int) n`,
    [name, from, to],
  );

const listed = async (...args: string[]) =>
  JSON.parse(await cypher({ databaseUrl: created.url }, [...args, '--json'], settings)) as Record<
    string,
    string
  >[];
const numbered = (prefix: string) => Array.from({ length: some }, (_, index) => `${prefix}-${index + 1}`);
const sorted = (names: unknown[]) => [...names].sort();

test('every account, invitation, app and session is listed, and each once', async () => {
  const people = await listed('user', 'list');
  const names = people.map(({ username }) => username);
  expect(sorted(names.slice(0, some))).toEqual(sorted(numbered('person')));
  expect(sorted(names.slice(some))).toEqual(sorted(numbered('Guest')));
  const inOrder = await database.query<{ username: string }>(
    'select username from accounts order by username_key',
  );
  expect(names.slice(0, some)).toEqual(inOrder.map(({ username }) => username));

  const clients = await listed('client', 'list');
  const registered = clients.filter(({ source }) => source === 'registration');
  expect(sorted(registered.map(({ client_id }) => client_id))).toEqual(sorted(numbered('app')));
  expect(registered.find(({ client_id }) => client_id === 'app-6')?.secrets).toHaveLength(2);

  const sessions = await listed('user', 'sessions', 'person-7');
  expect(sorted(sessions.map(({ uid }) => uid))).toEqual(sorted(numbered('uid')));
  const times = sessions.map(({ createdAt }) => String(createdAt));
  expect(times).toEqual([...times].sort().reverse());
  expect(await listed('user', 'sessions', 'person-8')).toEqual([]);
});

test('a listing without JSON has one line for each row', async () => {
  const lines = async (...args: string[]) =>
    (await cypher({ databaseUrl: created.url }, args, settings)).trimEnd().split('\n');
  expect(await lines('user', 'list')).toHaveLength(2 * some);
  expect((await lines('client', 'list')).filter((line) => line.startsWith('app-'))).toHaveLength(some);
  const sessions = await lines('user', 'sessions', 'person-7');
  expect(sessions).toHaveLength(1 + some);
  expect(sessions[0]).toMatch(/^SESSION +ADDRESS/);
});

test('sixty thousand accounts are listed in a small heap, also where the reader is slow', async () => {
  await addAccounts('many', 1, many);
  const { PATH, HOME } = process.env;
  const child = spawn(
    process.execPath,
    ['--max-old-space-size=24', built.commands, 'user', 'list', '--json'],
    {
      env: { PATH, HOME, ...settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let names = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (/"username": "many-/.test(line)) names += 1;
    if (names % 10_000 === 1) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect([await ended, names]).toEqual([0, many]);
});

test('a listing that nobody reads to its end ends early, without a complaint', async () => {
  const { code, stderr } = await runCypher(['user', 'list'], settings, { unread: true });
  expect([code, stderr]).toEqual([0, '']);
});
