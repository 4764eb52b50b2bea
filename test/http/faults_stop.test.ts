/** SIGTERM: what is in flight finishes, nobody new is let in, and nothing keeps the process from ending. */
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { apps } from '../support/apps.ts';
import type { BehindProxies } from '../support/behind_proxies.ts';
import { machineMs } from '../support/machine_time.ts';
import { asApp, type TokenAnswer } from '../support/person.ts';
import { type Provider, startBehind, startProcess } from '../support/provider_process.ts';

const { spa } = apps;

let at: BehindProxies;
let provider: Provider;
let first: TokenAnswer;
beforeEach(async () => {
  ({ at, provider, first } = await startBehind(spa));
});
afterEach(() => at.close());

const refreshForm = (token: string) => ({ grant_type: 'refresh_token', refresh_token: token });
const refresh = (on: { url: string }, token: string) => asApp(on, spa, refreshForm(token));

test('Faults: SIGTERM: what is in flight finishes, readiness goes, nobody new is let in', async () => {
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
    `POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${form.length}\r\n\r\n${form.slice(0, 20)}`,
  );
  await sleep(100);
  const begun = machineMs();
  const ended = provider.signal('SIGTERM');
  await expect
    .poll(() =>
      fetch(provider.url).then(
        () => 'answered',
        () => 'refused',
      ),
    )
    .toBe('refused');
  expect(received).toBe('');
  // The rest of the body, and another request behind it.
  socket.write(`${form.slice(20)}GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  expect(await ended).toBe(0);
  expect(machineMs() - begun).toBeLessThan(10_000);

  const [refreshed = '', readiness = ''] = received.split(/(?=HTTP\/1\.1 )/);
  expect(refreshed).toMatch(/^HTTP\/1\.1 200 /);
  expect(readiness).toMatch(/^HTTP\/1\.1 503 /);
  expect(readiness).toContain('"stopping":true');
  const { refresh_token } = JSON.parse(
    refreshed.slice(refreshed.indexOf('{'), refreshed.lastIndexOf('}') + 1),
  );
  expect((await refresh(at.other, refresh_token)).status).toBe(200);
});

test('SIGTERM while PostgreSQL hangs: the process ends all the same', async () => {
  at.postgres.hang();
  const cutShort = refresh(provider, first.refresh_token).then(({ status }) => status);
  await sleep(100);
  const begun = machineMs();
  await provider.signal('SIGTERM');
  expect(machineMs() - begun).toBeLessThan(12_000);
  expect(await cutShort).toBe(503);
});

test('SIGTERM with DRAIN_SECONDS: not ready any more, but serving, so that a load balancer has time to see it', async () => {
  const draining = await startProcess({
    ISSUER: at.server.url,
    DATABASE_URL: at.direct.databaseUrl,
    REDIS_URL: at.direct.redisUrl,
    DRAIN_SECONDS: '4',
  });
  await draining.up();
  // As a load balancer does it: over connections that it keeps, for as long as the instance says that it is ready.
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const get = (path: string) =>
    new Promise<{ status: number | undefined; connection: string | undefined }>((resolve, reject) => {
      const sent = request({ port: draining.port, path, agent }, (response) => {
        response.resume().once('end', () => {
          resolve({ status: response.statusCode, connection: response.headers.connection });
        });
      });
      sent.once('error', reject).end();
    });
  const ready = async () => (await get('/health/ready')).status;
  expect([await ready(), (await get('/jwks')).connection]).toEqual([200, 'keep-alive']);

  const ended = draining.signal('SIGTERM');
  let { refresh_token } = first;
  while ((await ready()) === 200) await sleep(10);
  expect(await ready()).toBe(503);
  for (let round = 0; round < 3; round++) {
    const refreshed = await refresh(draining, refresh_token);
    expect(refreshed.status).toBe(200);
    ({ refresh_token } = refreshed.body);
    expect(await get('/jwks')).toEqual({ status: 200, connection: 'close' });
  }
  expect(await ended).toBe(0);
  await expect(ready()).rejects.toThrow('ECONNREFUSED');
  expect((await refresh(at.other, refresh_token)).status).toBe(200);
});
