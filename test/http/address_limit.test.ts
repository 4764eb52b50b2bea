/** Attempts per address, and whose address it is. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type Visit, visit } from '../support/visits.ts';

const options = { clients: Object.values(apps), settings: { LIMIT_ADDRESS_PER_MINUTE: '5' } };
const settings = { ...options.settings, TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8' };
let direct: TestServer;
let proxied: TestServer;
let beside: TestServer;
beforeAll(async () => {
  [direct, proxied] = await Promise.all([startServer(options), startServer({ ...options, settings })]);
  beside = await startServer({ ...options, settings, beside: proxied });
});
afterAll(() => Promise.all([direct.close(), beside.close().then(() => proxied.close())]));

let count = 0;
/** Begins a login or sign-up under a name of its own. */
async function attempt(
  server: TestServer,
  { person, uid }: Visit,
  forwarded?: string,
  action = 'login/init',
) {
  const post = request(server.url)
    .post(`/interaction/${uid}/${action}`)
    .set('Cookie', cookieHeader(cookiesOf(person, `/interaction/${uid}`)));
  if (forwarded) post.set('X-Forwarded-For', forwarded);
  return post.send({ username: `name-${count++}`, ke1: 'x', request: 'x' });
}

test('Rate limits: five attempts a minute and address; then 429 with the time to wait', async () => {
  const at = await visit(direct, 'ada');
  for (let left = 4; left >= 0; left--) {
    const answer = await attempt(direct, at, undefined, left % 2 ? 'login/init' : 'register/init');
    expect(answer.status).toBe(400);
    expect(answer.headers.ratelimit).toMatch(new RegExp(`^"address";r=${left};t=([1-5]?[0-9]|60)$`));
    expect(answer.headers['ratelimit-policy']).toBe('"address";q=5;w=60');
  }
  for (const action of ['login/init', 'register/init']) {
    const refused = await attempt(direct, at, undefined, action);
    expect([refused.status, refused.body.error]).toEqual([429, 'too_many_requests']);
    expect(refused.headers.ratelimit).toMatch(/^"address";r=0;t=\d+$/);
    const seconds = Number(refused.headers['retry-after']);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
  }
});

test('Rate limits: X-Forwarded-For of a socket that is no trusted proxy is ignored', async () => {
  const at = await visit(direct, 'ada');
  for (const forwarded of ['203.0.113.1', '127.0.0.1', '203.0.113.2, 10.0.0.1', 'unknown']) {
    expect([forwarded, (await attempt(direct, at, forwarded)).status]).toEqual([forwarded, 429]);
  }
});

test('Rate limits: behind a trusted proxy every client has its own limit, counted across instances', async () => {
  const at = await visit(proxied, 'ada');
  for (let n = 0; n < 5; n++) {
    expect((await attempt(n % 2 ? beside : proxied, at, '203.0.113.1')).status).toBe(400);
  }
  expect((await attempt(proxied, at, '203.0.113.1')).status).toBe(429);
  expect((await attempt(beside, at, '203.0.113.1')).status).toBe(429);
  expect((await attempt(proxied, at, '203.0.113.2')).status).toBe(400);
});

test('Rate limits: what a client wrote into X-Forwarded-For itself is not believed', async () => {
  const at = await visit(proxied, 'ada');
  const tries = [
    '1.2.3.4, 203.0.113.9',
    '5.6.7.8,203.0.113.9, 10.1.2.3',
    '::1, 203.0.113.9',
    '203.0.113.9',
    'x, 203.0.113.9',
  ];
  for (const forwarded of tries) expect((await attempt(proxied, at, forwarded)).status).toBe(400);
  expect((await attempt(proxied, at, '9.9.9.9, 203.0.113.9')).status).toBe(429);
  expect((await attempt(proxied, at, '::ffff:203.0.113.9')).status).toBe(429);
});

test.each([
  ['zeros in front', '2001:db8::', '2001:db8:0:1::'],
  ['no zeros', '2001:db8:1:2:', '2001:db8:1:3:'],
])('Rate limits: an IPv6 network of 64 bits counts as one address: %s', async (_name, network, other) => {
  const at = await visit(proxied, 'ada');
  for (let n = 1; n <= 5; n++) {
    expect((await attempt(proxied, at, `${network}${n}:2:3:4`)).status).toBe(400);
  }
  expect((await attempt(proxied, at, `${network}6:2:3:4`)).status).toBe(429);
  expect((await attempt(proxied, at, `${network}7:8:9:a`)).status).toBe(429);
  expect((await attempt(proxied, at, other.endsWith('::') ? `${other}1` : `${other}1:2:3:4`)).status).toBe(
    400,
  );
});

test('Load and rubbish: a flood of sign-ins that nobody goes on with is stopped where it comes from', async () => {
  const begin = (path: string, from: string) =>
    request(proxied.url)
      .get(path)
      .set('X-Forwarded-For', from)
      .set('Accept', 'text/html')
      .query({ client_id: apps.spa.client_id });
  const answers: number[] = [];
  for (let round = 0; round < 6; round++) {
    const parallel = Array.from({ length: 10 }, () => begin(round % 2 ? '/auth' : '/Auth/', '203.0.113.77'));
    answers.push(...(await Promise.all(parallel)).map(({ status }) => status));
  }
  // Ten times the five.
  expect(answers.filter((status) => status !== 429).length).toBe(50);
  const refused = await begin('/auth', '203.0.113.77');
  expect([refused.status, Number(refused.headers['retry-after']) > 0]).toEqual([429, true]);
  expect(refused.text).toContain('<html');
  expect((await begin('/auth', '203.0.113.78')).status).not.toBe(429);
});
