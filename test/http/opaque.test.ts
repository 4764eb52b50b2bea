/** The password's proof under attack: unknown names, replays, the messages of other logins. */
import { createECDH, randomBytes } from 'node:crypto';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MESSAGE_BYTES, toBase64url } from '../../src/opaque/wire.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { keptState } from '../support/stores.ts';
import { begin, signUp, visit } from '../support/visits.ts';

let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  const options = { clients: Object.values(apps), settings: { LIMIT_ACCOUNT_FAILURES: '1000' } };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
  await signUp(server, 'ada');
});
afterAll(async () => {
  await other.close();
  await server.close();
});

const random = (bytes: number) => toBase64url(randomBytes(bytes));
const point = () => Buffer.from(createECDH('prime256v1').generateKeys('hex', 'compressed'), 'hex');
const ke1Of = (blinded: Uint8Array, keyShare: Uint8Array) =>
  toBase64url(Buffer.concat([blinded, Buffer.alloc(32, 1), keyShare]));

/** What an answer looks like to somebody who compares: everything but random values of one length. */
const looks = ({ status, body, headers }: request.Response) => ({
  status,
  body: Object.entries(body).map(([key, value]) => [key, key === 'message' ? value : String(value).length]),
  headers: Object.keys(headers),
  length: headers['content-length'],
});

test('OPAQUE: an unknown user and a wrong password look the same, also over repeats', async () => {
  const seen = [];
  for (const name of ['ada', 'nobody', 'ada', 'nobody', 'nobody']) {
    const { person, uid } = await visit(server, name);
    const { answer, ke3 } = await person.loginInit(uid, { password: 'not the right password' });
    expect(answer.status).toBe(200);
    expect(ke3).toBeUndefined();
    const refused = await person.step(uid, 'login/finish', { ke3: random(MESSAGE_BYTES.ke3) });
    expect(refused.status).toBe(401);
    seen.push({ init: looks(answer), finish: looks(refused) });
  }
  for (const one of seen) expect(one).toEqual(seen[0]);
});

test('OPAQUE: the key of a name is the same at every try and on every instance, known or not', async () => {
  const ke1 = ke1Of(point(), point());
  const evaluated = async (at: TestServer, username: string) => {
    const { person, uid } = await visit(server, 'ada');
    const answer = await request(at.url)
      .post(`/interaction/${uid}/login/init`)
      .set('Cookie', cookieHeader(cookiesOf(person, `/interaction/${uid}`)))
      .send({ username, ke1 });
    expect(answer.status).toBe(200);
    return Buffer.from(answer.body.ke2, 'base64url').subarray(0, 33).toString('hex');
  };
  const first = { ada: await evaluated(server, 'ada'), nobody: await evaluated(server, 'nobody') };
  const again = { ada: await evaluated(other, 'Ada'), nobody: await evaluated(other, 'NOBODY') };
  expect(again).toEqual(first);
  expect(first.ada).not.toBe(first.nobody);
});

test('OPAQUE: KE3 works once, in sequence', async () => {
  const { person, uid } = await visit(server, 'ada');
  const { ke3 } = await person.loginInit(uid);
  expect((await person.step(uid, 'login/finish', { ke3 })).status).toBe(200);
  const replayed = await person.step(uid, 'login/finish', { ke3 });
  expect([replayed.status, replayed.body.error]).toEqual([401, 'login_step_required']);
});

test('OPAQUE: KE3 works once, 50 times in parallel through two instances', async () => {
  const { person, uid } = await visit(server, 'ada');
  const { ke3 } = await person.loginInit(uid);
  const cookies = cookieHeader(cookiesOf(person, `/interaction/${uid}`));
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      request(index % 2 ? other.url : server.url)
        .post(`/interaction/${uid}/login/finish`)
        .set('Cookie', cookies)
        .send({ ke3 }),
    ),
  );
  const statuses = answers.map(({ status }) => status).sort();
  expect(statuses).toEqual([200, ...Array(49).fill(401)]);
});

test('OPAQUE: KE3 of another login or interaction is refused', async () => {
  const { person, uid } = await visit(server, 'ada');
  const earlier = await person.loginInit(uid);
  await person.loginInit(uid);
  expect((await person.step(uid, 'login/finish', { ke3: earlier.ke3 })).status).toBe(401);
  const here = await person.loginInit(uid);
  const second = await begin(person);
  await person.loginInit(second);
  expect((await person.step(second, 'login/finish', { ke3: here.ke3 })).status).toBe(401);
});

test('OPAQUE: KE3 with the cookies of another interaction is refused, and nothing is used up', async () => {
  const ada = await visit(server, 'ada');
  const eve = await visit(server, 'eve');
  const { ke3 } = await ada.person.loginInit(ada.uid);
  const stolen = await request(server.url)
    .post(`/interaction/${ada.uid}/login/finish`)
    .set('Cookie', cookieHeader(cookiesOf(eve.person, `/interaction/${eve.uid}`)))
    .send({ ke3 });
  expect([stolen.status, stolen.body.error]).toEqual([400, 'interaction_expired']);
  expect(stolen.headers['set-cookie']).toBeUndefined();
  expect((await eve.person.step(eve.uid, 'login/finish', { ke3 })).status).toBe(401);
  expect((await ada.person.step(ada.uid, 'login/finish', { ke3 })).status).toBe(200);
});

test('OPAQUE: the state of KE2 is kept for 60 seconds at most', async () => {
  const { person, uid } = await visit(server, 'ada');
  expect(await keptState(server, `ke2:${uid}`)).toBe(false);
  const inTime = await person.loginInit(uid);
  expect(await keptState(server, `ke2:${uid}`)).toBe(true);
  server.clock.advance(59);
  expect((await person.step(uid, 'login/finish', { ke3: inTime.ke3 })).status).toBe(200);
  expect(await keptState(server, `ke2:${uid}`)).toBe(false);
  const late = await person.loginInit(uid);
  server.clock.advance(61);
  const stale = await person.step(uid, 'login/finish', { ke3: late.ke3 });
  expect([stale.status, stale.body.error]).toEqual([401, 'invalid_credentials']);
});
