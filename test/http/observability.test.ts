/** What an operator sees: metrics on a port of their own, and an audit log that cannot be rewritten. */
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createAudit } from '../../src/audit/audit.ts';
import { createMetrics, serveMetrics } from '../../src/http/metrics.ts';
import type { Query } from '../../src/storage/database.ts';
import { apps } from '../support/apps.ts';
import { createDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp, challengeOf, createPerson, interactionOf, verifier } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const { web } = apps;
const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const refresh = (token: string) => asApp(server, web, { grant_type: 'refresh_token', refresh_token: token });

interface Entry {
  event: string;
  account_id: string | null;
  client_id: string | null;
  address: string | null;
  detail: object | null;
}

async function auditLog(): Promise<Entry[]> {
  await server.audit.flush();
  return server.database.query<Entry>(
    'select event, account_id, client_id, address, detail from audit_log order by at, id',
  );
}

test('a login, a wrong code and a stolen token are counted and in the audit log', async () => {
  const person = createPerson(server, 'audited');
  const first = await person.tokensFor(web, { prompt: 'consent login' });
  const uid = interactionOf(await person.authorize(web, { prompt: 'login', ...pkce })) ?? '';
  await person.provePassword(uid);
  await person.step(uid, 'totp/verify', { code: '000000' });
  const second = await refresh(first.refresh_token);
  await refresh(second.body.refresh_token);
  await refresh(first.refresh_token);
  const third = await person.tokensFor(web);
  await asApp(server, web, { token: third.refresh_token }, '/token/revocation');
  const page = await person.agent.get('/session/end');
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  await person.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });

  const entries = await auditLog();
  expect(entries.map(({ event }) => event)).toEqual([
    'account.created',
    'totp.confirmed',
    'consent.answered',
    'password.proved',
    'login.failed',
    'refresh.reused',
    'token.revoked',
    'session.ended',
  ]);
  const accounts = new Set(entries.map(({ account_id }) => account_id));
  expect(accounts.size).toBe(1);
  expect(entries.slice(0, -1).every(({ client_id }) => client_id === web.client_id)).toBe(true);
  expect(entries[2]?.detail).toEqual({ decision: 'allow' });
  expect(entries[4]).toMatchObject({ address: '127.0.0.1', detail: { step: 'totp/verify' } });

  const text = await server.metrics.registry.metrics();
  expect(text).toContain('cypher_logins_total 1');
  expect(text).toContain('cypher_interaction_steps_total{step="totp/verify",outcome="invalid_code"} 1');
  expect(text).toContain('cypher_refreshes_total{outcome="rotated"} 2');
  expect(text).toContain('cypher_refreshes_total{outcome="reused"} 1');
  expect(text).toMatch(/cypher_storage_seconds_count\{store="postgresql",outcome="ok"\} [1-9]/);
});

test('metrics show how the pool is used, how old the keys are, and what waits for its deletion', async () => {
  const read = async () => {
    const samples = (await server.metrics.registry.metrics()).matchAll(
      /^(cypher_\w+(?:\{[^}]*\})?) (\S+)$/gm,
    );
    return new Map([...samples].map(([, name, value]) => [name, Number(value)]));
  };
  await createPerson(server, 'observed').authorize(web, pkce);
  const before = await read();
  const pool = (state: string) => before.get(`cypher_database_connections{state="${state}"}`);
  expect(pool('total')).toBeGreaterThan(0);
  expect(pool('total')).toBe(Number(pool('in_use')) + Number(pool('idle')));
  expect(pool('limit')).toBeGreaterThanOrEqual(Number(pool('total')));
  expect(before.get('cypher_database_role{role="primary"}')).toBe(1);
  expect(before.get('cypher_database_role{role="standby"}')).toBe(0);
  expect(before.get('cypher_database_breaker_open')).toBe(0);
  expect(before.get('cypher_sweep_overdue_seconds{table="sessions"}')).toBe(0);
  // No sweeper runs here. What the sign-in has begun expires, and stays.
  server.clock.advance(86_400);
  const after = await read();
  expect(after.get('cypher_sweep_overdue_seconds{table="ephemeral"}')).toBeGreaterThan(3600);
  const aged = (kind: string) => `cypher_key_age_seconds{kind="${kind}"}`;
  for (const kind of ['jwk RS256', 'token access', 'cookies'])
    expect(Number(after.get(aged(kind))) - Number(before.get(aged(kind)))).toBeGreaterThanOrEqual(86_400);
  // These never rotate.
  expect([after.has(aged('secret')), after.has(aged('opaque'))]).toEqual([false, false]);
});

