/** Apps that register themselves, and manage what they registered: RFC 7591, RFC 7592, by configuration. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { asApp, createPerson } from '../support/person.ts';

let open: Administered;
let closed: Administered;
beforeAll(async () => {
  open = await startAdministered({
    clients: [apps.web, apps.api],
    resources: [{ audience: 'https://notes.example', scopes: ['notes:read'] }],
    settings: { REGISTRATION: 'open' },
  });
  closed = await startAdministered({ settings: { REGISTRATION: 'token', LIMIT_ADDRESS_PER_MINUTE: '8' } });
});
afterAll(() => Promise.all([open.close(), closed.close()]));

const redirect_uri = 'https://app.example/callback';
const metadata = {
  client_name: 'An app of its own',
  redirect_uris: [redirect_uri],
  grant_types: ['authorization_code', 'refresh_token'],
};

async function send(url: string, method: string, token?: string, body?: object) {
  const answer = await fetch(url, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : {} };
}
const register = (body: object, token?: string, at = open) => send(`${at.url}/reg`, 'POST', token, body);

test('an app registers itself and signs people in; they are asked for consent, whatever it says of itself', async () => {
  const { status, body } = await register({
    ...metadata,
    first_party: true,
    require_pkce: false,
    claims: {},
  });
  expect(status).toBe(201);
  expect(body.client_secret).toMatch(/^[\w-]{43}$/);
  expect(body.first_party ?? false).toBe(false);
  const app = { client_id: body.client_id, client_secret: body.client_secret, redirect_uri };
  const person = createPerson(open, 'ada');
  expect((await person.tokensFor(app)).access_token).toMatch(/^v4\.local\./);
  const [row] = await open.database.query<{ metadata: object }>(
    'select metadata from clients where id = $1',
    [body.client_id],
  );
  expect(row?.metadata).toMatchObject({ first_party: false, require_pkce: true });
  await expect(createPerson(open, 'bea').authorize(app, { code_challenge: '' })).resolves.toMatchObject({
    search: expect.stringContaining('error=invalid_request'),
  });
});

test('Redirects: http: (not loopback), javascript: and what else runs or leaks is refused at registration', async () => {
  for (const uri of [
    'http://app.example/callback',
    'javascript:alert(1)',
    'data:text/html,x',
    'myapp:/callback',
    'https://app.example/#fragment',
    'file:///etc/passwd',
  ]) {
    for (const application_type of ['web', 'native']) {
      const { status, body } = await register({ ...metadata, application_type, redirect_uris: [uri] });
      expect.soft([uri, status]).toEqual([uri, 400]);
      expect.soft(body.error).toMatch(/^invalid_(redirect_uri|client_metadata)$/);
    }
  }
  const native = {
    application_type: 'native',
    redirect_uris: ['com.example.app:/callback', 'http://127.0.0.1/cb'],
  };
  expect((await register({ ...metadata, ...native, token_endpoint_auth_method: 'none' })).status).toBe(201);
});

test('a stranger’s app cannot do without people: no tokens of its own, no requests by name, no look at others’ tokens', async () => {
  for (const grant of ['client_credentials', 'urn:openid:params:grant-type:ciba']) {
    const grant_types = ['authorization_code', grant];
    const { status, body } = await register({ ...metadata, grant_types });
    expect([grant, status, body.error]).toEqual([grant, 400, 'invalid_client_metadata']);
  }
  const { access_token } = await createPerson(open, 'cyd').tokensFor(apps.web);
  const as = async (app: { client_id: string; client_secret: string }) =>
    (await asApp(open, { ...app, redirect_uri }, { token: access_token }, '/token/introspection')).body;
  for (const without of [{ grant_types: [], response_types: [] }, { response_types: ['none'] }]) {
    const { status, body } = await register({ ...metadata, ...without });
    expect(status).toBe(201);
    expect(await as(body)).toEqual({ active: false });
  }
  expect(await as(apps.web)).toMatchObject({ active: true });
});

test('sizes and counts are bounded', async () => {
  const many = Array.from({ length: 21 }, (_, n) => `https://app.example/${n}`);
  for (const excess of [
    { redirect_uris: many },
    { client_name: 'x'.repeat(3000) },
    { redirect_uris: [`https://app.example/${'x'.repeat(3000)}`] },
    { contacts: Array.from({ length: 20 }, () => `${'x'.repeat(1500)}@example.com`) },
  ]) {
    expect.soft((await register({ ...metadata, ...excess })).status).toBe(400);
  }
});

test('its own registration is read, changed and deleted with its token, which changes at every change', async () => {
  const { body } = await register(metadata);
  const { registration_client_uri: uri, registration_access_token: first, client_id, client_secret } = body;
  const read = await send(uri, 'GET', first);
  expect(read).toMatchObject({ status: 200, body: { client_id, client_name: metadata.client_name } });
  expect(read.body.client_secret).toBeUndefined();

  const wrong = await send(uri, 'PUT', first, { ...metadata, client_id, client_secret: 'wrong' });
  expect(wrong.status).toBe(400);
  const changed = await send(uri, 'PUT', first, {
    ...metadata,
    client_id,
    client_secret,
    client_name: 'Renamed',
  });
  expect(changed).toMatchObject({ status: 200, body: { client_name: 'Renamed' } });
  const second = changed.body.registration_access_token;
  expect(second).not.toBe(first);
  expect((await send(uri, 'GET', first)).status).toBe(401);
  // The secret is the one it had.
  const app = { client_id, client_secret, redirect_uri };
  const unauthorized = await asApp(open, app, { grant_type: 'refresh_token', refresh_token: 'x' });
  expect(unauthorized.body.error).toBe('invalid_grant');
  const again = await send(uri, 'PUT', second, { ...metadata, client_id });
  expect((await asApp(open, app, { grant_type: 'refresh_token', refresh_token: 'x' })).body.error).toBe(
    'invalid_grant',
  );
  expect(again.body.client_secret).toBeUndefined();

  const third = again.body.registration_access_token;
  expect((await send(uri, 'DELETE', third)).status).toBe(204);
  expect((await asApp(open, app, { grant_type: 'refresh_token', refresh_token: 'x' })).status).toBe(401);
  expect((await send(uri, 'GET', third)).status).toBe(401);
});

test("a token is good for its own client alone, and for none of the operator's", async () => {
  const one = (await register(metadata)).body;
  const other = (await register(metadata)).body;
  expect((await send(other.registration_client_uri, 'GET', one.registration_access_token)).status).toBe(401);
  const theirs = await send(`${open.url}/reg/web`, 'DELETE', other.registration_access_token);
  expect(theirs.status).toBe(401);
  const rows = await open.database.query('select * from records where model = $1', [
    'RegistrationAccessToken',
  ]);
  for (const { registration_access_token: token, client_secret } of [one, other]) {
    expect(JSON.stringify(rows)).not.toContain(token);
    expect(JSON.stringify(await open.database.query('select * from clients'))).not.toContain(client_secret);
  }
});

test('what a dump holds of a token opens nothing, also not as the reference by which devices’ codes are known', async () => {
  const { body } = await register(metadata);
  const rows = await open.database.query<{ id_hash: string }>(
    `select id_hash from records where model = 'RegistrationAccessToken'`,
  );
  expect(rows.length).toBeGreaterThan(0);
  for (const { id_hash } of rows)
    for (const made of [id_hash, `#${id_hash}`])
      expect((await send(body.registration_client_uri, 'GET', made)).status).toBe(401);
  expect((await send(body.registration_client_uri, 'GET', body.registration_access_token)).status).toBe(200);
});

test('with initial access tokens nobody registers without one; an address has a limit', async () => {
  expect((await register(metadata, undefined, closed)).status).toBe(401);
  expect((await register(metadata, 'made-up', closed)).status).toBe(401);
  const { stdout } = await closed.cypher(['client', 'registration-token', '--expires', '1h', '--json']);
  const { registration_token: token } = JSON.parse(stdout);
  expect((await register(metadata, token, closed)).status).toBe(201);
  const rows = JSON.stringify(await closed.database.query('select * from records'));
  expect(rows).not.toContain(token);
  closed.clock.advance(3600);
  expect((await register(metadata, token, closed)).status).toBe(401);
  const answers = await Promise.all(Array.from({ length: 8 }, () => register(metadata, token, closed)));
  expect(answers.some(({ status }) => status === 429)).toBe(true);
});

test('an app that registers by a token for it may do without PKCE, by its secret; and stays so as it changes', async () => {
  const trusting = await startAdministered({ settings: { REGISTRATION: 'token' } });
  const { stdout } = await trusting.cypher(['client', 'registration-token', '--no-pkce', '--json']);
  const { registration_token: token } = JSON.parse(stdout);
  const refusalOf = async (client_id: string) =>
    (await createPerson(trusting, 'ada').authorize({ client_id, redirect_uri })).searchParams.get('error');
  const { body: app } = await register(metadata, token, trusting);
  expect(await refusalOf(app.client_id)).toBeNull();
  const { client_id, client_secret, registration_access_token: own, registration_client_uri: at } = app;
  const change = await send(at, 'PUT', own, { ...metadata, client_id, client_secret, client_name: 'New' });
  expect([change.status, change.body.client_name]).toEqual([200, 'New']);
  expect(await refusalOf(client_id)).toBeNull();
  const page = { ...metadata, token_endpoint_auth_method: 'none' };
  const { body: secretless } = await register(page, token, trusting);
  expect(await refusalOf(secretless.client_id)).toBe('invalid_request');
  const anybody = JSON.parse((await trusting.cypher(['client', 'registration-token', '--json'])).stdout);
  const { body: other } = await register(
    { ...metadata, require_pkce: false },
    anybody.registration_token,
    trusting,
  );
  expect(await refusalOf(other.client_id)).toBe('invalid_request');
  await trusting.close();
});

test('it is off unless the configuration says otherwise', async () => {
  const off = await startAdministered();
  const answer = await register(metadata, undefined, off);
  const { body: discovery } = await send(`${off.url}/.well-known/openid-configuration`, 'GET');
  await off.close();
  expect([answer.status, discovery.registration_endpoint]).toEqual([404, undefined]);
});

test('what is empty is taken for absent, and scopes of declared APIs are known', async () => {
  const empty = {
    client_uri: '',
    logo_uri: '',
    policy_uri: null,
    tos_uri: '',
    jwks_uri: '',
    scope: '',
    contacts: [],
  };
  const { status, body } = await register({ ...metadata, ...empty, initiate_login_uri: '' });
  expect([status, body.error_description]).toEqual([201, undefined]);
  expect(body).not.toHaveProperty('client_uri');
  const api = await register({ ...metadata, scope: 'openid notes:read' });
  expect([api.status, api.body.scope]).toEqual([201, 'openid notes:read']);
  const unknown = await register({ ...metadata, scope: 'openid notes:burn' });
  expect([unknown.status, unknown.body.error_description]).toEqual([
    400,
    'scope names what is not known here: notes:burn',
  ]);
});

test('a refusal says what would be right, in a sentence of this product', async () => {
  for (const [given, error, says] of [
    [{ redirect_uris: ['http://app.example/'] }, 'invalid_redirect_uri', 'redirect_uris.0 must be https'],
    [{ redirect_uris: 'https://app.example/' }, 'invalid_redirect_uri', 'redirect_uris must be an array'],
    [{ redirect_uris: ['https://app.example/a b'] }, 'invalid_redirect_uri', 'redirect_uris.0 must be https'],
    [
      { client_name: 'x'.repeat(201) },
      'invalid_client_metadata',
      'client_name must be 200 characters at most',
    ],
    [{ client_name: 7 }, 'invalid_client_metadata', 'client_name must be text'],
  ] as const) {
    const { status, body } = await register({ ...metadata, ...given });
    const expected = { error, error_description: expect.stringContaining(says) };
    expect([status, body]).toEqual([400, expect.objectContaining(expected)]);
  }
  const fits = await register({ ...metadata, client_name: 'x'.repeat(200) });
  expect(fits.status).toBe(201);
});

test('a public app that becomes confidential is given a secret, and is not confidential without one', async () => {
  const { body } = await register({ ...metadata, token_endpoint_auth_method: 'none' });
  expect(body.client_secret).toBeUndefined();
  const { registration_client_uri: uri, registration_access_token: token, client_id } = body;
  const change = { ...metadata, client_id, token_endpoint_auth_method: 'client_secret_basic' };
  const changed = await send(uri, 'PUT', token, change);
  expect([changed.status, changed.body.client_secret]).toEqual([200, expect.stringMatching(/^[\w-]{43}$/)]);
  const app = { client_id, client_secret: changed.body.client_secret, redirect_uri };
  expect((await createPerson(open, 'dan').tokensFor(app)).access_token).toBeTruthy();
});
