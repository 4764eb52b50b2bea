/** Apps that use OAuth without OpenID, and addresses that are kept as an app wrote them. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa } = apps;
const odd = 'https://odd.example/cb?next=a%20b&sign=~%7e&empty=&x';
const oddApp = {
  ...spa,
  client_id: 'odd',
  redirect_uri: odd,
  redirect_uris: [
    odd,
    'https://ODD.example',
    'http://127.0.0.1:7777/cb',
    'http://[::1]/cb',
    'http://localhost/cb?a=b',
  ],
  post_logout_redirect_uris: ['https://odd.example/bye?to=a%20b', 'http://localhost/bye'],
};
const confidential = {
  ...web,
  client_id: 'confidential',
  redirect_uri: 'http://127.0.0.1/cb',
  redirect_uris: ['http://127.0.0.1/cb'],
};
const device = {
  ...spa,
  client_id: 'device',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
};
const resources = [
  { audience: 'https://notes.example', scopes: ['notes:read', 'notes:write'] },
  { audience: 'https://mcp.example/mcp', scopes: [] },
];
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), oddApp, confidential, device], resources });
  ada = createPerson(server, 'ada');
  await ada.codeFor(apps.intranet);
});
afterAll(() => server.close());

/** The tokens of an authorization with these parameters. An empty one is left out. */
async function tokensOf(parameters: Record<string, string>, exchange: Record<string, string> = {}) {
  const code_verifier = verifier();
  const all = {
    client_id: spa.client_id,
    redirect_uri: spa.redirect_uri,
    response_type: 'code',
    code_challenge: challengeOf(code_verifier),
    code_challenge_method: 'S256',
    ...parameters,
  };
  const answer = await ada.agent.get('/auth').query(all);
  expect([answer.status, answer.text.slice(0, 200)]).toEqual([303, expect.any(String)]);
  const back = await ada.travel(new URL(String(answer.headers.location), server.url));
  const code = back.searchParams.get('code') ?? back.search;
  const form = { grant_type: 'authorization_code', code, redirect_uri: all.redirect_uri, code_verifier };
  return (await asApp(server, spa, { ...form, ...exchange })).body;
}

test('an app that asks without openid gets what it asks for; one that names no scope gets a default', async () => {
  const api = 'https://notes.example';
  const asked = await tokensOf({ scope: 'notes:read', resource: api }, { resource: api });
  expect(asked).toMatchObject({ access_token: expect.any(String), scope: 'notes:read' });
  expect(asked.id_token).toBeUndefined();
  expect(await tokensOf({ resource: api })).toMatchObject({ scope: 'notes:read notes:write' });
  expect(await tokensOf({})).toMatchObject({ scope: 'openid', id_token: expect.any(String) });
  const mcp = await tokensOf({ resource: 'https://mcp.example/mcp' });
  expect(mcp).toMatchObject({ access_token: expect.any(String) });
});

test('a missing scope has its default in a pushed request and for a device too', async () => {
  const pushed = await asApp(
    server,
    web,
    {
      client_id: web.client_id,
      response_type: 'code',
      redirect_uri: web.redirect_uri,
      code_challenge: 'a'.repeat(43),
      code_challenge_method: 'S256',
    },
    '/request',
  );
  expect(pushed.body).toMatchObject({ request_uri: expect.any(String) });
  const begun = await ada.authorize(web, { request_uri: pushed.body.request_uri });
  const page = await ada.agent.get(begun.pathname);
  expect(page.text).toContain('data-scope="openid"');
  await asApp(server, device, {}, '/device/auth').expect(200);
});

test('scopes of which none is known are refused with a sentence, by the authorization, a pushed request and a device', async () => {
  const back = await ada.authorize(web, {
    scope: 'unheard of',
    nonce: '',
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  });
  const says = 'none of the requested scopes is known: ask for openid, or name the API by resource';
  expect([back.origin, back.searchParams.get('error'), back.searchParams.get('error_description')]).toEqual([
    'https://web.example',
    'invalid_scope',
    says,
  ]);
  for (const [app, path, more] of [
    [
      web,
      '/request',
      {
        client_id: web.client_id,
        response_type: 'code',
        redirect_uri: web.redirect_uri,
        code_challenge: 'a'.repeat(43),
        code_challenge_method: 'S256',
      },
    ],
    [device, '/device/auth', {}],
  ] as const) {
    const { status, body } = await asApp(server, app, { scope: 'unheard of', ...more }, path);
    expect([path, status, body]).toEqual([
      path,
      400,
      expect.objectContaining({ error: 'invalid_scope', error_description: says }),
    ]);
  }
});