test('an event whose answer was lost is in the audit log once, one that was lost itself too', async () => {
  const { database, clock } = server;
  const fates = ['written later, answer lost', 'written, answer lost', 'not written', 'answered'] as const;
  let fate: (typeof fates)[number] = 'answered';
  const later: (() => Promise<unknown>)[] = [];
  const query: Query = async (text, values) => {
    if (!text.startsWith('insert') || fate === 'answered') return database.query(text, values);
    if (fate === 'written, answer lost') await database.query(text, values);
    if (fate === 'written later, answer lost') later.push(() => database.query(text, values));
    throw new Error('the connection was cut');
  };
  const silent = { error() {} } as never;
  const audit = createAudit({ ...database, query }, silent, clock.now);
  for (fate of fates) {
    clock.advance(1);
    audit.record({ event: 'login.failed', address: fate });
    audit.record({ event: 'login.failed', accountId: 'somebody', address: fate, detail: { step: 'totp' } });
    await audit.flush();
  }
  // The attempt that PostgreSQL was still at fails as a whole: what it would write has been written.
  for (const write of later) await expect(write()).rejects.toThrow(/audit_log_\d{4}_\d\d_pkey/);
  const rows = await database.query<{ address: string }>(
    'select address from audit_log where address = any($1) order by id',
    [fates],
  );
  const twice = (address: string) => [address, address];
  expect(rows.map(({ address }) => address)).toEqual(fates.flatMap(twice));
});

test('the audit log refuses changes', async () => {
  for (const change of ["update audit_log set event = 'x'", 'delete from audit_log', 'truncate audit_log']) {
    await expect(server.database.query(change)).rejects.toThrow('append-only');
  }
});

test('metrics are served on their own port alone', async () => {
  const serving = await serveMetrics(createMetrics('1.2.3'), '127.0.0.1', 0);
  const { port } = serving.address() as AddressInfo;
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  expect(await answer.text()).toContain('cypher_nodejs_eventloop_lag_seconds');
  serving.close();
  expect((await fetch(`${server.url}/metrics`)).status).toBe(404);
});

test('metrics are for this machine, wherever the server listens, unless METRICS_HOST says otherwise', async () => {
  const database = await createDatabase();
  onTestFinished(database.drop);
  // 127.0.0.2 is this machine too, but nothing listens there that listens at 127.0.0.1: it stands for the outside.
  const answers = async (settings: Record<string, string>) => {
    const [port, metricsPort] = [await freePorts(), await freePorts()];
    const given = { PORT: String(port), METRICS_PORT: String(metricsPort), HOST: '0.0.0.0', ...settings };
    const provider = await startProcess({ DATABASE_URL: database.url, ...given });
    onTestFinished(async () => void (await provider.signal('SIGKILL')));
    await provider.up();
    const ask = (address: string) =>
      fetch(`http://${address}`).then(
        ({ status }) => status,
        () => 'refused',
      );
    return Promise.all(
      [
        `127.0.0.1:${metricsPort}/metrics`,
        `127.0.0.2:${metricsPort}/metrics`,
        `127.0.0.2:${port}/health/live`,
      ].map(ask),
    );
  };
  expect(await answers({})).toEqual([200, 'refused', 200]);
  expect(await answers({ METRICS_HOST: '0.0.0.0' })).toEqual([200, 200, 200]);
});

test('a session knows where it was used from, and is written at most once a minute', async () => {
  const person = createPerson(server, 'seen');
  person.agent.set('User-Agent', 'A browser');
  await person.tokensFor(web);
  const read = () =>
    server.database.query<{ writtenBy: string; address: string; user_agent: string; device: string }>(
      `select xmin::text as "writtenBy", address, user_agent, device
       from sessions order by created_at desc limit 1`,
    );
  const [before] = await read();
  expect(before).toMatchObject({ address: '127.0.0.1', user_agent: 'A browser', device: expect.any(String) });
  await person.authorize(web, { prompt: 'none', ...pkce });
  expect((await read())[0]?.writtenBy).toBe(before?.writtenBy);
  server.clock.advance(61);
  await person.authorize(web, { prompt: 'none', ...pkce });
  expect((await read())[0]?.writtenBy).not.toBe(before?.writtenBy);
});
