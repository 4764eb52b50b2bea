/** A sign-in goes on only in the browser in which it was begun, whatever cookies a sibling domain plants (login CSRF). */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { behindTls, cookieHeader, cookiesOf } from '../support/cookies.ts';
import { createPerson, interactionOf, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { intranet } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [intranet], issuer: 'https://id.example' });
});
afterAll(() => server.close());

const host = '__Host-';
/** What a page of a sibling domain can put into another's browser: everything but cookies of this host alone. */
const planted = (person: Person, path: string) =>
  cookieHeader(
    Object.fromEntries(Object.entries(cookiesOf(person, path)).filter(([name]) => !name.startsWith(host))),
  );
const begin = async (person: Person) => String(interactionOf(await person.authorize(intranet)));

test('Session and cookies: a sign-in that was planted in another browser is refused at its pages, its steps and its end', async () => {
  const attacker = behindTls(createPerson(server, 'mallory'));
  const uid = await begin(attacker);
  const [pages, end] = [`/interaction/${uid}`, `/auth/${uid}`];
  const at = (path: string) =>
    request(server.url).get(path).set('cookie', planted(attacker, path)).accept('html');
  expect(planted(attacker, pages)).toContain('cypher_interaction');
  expect((await at(pages)).status).toBe(400);
  const step = await request(server.url)
    .post(`${pages}/login/init`)
    .set('cookie', planted(attacker, pages))
    .send({ username: 'mallory', ke1: 'A'.repeat(130) });
  expect([step.status, step.body.error]).toEqual([400, 'interaction_expired']);
  await attacker.signUp(uid);
  const victim = await at(end);
  expect(victim.status).toBe(400);
  expect(String(victim.headers['set-cookie'])).not.toContain('cypher_session=v4');
  // In the attacker's own browser it goes on, once, and leaves nothing behind.
  const names = Object.keys(cookiesOf(attacker, '/'));
  expect(names.filter((name) => name.startsWith(`${host}cypher_begun_`))).toHaveLength(1);
  const own = await attacker.agent.get(end);
  expect(String(own.headers.location)).toContain('code=');
  expect(String(own.headers['set-cookie'])).toMatch(
    /__Host-cypher_session=v4[^;]*; path=\/;.*secure; httponly/i,
  );
  expect(Object.keys(cookiesOf(attacker, '/')).filter((name) => name.includes('begun'))).toEqual([]);
});

test('Session and cookies: tabs that begin at once all go on, and a browser keeps a dozen sign-ins', async () => {
  const ada = behindTls(createPerson(server, 'ada'));
  const uids = await Promise.all(Array.from({ length: 5 }, () => begin(ada)));
  for (const uid of uids) expect((await ada.agent.get(`/interaction/${uid}`)).status).toBe(200);
  for (let count = 0; count < 12; count++) {
    server.clock.advance(1);
    uids.push(await begin(ada));
  }
  expect(Object.keys(cookiesOf(ada, '/')).filter((name) => name.includes('begun'))).toHaveLength(12);
  expect((await ada.agent.get(`/interaction/${uids[0]}`)).status).toBe(400);
  expect((await ada.agent.get(`/interaction/${uids.at(-1)}`)).status).toBe(200);
});
