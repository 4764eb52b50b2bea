/** Row "Restore": a database that has returned to an older state, under running instances, and what lives afterwards. */
import { Redis } from 'ioredis';
import request from 'supertest';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { isActive, jwks, refresh } from '../support/key_pair.ts';
import { asApp, challengeOf, createPerson, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { serveFor, takeSnapshot } from '../support/snapshot.ts';

const { web, api, machine } = apps;
const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
const device = {
  client_id: 'tv',
  token_endpoint_auth_method: 'none',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
};
const options = { clients: [web, api, machine, device], settings: { REGISTRATION: 'open' } };

let one: Administered;
let two: TestServer;
let redis: Redis;
beforeAll(async () => {
  one = await startAdministered(options);
  two = await startServer({ ...options, beside: one, storage: one });
  redis = new Redis(one.redisUrl);
});
afterAll(async () => {
  redis.disconnect();
  await two.close();
  await one.close();
});

const run = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await one.cypher(args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
};
const until = (assertion: () => Promise<void>) => vi.waitFor(assertion, { timeout: 60_000, interval: 100 });
const ready = (server: TestServer) => request(server.url).get('/health/ready');
const guard = async () => {
  const [row] = await one.database.query<{ served: number; at: string }>(
    'select served_ms::float8 as served, beat_at::text as at from restore_guard',
  );
  return row ?? { served: 0, at: '' };
};
const markInRedis = async () => Number((await redis.get('cypher:restore-mark'))?.split('.')[1] ?? 0);

/** Servers have seen so much more of the history, and have written it down outside. */
async function haveServed(seconds: number): Promise<void> {
  await serveFor(one.databaseUrl, seconds);
  const { served } = await guard();
  await until(async () => expect(await markInRedis()).toBeGreaterThanOrEqual(served));
}
/** All instances have looked at the database after the call. */
async function haveLooked(): Promise<void> {
  for (let looks = 0; looks < 4; looks += 1) {
    const { at } = await guard();
    await until(async () => expect((await guard()).at).not.toBe(at));
  }
}
const untilStopped = () =>
  until(async () => {
    for (const server of [one, two]) expect((await ready(server)).status).toBe(503);
  });
const untilServed = () =>
  until(async () => {
    for (const server of [one, two]) expect((await ready(server)).status).toBe(200);
  });

test('Restore: an older state under running instances is noticed, not served, and nothing of before lives after `restored`', async () => {
  const codeVerifier = verifier();
  const ada = createPerson(one, 'ada');
  const before = await ada.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  const silent = async () =>
    (await ada.authorize(web, { prompt: 'none', ...pkce })).searchParams.get('error');
  const code = await ada.codeFor(web, {
    code_challenge: challengeOf(codeVerifier),
    code_challenge_method: 'S256',
  });
  const { body: asked } = await asApp(one, device, { scope: 'openid' }, '/device/auth');
  const addClient = async (id: string) =>
    ({
      client_id: id,
      redirect_uri: '',
      client_secret: JSON.parse(
        await run('client', 'add', id, '--grant-type', 'client_credentials', '--json'),
      ).client_secret as string,
    }) as const;
  const kept = await addClient('kept');
  const removed = await addClient('removed');
  const credentials = (client: typeof kept) => asApp(one, client, { grant_type: 'client_credentials' });
  const registered = await request(one.url)
    .post('/reg')
    .send({ client_name: 'An app', redirect_uris: ['https://app.example/callback'] });
  expect(registered.status).toBe(201);
  const manage = () =>
    request(one.url)
      .get(new URL(registered.body.registration_client_uri).pathname)
      .set('authorization', `Bearer ${registered.body.registration_access_token}`);
  expect((await manage()).status).toBe(200);
  const invitation = (await run('user', 'add', 'guest')).match(/https?:\S+/)?.[0] ?? '';
  const invited = () => request.agent(one.url).get(new URL(invitation).pathname).redirects(2);
  expect((await invited()).text).not.toContain('not good any more');
  const keysBefore = (await jwks(one)).map(({ kid }) => kid);
  const snapshot = await takeSnapshot(one.databaseUrl);

  // What the backup knows nothing of.
  await run('client', 'remove', 'removed');
  const [dropped] = (await run('key', 'list')).match(/(?<=token access\t)\S+/) ?? [];
  await run('key', 'drop', String(dropped));
  await run('user', 'sign-out', 'ada');
  expect(await isActive(one, before.access_token)).toBe(false);
  await haveServed(3600);

  await snapshot.putBack();
  await untilStopped();
  const { body } = await ready(one);
  expect(body).toMatchObject({ status: 'unavailable', database: 'behind', cache: 'ok' });
  expect(body.reason).toMatch(/older state.*3[56]\d\d s.*npx cypher restored/);
  for (const server of [one, two]) {
    const refused = await refresh(server, before.refresh_token);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.body.error).toBe('temporarily_unavailable');
    for (const path of ['/jwks', '/.well-known/paseto-keys', '/account', '/auth?client_id=web', '/'])
      expect((await request(server.url).get(path)).status, path).toBe(503);
    for (const path of ['/health/live', '/.well-known/openid-configuration'])
      expect((await request(server.url).get(path)).status, path).toBe(200);
    expect((await asApp(server, api, { token: before.access_token }, '/token/introspection')).status).toBe(
      503,
    );
    const page = await request(server.url).get('/account').set('accept', 'text/html');
    expect([page.status, page.text]).toEqual([503, expect.stringContaining('earlier state')]);
  }
  const doctor = await one.cypher(['doctor']);
  expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringMatching(/FAULT.*history.*older state/)]);
  expect(doctor.stdout).toContain('npx cypher restored');

  const told = await run('restored');
  expect(told).toMatch(/3 apps of the database are suspended/);
  expect(told).toMatch(/recovery codes that were used since/);
  await untilServed();
  expect(await silent()).toBe('login_required');
  for (const server of [one, two]) {
    expect(await isActive(server, before.access_token)).toBe(false);
    expect((await refresh(server, before.refresh_token)).body.error).toBe('invalid_grant');
  }
  const redeemed = await asApp(one, web, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: web.redirect_uri,
    code_verifier: codeVerifier,
  });
  expect(redeemed.body.error).toBe('invalid_grant');
  const polled = await asApp(one, device, {
    grant_type: String(device.grant_types[0]),
    device_code: asked.device_code,
  });
  expect(polled.body.error).toBe('invalid_grant');
  expect((await credentials(removed)).status).toBe(401);
  expect((await credentials(kept)).status).toBe(401);
  expect((await manage()).status).toBe(401);
  expect((await invited()).text).toContain('not good any more');
  for (const { kid } of await jwks(two)) expect(keysBefore).not.toContain(kid);
  expect(await run('key', 'list')).not.toContain(String(dropped));

  // What the operator confirms counts again, and people sign in as before.
  expect(await run('client', 'list')).toMatch(/kept.*suspended since a restore/);
  expect((await one.cypher(['doctor'])).stdout).toMatch(/warning.*history: 3 apps/);
  expect(await run('client', 'resume', 'kept')).toBe('kept: resumed\n');
  await until(async () => expect((await credentials(kept)).status).toBe(200));
  expect((await credentials(removed)).status).toBe(401);
  const again = await ada.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  expect(await isActive(two, again.access_token)).toBe(true);
  const events = await one.database.query("select from audit_log where event = 'restore.ended_all'");
  expect(events).toHaveLength(1);
});

