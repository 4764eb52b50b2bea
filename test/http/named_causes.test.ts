/** Errors name their cause to whoever can mend it: the operator in the log, the developer in the answer, the person on the page. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, machine } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    clients: Object.values(apps),
    resources: [{ audience: 'https://api.example/reports', scopes: ['reports:read'] }],
  });
});
afterAll(() => server.close());

const lines = () =>
  server
    .logged()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const authorize = async (params: Record<string, string>) => {
  const query = new URLSearchParams({
    client_id: web.client_id,
    redirect_uri: web.redirect_uri,
    response_type: 'code',
    scope: 'openid',
    code_challenge: challengeOf(verifier()),
    code_challenge_method: 'S256',
    ...params,
  });
  const answer = await fetch(`${server.url}/auth?${query}`, {
    headers: { accept: 'text/html' },
    redirect: 'manual',
  });
  const text = await answer.text();
  return { status: answer.status, location: answer.headers.get('location'), text };
};
/** The line of the log that the page or the body refers to. */
const lineOf = (id: unknown) => lines().find((line) => line.id === id && line.event !== undefined);
const idOn = (text: string) => /say this reference: <code>([\w-]+)</.exec(text)?.[1];

test('a redirect URI that is not registered is on the page, escaped and cut, and in the log with those that are', async () => {
  const sent = `https://evil.example/<script>"'\u202e${'x'.repeat(2000)}`;
  const { status, text } = await authorize({ redirect_uri: sent });
  expect(status).toBe(400);
  expect(text).toMatch(/<h1>The app’s address is not registered<\/h1>/);
  expect(text).toContain('https://evil.example/&lt;script&gt;');
  expect(text).not.toContain('\u202e');
  expect(text).not.toContain('x'.repeat(400));
  expect(text).not.toMatch(/href="https:\/\/evil/);
  const line = lineOf(idOn(text));
  expect(line).toMatchObject({ client: 'web', registered: [web.redirect_uri] });
  expect(String(line?.sent)).toMatch(/^https:\/\/evil\.example\//);
  expect(JSON.stringify(line).length).toBeLessThan(1500);
});

test('the id of an unknown client is on the page and in the log, however it was sent', async () => {
  const { status, text } = await authorize({ client_id: 'nobody-here' });
  expect([status, text]).toEqual([400, expect.stringContaining('nobody-here')]);
  expect(text).toMatch(/<h1>This app is not registered<\/h1>/);
  expect(lineOf(idOn(text))).toMatchObject({ sentClient: 'nobody-here' });
  const stranger = {
    client_id: 'nobody%20at the token endpoint',
    client_secret: 'a-canary',
    redirect_uri: '',
  };
  const basic = await asApp(server, stranger, { grant_type: 'client_credentials' });
  expect([basic.status, basic.body]).toEqual([401, expect.objectContaining({ error: 'invalid_client' })]);
  expect(lineOf(basic.body.id)).toMatchObject({
    sentClient: expect.stringContaining('at the token endpoint'),
  });
  expect(server.logged()).not.toContain('a-canary');
  // Unknown client and wrong secret: the same answer but for its id.
  const wrong = await asApp(server, { ...web, client_secret: 'wrong' }, { grant_type: 'client_credentials' });
  expect({ ...wrong.body, id: '' }).toEqual({ ...basic.body, id: '' });
});

test('a refused grant says why, to a client that has proved who it is', async () => {
  const codeVerifier = verifier();
  const code = await createPerson(server, 'grants').codeFor(web, {
    code_challenge: challengeOf(codeVerifier),
    code_challenge_method: 'S256',
  });
  const redeem = (form: Record<string, string>) =>
    asApp(server, web, {
      ...{
        grant_type: 'authorization_code',
        code,
        redirect_uri: web.redirect_uri,
        code_verifier: codeVerifier,
      },
      ...form,
    });
  for (const [form, reason] of [
    [{ code: 'unknown' }, /code not found/],
    [{ code_verifier: verifier() }, /code_verifier/],
    [{ redirect_uri: 'https://web.example/other' }, /redirect_uri mismatch/],
  ] as const) {
    const { status, body } = await redeem(form);
    expect([status, body.error, body.error_description]).toEqual([
      400,
      'invalid_grant',
      expect.stringMatching(reason),
    ]);
    expect(body.error_description).toMatch(/^[\x20\x21\x23-\x5B\x5D-\x7E]+$/);
    expect(lineOf(body.id)).toMatchObject({ client: 'web', error: 'invalid_grant' });
  }
  expect((await redeem({})).status).toBe(200);
  const refused = await asApp(server, web, { grant_type: 'refresh_token', refresh_token: 'x' });
  expect(refused.body.error_description).toMatch(/refresh token not found/);
});

test('JSON errors of every endpoint have the id that the log has', async () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
  for (const path of ['/token', '/request', '/device/auth', '/token/introspection', '/token/revocation']) {
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: form,
      body: 'client_id=nobody',
    });
    const { error, id } = (await answer.json()) as Record<string, string>;
    expect([path, error, id]).toEqual([path, expect.any(String), answer.headers.get('x-request-id')]);
    expect([path, lineOf(id)?.error]).toEqual([path, error]);
  }
  const userinfo = await fetch(`${server.url}/me`, { headers: { authorization: 'Bearer x', accept: '*/*' } });
  expect(await userinfo.json()).toMatchObject({
    error: 'invalid_token',
    id: userinfo.headers.get('x-request-id'),
  });
});

test('scopes that are ignored are warned of once for each app, and an unknown resource is named', async () => {
  for (let round = 0; round < 3; round++) {
    const { status, location } = await authorize({ scope: 'openid profile nonsense more:nonsense' });
    expect([status, location]).toEqual([303, expect.stringMatching(/^\/interaction\//)]);
    await asApp(server, machine, { grant_type: 'client_credentials', scope: 'reports:writ' });
  }
  const ignored = lines().filter(
    ({ level, msg }) => level === 40 && /scopes that nothing here has/.test(String(msg)),
  );
  expect(ignored).toMatchObject([
    { client: 'web', scopes: ['nonsense', 'more:nonsense'] },
    { client: 'machine', scopes: ['reports:writ'] },
  ]);
  const { location } = await authorize({ resource: 'https://unknown.example/api' });
  expect(location).toMatch(/error=invalid_target/);
  expect(lines().at(-1)).toMatchObject({ client: 'web', resource: ['https://unknown.example/api'] });
});

test('an app that asks about a person without openid is told to add it', async () => {
  for (let round = 0; round < 2; round++) await authorize({ scope: 'profile email' });
  const told = lines().filter(
    ({ level, msg }) => level === 40 && /add openid to its scope/.test(String(msg)),
  );
  expect(told).toMatchObject([{ client: 'web' }]);
});
