/** Posts from other sites are refused at every step, and no request chooses the names that the server goes by. */
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, signUp, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const actions = [
  'login/init',
  'login/finish',
  'register/init',
  'register/finish',
  'totp/setup',
  'totp/verify-setup',
  'totp/verify',
  'consent',
];

describe('Cookies: a cross-origin POST to any step is refused', () => {
  const foreign: [string, Record<string, string>][] = [
    ['another origin', { Origin: 'https://evil.example' }],
    ['an opaque origin', { Origin: 'null' }],
    ['an opaque origin on a sibling site', { Origin: 'null', 'Sec-Fetch-Site': 'same-site' }],
    ['another port', { Origin: 'http://localhost:1' }],
    ['a prefix of ours', { Origin: 'http://localhost' }],
    ['cross-site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['same-site', { 'Sec-Fetch-Site': 'same-site' }],
    ['one of the two', { 'Sec-Fetch-Site': 'same-origin', Origin: 'https://evil.example' }],
    ['the other of the two', { 'Sec-Fetch-Site': 'cross-site', Origin: 'ours' }],
  ];

  test.each(foreign)('%s', async (_name, headers) => {
    const { person, uid } = await visit(server, 'ada');
    const sent = { ...headers, ...(headers.Origin === 'ours' ? { Origin: server.url } : {}) };
    for (const action of actions) {
      const json = person.agent.post(`/interaction/${uid}/${action}`).set(sent);
      const form = person.agent.post(`/interaction/${uid}/${action}`).set(sent).type('form');
      for (const answer of [await json.send({}), await form.send({ code: '1', decision: 'allow' })]) {
        expect([action, answer.status, answer.body.error]).toEqual([action, 403, 'cross_origin']);
        expect(answer.headers['set-cookie']).toBeUndefined();
      }
    }
  });

  test('our own pages and native apps are not', async () => {
    const { person, uid } = await visit(server, 'ada');
    for (const headers of [
      {},
      { Origin: server.url },
      { Origin: server.url, 'Sec-Fetch-Site': 'same-origin' },
    ]) {
      const post = person.agent.post(`/interaction/${uid}/login/init`).set(headers);
      expect((await post.send({})).body.error).toBe('invalid_request');
    }
  });
});

const lies = {
  Host: 'evil.example',
  'X-Forwarded-Host': 'evil.example',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Port': '444',
  Forwarded: 'host=evil.example;proto=https',
  'X-Original-Host': 'evil.example',
};

test('Host and forwarding headers change no address', async () => {
  const get = (path: string) => request(server.url).get(path).set(lies);
  const honest = await request(server.url).get('/.well-known/openid-configuration');
  const discovery = await get('/.well-known/openid-configuration');
  expect(discovery.body).toEqual(honest.body);
  expect(discovery.body.issuer).toBe(server.url);

  const ada = createPerson(server, 'ada');
  ada.agent.set({ ...lies, Host: new URL(server.url).host });
  const uid = await begin(ada);
  const resume = await ada.signUp(uid);
  expect(resume.href).toBe(`${server.url}/auth/${uid}`);
  const done = await ada.agent.get(resume.pathname).set(lies);
  expect(done.headers.location).toMatch(/^https:\/\/intranet\.example\/callback\?/);
  expect(done.headers.location).toContain(`iss=${encodeURIComponent(server.url)}`);
  expect(`${done.headers['set-cookie']}`).not.toMatch(/domain=|evil/i);
  const pages = [get('/'), get('/auth?client_id=x'), get('/session/end'), get('/nowhere')];
  for (const { text, headers } of await Promise.all(pages))
    expect(text + JSON.stringify(headers)).not.toContain('evil');
});

test('the login answers no CORS request', async () => {
  const bob = await signUp(server, 'bob');
  const uid = await begin(bob, apps.intranet, { prompt: 'login' });
  for (const path of [
    '/auth?client_id=intranet',
    `/interaction/${uid}`,
    `/interaction/${uid}/login/init`,
    '/',
  ]) {
    const origin = 'https://intranet.example';
    const answers = [
      await bob.agent.get(path).set('Origin', origin),
      await bob.agent.options(path).set({ Origin: origin, 'Access-Control-Request-Method': 'POST' }),
    ];
    for (const { headers } of answers) expect(headers['access-control-allow-origin']).toBeUndefined();
  }
});