test('Restore: a state that the operator accepts is served as it is', async () => {
  const bea = createPerson(one, 'bea');
  const tokens = await bea.tokensFor(web);
  const snapshot = await takeSnapshot(one.databaseUrl, 'accepted');
  await run('user', 'sign-out', 'bea');
  await haveServed(3600);
  await snapshot.putBack();
  await untilStopped();
  await run('restored', '--accept');
  await untilServed();
  expect(await isActive(two, tokens.access_token)).toBe(true);
  await haveLooked();
  await untilServed();
  expect(await one.database.query("select from audit_log where event = 'restore.accepted'")).toHaveLength(1);
});

test('Restore: a gap that a failover may leave stops nothing, and neither does a clock that is set', async () => {
  const snapshot = await takeSnapshot(one.databaseUrl, 'failover');
  await haveServed(30);
  await snapshot.putBack();
  await haveLooked();
  for (const server of [one, two]) expect((await ready(server)).status).toBe(200);

  // What the database's clock says of the last look, five minutes off either way.
  for (const minutes of [5, -5]) {
    const { served } = await guard();
    await one.database.query('update restore_guard set beat_at = beat_at + make_interval(mins => $1)', [
      minutes,
    ]);
    await haveLooked();
    expect((await guard()).served - served).toBeGreaterThanOrEqual(0);
    expect((await guard()).served - served).toBeLessThan(100_000);
    for (const server of [one, two]) expect((await ready(server)).status).toBe(200);
  }
});

