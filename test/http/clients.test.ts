/** Apps as data: added, changed and removed by command while the server runs, and known at once to every instance. */
import { decodeProtectedHeader, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { asApp, createPerson, isAlive } from '../support/person.ts';
import { startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, api } = apps;
let server: Administered;
let other: TestServer;
beforeAll(async () => {
  server = await startAdministered({ clients: [web, api] });
  other = await startServer({
    clients: [web, api],
    beside: server,
    storage: { databaseUrl: server.databaseUrl, redisUrl: server.redisUrl },
  });
});
afterAll(async () => {
  await other.close();
  await server.close();
});

/** How long the notice of a change may take to reach an instance. */
const soon = { interval: 20 };

const credentials = { grant_type: 'client_credentials' };
const statusAt = async (at: TestServer, client_id: string, client_secret: string) =>
  (await asApp(at, { client_id, client_secret, redirect_uri: '' }, credentials)).status;

/** A machine by this id; its secret. */
async function addMachine(id: string, ...more: string[]): Promise<string> {
  const added = await server.cypher([
    'client',
    'add',
    id,
    '--grant-type',
    'client_credentials',
    '--json',
    ...more,
  ]);
  expect(added.stderr).toBe('');
  return JSON.parse(added.stdout).client_secret;
}

test('a client added by command signs people in at once, on every instance', async () => {
  const { code, stdout } = await server.cypher([
    'client',
    'add',
    'notes',
    ...['--name', 'Notes', '--redirect-uri', 'https://notes.example/callback', '--json'],
    ...['--id-token-alg', 'ES256', '--no-id-token-at-refresh'],
  ]);
  expect(code).toBe(0);
  const { client_secret, ...metadata } = JSON.parse(stdout);
  expect(client_secret).toMatch(/^[\w-]{43}$/);
  expect(metadata).toMatchObject({ client_id: 'notes', client_name: 'Notes', first_party: false });
  const notes = { client_id: 'notes', client_secret, redirect_uri: 'https://notes.example/callback' };
  const tokens = await createPerson(server, 'ada').tokensFor(notes);
  expect(decodeProtectedHeader(tokens.id_token).alg).toBe('ES256');
  const refreshed = await asApp(other, notes, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  expect(refreshed.status).toBe(200);
  expect(refreshed.body).not.toHaveProperty('id_token');
});

test('an app added by command is told of a sign-out at the address it was given; what is no address is refused', async () => {
  const receiver = await startReceiver();
  onTestFinished(() => receiver.close());
  const add = (id: string, uri: string) =>
    server.cypher([
      ...['client', 'add', id, '--redirect-uri', 'https://told.example/callback', '--json'],
      ...['--post-logout-redirect-uri', 'https://told.example/', '--backchannel-logout-uri', uri],
    ]);
  for (const uri of ['told.example/logout', 'javascript:alert(1)', 'ftp://told.example/logout']) {
    const { code, stderr } = await add('told', uri);
    expect.soft([uri, code, stderr]).toEqual([uri, 1, expect.stringContaining('backchannel_logout_uri')]);
  }
  const { stdout } = await add('told', `${receiver.url}/logout`);
  const { client_secret, ...metadata } = JSON.parse(stdout);
  expect(metadata).toMatchObject({
    post_logout_redirect_uris: ['https://told.example/'],
    backchannel_logout_uri: `${receiver.url}/logout`,
  });
  const redirect_uri = 'https://told.example/callback';
  await createPerson(server, 'tom').tokensFor({ client_id: 'told', client_secret, redirect_uri });
  expect((await server.cypher(['user', 'sign-out', 'tom'])).code).toBe(0);
  await expect.poll(() => receiver.received.map(({ path }) => path)).toEqual(['/logout']);
});

test('a removed client: refused at once on every instance, its refresh and access tokens dead', async () => {
  const added = await server.cypher([
    ...['client', 'add', 'leaving', '--redirect-uri', 'https://leaving.example/callback', '--json'],
  ]);
  const { client_secret } = JSON.parse(added.stdout);
  const leaving = { client_id: 'leaving', client_secret, redirect_uri: 'https://leaving.example/callback' };
  const tokens = await createPerson(server, 'bea').tokensFor(leaving);
  const active = async (at: TestServer) => isAlive(at, tokens.access_token);
  expect([await active(server), await active(other)]).toEqual([true, true]);

  expect((await server.cypher(['client', 'remove', 'leaving'])).code).toBe(0);

  await expect.poll(async () => [await active(server), await active(other)], soon).toEqual([false, false]);
  for (const at of [server, other]) {
    const refresh = await asApp(at, leaving, {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token,
    });
    expect(refresh.status).toBe(401);
  }
  // Nor do they come back, nor people's consent, with an app that is given the same id.
  const left = await server.database.query(
    "select model from records where payload->>'clientId' = 'leaving'",
  );
  expect(left).toEqual([]);
  const readded = ['client', 'add', 'leaving', '--redirect-uri', leaving.redirect_uri, '--json'];
  expect((await server.cypher(readded)).code).toBe(0);
  // The command goes by PostgreSQL's clock, this server by one that is ahead.
  server.clock.advance(5);
  await server.database.query("update clients set created_at = $1 where id = 'leaving'", [
    new Date(server.clock.now()),
  ]);
  expect([await active(server), await active(other)]).toEqual([false, false]);
  expect((await server.cypher(['client', 'remove', 'leaving'])).code).toBe(0);
  const again = await server.cypher(['client', 'remove', 'leaving']);
  expect([again.code, again.stderr]).toEqual([1, 'there is no client "leaving"\n']);
});

test('a secret is rotated without an interruption: both are good for the overlap, then the new one', async () => {
  const first = await addMachine('rotating');
  expect(await statusAt(server, 'rotating', first)).toBe(200);
  const rotated = await server.cypher(['client', 'rotate-secret', 'rotating', '--overlap', '1h', '--json']);
  const second = JSON.parse(rotated.stdout).client_secret;
  for (const at of [server, other]) {
    await expect.poll(() => statusAt(at, 'rotating', second), soon).toBe(200);
    expect(await statusAt(at, 'rotating', first)).toBe(200);
    expect(await statusAt(at, 'rotating', `${second}x`)).toBe(401);
  }
  const shown = JSON.parse((await server.cypher(['client', 'show', 'rotating', '--json'])).stdout);
  expect(shown.secrets.map((secret: { expires_at: unknown }) => secret.expires_at === null)).toEqual([
    true,
    false,
  ]);
  server.clock.advance(3600);
  expect(await statusAt(server, 'rotating', first)).toBe(401);
  expect(await statusAt(other, 'rotating', second)).toBe(200);
  const third = JSON.parse(
    (await server.cypher(['client', 'rotate-secret', 'rotating', '--overlap', '0', '--json'])).stdout,
  ).client_secret;
  await expect.poll(() => statusAt(other, 'rotating', third), soon).toBe(200);
});

test('Keys, leaks, logs: no secret of a client is in the database, in a list or in the log', async () => {
  const hashed = await addMachine('hashed');
  const computing = await addMachine('computing', '--auth-method', 'client_secret_jwt');
  const rows = await server.database.query('select id, hash, sealed from client_secrets');
  const text = JSON.stringify([rows, await server.database.query('select * from clients')]);
  const list = (await server.cypher(['client', 'list', '--json'])).stdout;
  const show = (await server.cypher(['client', 'show', 'computing', '--json'])).stdout;
  for (const secret of [hashed, computing]) {
    for (const place of [text, list, show, server.logged()]) expect(place).not.toContain(secret);
  }
});

test('a method that computes with the secret works, with the old and the new one', async () => {
  const first = await addMachine('computing-two', '--auth-method', 'client_secret_jwt');
  const status = async (secret: string) => {
    const client_assertion = await new SignJWT({ jti: crypto.randomUUID() })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('computing-two')
      .setSubject('computing-two')
      .setAudience(server.url)
      .setExpirationTime(Math.floor(server.clock.now() / 1000) + 60)
      .sign(Buffer.from(secret));
    const answer = await asApp(
      other,
      { client_id: 'computing-two', redirect_uri: '' },
      {
        ...credentials,
        client_assertion,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      },
    );
    return answer.status;
  };
  expect(await status(first)).toBe(200);
  const { stdout } = await server.cypher(['client', 'rotate-secret', 'computing-two', '--json']);
  const second = JSON.parse(stdout).client_secret;
  await expect.poll(() => status(second), soon).toBe(200);
  expect([await status(first), await status('wrong')]).toEqual([200, 401]);
});

test('what breaks the rules is not added, and is told why', async () => {
  const refused = async (...args: string[]) => (await server.cypher(['client', 'add', ...args])).stderr;
  expect(await refused('x', '--redirect-uri', 'javascript:alert(1)')).toMatch(
    /redirect_uris.0 must be https/,
  );
  expect(await refused('x')).toMatch(/redirect_uris must name at least one address/);
  expect(await refused('web', '--api')).toMatch(/"web" is in CLIENTS_FILE: change it there/);
  expect(await refused('y', '--api', '--auth-method', 'tls')).toMatch(/token_endpoint_auth_method must be/);
  expect(await server.database.query("select id from clients where id in ('x', 'y')")).toEqual([]);
});
