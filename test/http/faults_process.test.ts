/** The server killed or stopped with something in flight, and answers that are lost on their way. */
import { once } from 'node:events';
import { request as send } from 'node:http';
import { connect } from 'node:net';
import pg from 'pg';
import { afterEach, expect, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { type BehindProxies, startBehindProxies } from '../support/behind_proxies.ts';
import { asApp, createPerson, type TokenAnswer } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';

vi.setConfig({ testTimeout: 60_000 });
const { spa, api } = apps;

let at: BehindProxies;
afterEach(() => at.close());

/** A server in a process of its own, whose way to PostgreSQL goes through the proxy, and `at.other` beside it. */
async function prepare() {
  at = await startBehindProxies({ clients: Object.values(apps) });
  // The process has the machine's clock: so let the servers beside it, which no login may turn on.
  const clock = { now: Date.now, advance: () => {} };
  const first = await createPerson({ url: at.server.url, clock }, 'ada').tokensFor(spa);
  const provider = await startProcess({
    ISSUER: at.server.url,
    DATABASE_URL: at.postgres.url,
    REDIS_URL: at.direct.redisUrl,
  });
  await provider.up();
  return { first, provider };
}

const refreshForm = (token: string) => ({ grant_type: 'refresh_token', refresh_token: token });
const refresh = (on: { url: string }, token: string) => asApp(on, spa, refreshForm(token));

/** The retry has the one successor, which works, as do its access tokens. */
async function expectFamilyLives(used: TokenAnswer): Promise<void> {
  const retried = await refresh(at.other, used.refresh_token);
  expect([retried.status, retried.body.error]).toEqual([200, undefined]);
  const rows = await at.other.database.query(
    'select used_at from refresh_tokens where refreshed_from is not null',
  );
  expect(rows).toEqual([{ used_at: null }]);
  const next = await refresh(at.other, retried.body.refresh_token);
  expect(next.status).toBe(200);
  const seen = await asApp(at.other, api, { token: next.body.access_token }, '/token/introspection');
  expect(seen.body.active).toBe(true);
}

/** Locks the token, so that its rotation waits in PostgreSQL until `release`. */
async function holdRotation() {
  const holder = new pg.Client({ connectionString: at.direct.databaseUrl });
  await holder.connect();
  await holder.query('begin; select 1 from refresh_tokens for update');
  return {
    waits: () =>
      expect
        .poll(async () => {
          const { rows } = await holder.query(
            "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
          );
          return rows.length;
        })
        .toBe(1),
    async release() {
      await holder.query('commit');
      await holder.end();
    },
  };
}
const rotated = async (): Promise<number> =>
  (await at.other.database.query('select 1 from refresh_tokens where used_at is not null')).length;

test.each([
  ['after the token was marked used, before the server knew', true],
  ['while marking it', false],
])(
  'Faults: the server killed between using and issuing (%s): the retry works and the family lives',
  async (_, used) => {
    const { first, provider } = await prepare();
    const rotation = await holdRotation();
    const cutShort = refresh(provider, first.refresh_token).then(
      ({ status }) => status,
      () => 'no answer',
    );
    await rotation.waits();
    at.postgres.loseAnswers();
    if (used) {
      await rotation.release();
      await expect.poll(rotated).toBe(1);
      await provider.signal('SIGKILL');
    } else {
      await provider.signal('SIGKILL');
      await rotation.release();
    }
    expect(await cutShort).toBe('no answer');
    await expectFamilyLives(first);
  },
);

test('Faults: an answer lost between the server and the app: the retry works and the family lives', async () => {
  const { first, provider } = await prepare();
  const lost = send(`${provider.url}/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });
  lost.end(new URLSearchParams({ client_id: spa.client_id, ...refreshForm(first.refresh_token) }).toString());
  const [answer] = await once(lost, 'response');
  expect(answer.statusCode).toBe(200);
  lost.destroy();
  await expectFamilyLives(first);
});

test('Faults: SIGTERM: what is in flight finishes, readiness goes, nobody new is let in', async () => {
  const { first, provider } = await prepare();
  expect((await refresh(provider, 'warms the connections up')).status).toBe(400);
  at.postgres.delay(100);
  const socket = connect(provider.port, 'localhost');
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes;
  });
  const form = new URLSearchParams({
    client_id: spa.client_id,
    ...refreshForm(first.refresh_token),
  }).toString();
  socket.write(
    `POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${form.length}\r\n\r\n${form}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  const begun = performance.now();
  const ended = provider.signal('SIGTERM');
  await expect
    .poll(() =>
      fetch(provider.url).then(
        () => 'answered',
        () => 'refused',
      ),
    )
    .toBe('refused');
  socket.write('GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n');
  expect(received).toBe('');
  expect(await ended).toBe(0);
  expect(performance.now() - begun).toBeLessThan(10_000);

  const [, refreshed = '', readiness = ''] =
    received.split(/(?=HTTP\/1\.1 )/).length === 2 ? ['', ...received.split(/(?=HTTP\/1\.1 )/)] : [];
  expect(refreshed).toMatch(/^HTTP\/1\.1 200 /);
  expect(readiness).toMatch(/^HTTP\/1\.1 503 /);
  expect(readiness).toContain('"stopping":true');
  const { refresh_token } = JSON.parse(
    refreshed.slice(refreshed.indexOf('{'), refreshed.lastIndexOf('}') + 1),
  );
  expect((await refresh(at.other, refresh_token)).status).toBe(200);
});

test('SIGTERM while PostgreSQL hangs: the process ends all the same', async () => {
  const { first, provider } = await prepare();
  at.postgres.hang();
  const cutShort = refresh(provider, first.refresh_token).then(({ status }) => status);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const begun = performance.now();
  await provider.signal('SIGTERM');
  expect(performance.now() - begun).toBeLessThan(12_000);
  console.log(performance.now() - begun);
  expect(await cutShort).toBe(503);
});