test('Restore: an instance that has seen nothing learns of the older state from the first token of before', async () => {
  const database = await createDatabase();
  onTestFinished(database.drop);
  const knowing = await startServer({
    ...options,
    storage: { databaseUrl: database.url, redisUrl: await createRedisDatabase() },
  });
  const snapshot = await takeSnapshot(database.url);
  await serveFor(database.url, 3600);
  const served = async (): Promise<number> =>
    (
      await knowing.database.query<{ served: number }>(
        'select served_ms::float8 as served from restore_guard',
      )
    )[0]?.served ?? 0;
  const [reached] = [await served()];
  await until(async () => expect(await served()).toBeGreaterThan(reached));
  const { access_token: token } = await createPerson(knowing, 'carl').tokensFor(web);
  await knowing.close();

  await snapshot.putBack();
  const unknowing = await startServer({
    ...options,
    issuer: knowing.url,
    storage: { databaseUrl: database.url, redisUrl: await createRedisDatabase() },
  });
  onTestFinished(unknowing.close);
  expect((await ready(unknowing)).status).toBe(200);
  const answer = await asApp(unknowing, api, { token }, '/token/introspection');
  expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable']);
  expect((await ready(unknowing)).body.database).toBe('behind');
});

test('Redis: a forged or older high-water mark is worth nothing, and Redis restored from an older dump revives nothing', async () => {
  await untilServed();
  const dora = createPerson(one, 'dora');
  const tokens = await dora.tokensFor(web);
  const older = String(await redis.get('cypher:restore-mark'));
  const dump = new Map<string, Buffer>();
  for (const key of await redis.keys('*')) {
    const value = await redis.dumpBuffer(key);
    if (value) dump.set(key, value);
  }
  await run('user', 'sign-out', 'dora');
  await haveServed(3600);
  const reached = await markInRedis();

  // In one transaction: the server raises its mark again within a second.
  const restoring = redis.multi();
  for (const [key, value] of dump) restoring.restore(key, 0, value, 'REPLACE');
  const answers = await restoring.get('cypher:restore-mark').exec();
  expect(answers?.at(-1)).toEqual([null, older]);
  await until(async () => expect(await markInRedis()).toBeGreaterThanOrEqual(reached));
  expect(await isActive(one, tokens.access_token)).toBe(false);
  expect((await refresh(two, tokens.refresh_token)).body.error).toBe('invalid_grant');
  expect((await dora.authorize(web, { prompt: 'none', ...pkce })).searchParams.get('error')).toBe(
    'login_required',
  );

  const [, , proof] = older.split('.');
  await redis.set('cypher:restore-mark', `${Date.now()}.${10 ** 12}.${proof}`);
  await haveLooked();
  await untilServed();
  expect(await markInRedis()).toBeLessThan(10 ** 12);
});

test('Restore: of every table it is decided what `restored` makes of it', async () => {
  const decided = {
    ended:
      'authenticator_resets clients consents deliveries ephemeral invitations keys records refresh_families sessions restore_guard',
    // Tokens end with their family, secrets with their client. An outage is of use to families alone, and what is counted or
    // used up makes nothing valid.
    withOthers: 'audit_retention client_secrets guesses instances login_failures outages revocations spent',
    // Named in docs/operate/backup-restore.md, for the operator to look through.
    kept: 'accounts audit_log migrations unused_recovery_codes',
  };
  const tables = await one.database.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
       and not relispartition order by 1`,
  );
  expect(
    tables.map(({ name }) => name),
    'a new table: say here, and in end_everything.ts, whether what it makes valid ends',
  ).toEqual(Object.values(decided).join(' ').split(' ').sort());
});