test('redirect URIs come back byte for byte, in every mode, and after a sign-out', async () => {
  const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  const locationOf = async (parameters: Record<string, string>) => {
    const query = {
      client_id: 'odd',
      response_type: 'code',
      prompt: 'none',
      scope: 'openid',
      ...pkce,
      ...parameters,
    };
    return (await request(server.url).get('/auth').query(query).expect(303)).headers.location;
  };
  expect(await locationOf({ redirect_uri: odd })).toMatch(
    /^https:\/\/odd\.example\/cb\?next=a%20b&sign=~%7e&empty=&x&error=login_required&/,
  );
  expect(await locationOf({ redirect_uri: odd, response_mode: 'fragment' })).toMatch(
    /^https:\/\/odd\.example\/cb\?next=a%20b&sign=~%7e&empty=&x#error=login_required&/,
  );
  expect(await locationOf({ redirect_uri: odd, response_mode: 'jwt' })).toMatch(
    /^https:\/\/odd\.example\/cb\?next=a%20b&sign=~%7e&empty=&x&response=ey/,
  );
  expect(await locationOf({ redirect_uri: 'https://ODD.example' })).toMatch(
    /^https:\/\/ODD\.example\?error=/,
  );

  const bea = createPerson(server, 'bea');
  await bea.codeFor(apps.intranet);
  const page = await bea.agent
    .get('/session/end')
    .query({ client_id: 'odd', post_logout_redirect_uri: 'https://odd.example/bye?to=a%20b', state: 's t' });
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  const done = await bea.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  expect(done.headers.location).toBe('https://odd.example/bye?to=a%20b&state=s+t');
});

test('an API is known by every form of its address that is equivalent', async () => {
  for (const resource of ['https://notes.example/', 'HTTPS://NOTES.example:443']) {
    const tokens = await tokensOf({ scope: 'notes:read', resource }, { resource });
    expect([resource, tokens.scope]).toEqual([resource, 'notes:read']);
  }
  const other = await ada.authorize(spa, {
    resource: 'https://notes.example/other',
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  });
  expect(other.searchParams.get('error')).toBe('invalid_target');
});

test('a public app may wait at any port of this machine, whatever its type; nothing else of its address may differ', async () => {
  const statusOf = async (client_id: string, redirect_uri: string) => {
    const query = {
      client_id,
      redirect_uri,
      response_type: 'code',
      scope: 'openid',
      code_challenge: 'a'.repeat(43),
      code_challenge_method: 'S256',
    };
    return (await request(server.url).get('/auth').query(query)).status;
  };
  for (const uri of [
    'http://127.0.0.1/cb',
    'http://127.0.0.1:1/cb',
    'http://[::1]:65535/cb',
    'http://localhost:8080/cb?a=b',
  ])
    expect([uri, await statusOf('odd', uri)]).toEqual([uri, 303]);
  for (const uri of [
    'https://127.0.0.1:1/cb',
    'http://127.0.0.2:1/cb',
    'http://localhost:1/cb',
    'http://127.0.0.1:1/other',
    'http://127.0.0.1:1/cb?a=b',
    'http://127.0.0.1:1/cb#f',
    'http://127.0.0.1:99999/cb',
    'http://127.0.0.1:80@evil.example/cb',
    'http://127.0.0.1:80.evil.example/cb',
    'http://user@127.0.0.1:1/cb',
    'http://127.0.0.1:/cb',
    'http://0x7f.1:1/cb',
    'https://odd.example:444/cb?next=a%20b&sign=~%7e&empty=&x',
  ])
    expect([uri, await statusOf('odd', uri)]).toEqual([uri, 400]);
  expect(await statusOf('confidential', 'http://127.0.0.1:1/cb')).toBe(400);
});
