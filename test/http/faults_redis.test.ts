/** Redis stopped, killed, flushed, 2 s slow: everything stays correct, nobody waits long, and limits go on. */
import { Redis } from 'ioredis';
import request from 'supertest';
import { afterEach, describe, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type BehindProxies, startBehindProxies, within } from '../support/behind_proxies.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { asApp, challengeOf, createPerson, isAlive, verifier } from '../support/person.ts';
import type { ServerOptions, TestServer } from '../support/server.ts';
import { begin, codeAt, signUp, visit } from '../support/visits.ts';

const { web, spa } = apps;
/** What anybody may have to wait for one answer, on a busy machine. */
const bounded = 2000;

const faults: Record<string, (at: BehindProxies) => unknown> = {
  stopped: ({ redis }) => redis.hang(),
  killed: ({ redis }) => redis.cut(),
  '2 s slow': ({ redis }) => redis.delay(2000),
  async flushed({ direct }) {
    const client = new Redis(direct.redisUrl);
    await client.flushdb();
    client.disconnect();
  },
};

let at: BehindProxies;
async function start(settings: ServerOptions['settings'] = {}): Promise<BehindProxies> {
  at = await startBehindProxies({ clients: Object.values(apps), settings });
  return at;
}
afterEach(() => at.close());

const refresh = (on: TestServer, refresh_token: string) =>
  within(bounded, asApp(on, spa, { grant_type: 'refresh_token', refresh_token }));
const active = async (on: TestServer, token: string): Promise<boolean> => within(bounded, isAlive(on, token));
const revoke = (on: TestServer, token: string) =>
  within(bounded, asApp(on, spa, { token }, '/token/revocation'));

describe.each(Object.entries(faults))('Faults: Redis %s', (_name, inject) => {
  test('refresh, reuse, revocation and introspection stay correct on both instances', async () => {
    const { server, other, redis } = await start();
    const ada = createPerson(server, 'ada');
    const [first, doomed] = [await ada.tokensFor(spa), await ada.tokensFor(spa)];
    const revoked = await ada.tokensFor(spa);
    expect((await revoke(server, revoked.access_token)).status).toBe(200);
    await inject(at);

    const second = await refresh(server, first.refresh_token);
    const retried = await refresh(other, first.refresh_token);
    expect([second.status, retried.status]).toEqual([200, 200]);
    expect(retried.body.refresh_token).toBe(second.body.refresh_token);
    expect((await revoke(server, doomed.refresh_token)).status).toBe(200);
    const stolen = await refresh(other, second.body.refresh_token);
    expect(stolen.status).toBe(200);
    expect((await refresh(server, first.refresh_token)).body.error).toBe('invalid_grant');

    const none = { prompt: 'none', code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
    const sso = await within(bounded, ada.authorize(spa, none));
    expect(sso.searchParams.get('code')).toBeTruthy();

    const stayEnded = async () => {
      for (const on of [server, other]) {
        for (const { access_token } of [revoked, doomed, first, second.body, stolen.body])
          expect.soft(await active(on, access_token)).toBe(false);
        for (const { refresh_token } of [revoked, doomed, stolen.body])
          expect.soft((await refresh(on, refresh_token)).body.error).toBe('invalid_grant');
      }
    };
    await stayEnded();
    await redis.restore();
    await expect.poll(() => cacheState(server)).toBe('ok');
    await stayEnded();
    const fresh = await ada.tokensFor(spa);
    expect(await active(other, fresh.access_token)).toBe(true);
  });

  test('logins go on where they are, and new ones succeed, on either instance', async () => {
    const { server, other } = await start();
    const ada = await signUp(server, 'ada');
    const atPassword = await visit(server, 'ada', ada);
    const atKe3 = await visit(server, 'ada', ada);
    const atCode = await visit(server, 'ada', ada);
    const moved = await visit(server, 'ada', ada);
    const { ke3 } = await atKe3.person.loginInit(atKe3.uid);
    expect((await atCode.person.provePassword(atCode.uid)).status).toBe(200);
    await inject(at);

    expect((await within(2 * bounded, atPassword.person.provePassword(atPassword.uid))).status).toBe(200);
    const finished = await within(bounded, atKe3.person.step(atKe3.uid, 'login/finish', { ke3 }));
    expect(finished.status).toBe(200);
    server.clock.advance(30);
    const { status, body } = await within(
      bounded,
      atCode.person.step(atCode.uid, 'totp/verify', { code: codeAt(server, ada) }),
    );
    expect(status).toBe(200);
    const back = await within(bounded, atCode.person.follow(new URL(body.location)));
    expect(back.searchParams.get('code')).toBeTruthy();
    // KE3 is no less single-use for the cache that may have kept a copy.
    expect((await atKe3.person.step(atKe3.uid, 'login/finish', { ke3 })).status).toBe(401);

    const path = `/interaction/${moved.uid}`;
    const page = request(other.url)
      .get(path)
      .set('Cookie', cookieHeader(cookiesOf(moved.person, path)));
    expect((await within(bounded, page)).status).toBe(200);

    const bob = createPerson(server, 'bob');
    const tokens = await within(4 * bounded, bob.tokensFor(web));
    expect(await active(other, tokens.access_token)).toBe(true);
  });

  test('Rate limits: Redis gone → PostgreSQL or in-process limits, never none', async () => {
    const { server } = await start({ LIMIT_ADDRESS_PER_MINUTE: '5' });
    const person = createPerson(server, 'ada');
    const uid = await begin(person);
    const attempt = async (name: string) => {
      const answer = await within(bounded, person.step(uid, 'login/init', { username: name, ke1: 'x' }));
      return answer.status;
    };
    expect([await attempt('a'), await attempt('b')]).toEqual([400, 400]);
    await inject(at);
    const answers: number[] = [];
    for (const name of ['c', 'd', 'e', 'f', 'g', 'h']) answers.push(await attempt(name));
    expect(answers).toContain(429);
    expect(answers.at(-1)).toBe(429);
    expect(new Set(answers)).toEqual(new Set([400, 429]));
  });
});

test('Redis hangs: one anonymous request waits for it, those after it do not, and each of them is counted', async () => {
  const perMinute = 2;
  const { server, redis } = await start({ LIMIT_ADDRESS_PER_MINUTE: String(perMinute) });
  const guess = () => request(server.url).post('/device').type('form').send({ user_code: 'x' });
  expect((await guess()).status).not.toBe(429);
  await redis.hang();
  const answers: { status: number; ms: number }[] = [];
  for (let times = 0; times < 6; times++) {
    const begun = performance.now();
    const { status } = await guess();
    answers.push({ status, ms: performance.now() - begun });
  }
  // The median, for on a busy machine any one of them may be slow by itself; if each waited for Redis, all would take 250 ms.
  const [, , , median = 0] = answers.map(({ ms }) => ms).sort((a, b) => b - a);
  expect(median).toBeLessThan(200);
  expect(await cacheState(server)).toBe('degraded');
  expect(answers.map(({ status }) => status === 429)).toEqual([false, false, true, true, true, true]);

  const beginnings = Array.from({ length: 200 }, () => request(server.url).get('/auth'));
  const statuses = (await within(bounded, Promise.all(beginnings))).map(({ status }) => status);
  expect(statuses.filter((status) => status !== 429)).toHaveLength(10 * perMinute);
});

async function cacheState(server: TestServer): Promise<string> {
  return (await request(server.url).get('/health/ready')).body.cache;
}
