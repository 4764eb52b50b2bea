/**
 * A request that is refused uses nothing up: the code, refresh token, device code or request that it presents is as it was,
 * and the corrected request succeeds. One test a grant, each with every reason of refusal that the grant has.
 */
import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { type Certificate, type Certificates, createCertificates } from '../support/certificates.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { hastyTimeouts } from '../support/databases.ts';
import { type App, asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const device = 'urn:ietf:params:oauth:grant-type:device_code';
const ciba = 'urn:openid:params:grant-type:ciba';
const bank = {
  audience: 'https://bank.example/api',
  scopes: ['accounts'],
  token_format: 'v4.local',
  client_id: apps.api.client_id,
  authorization_details_types: { payment: { title: 'Pay', fields: { to: { label: 'To' } } } },
};
const shop = { audience: 'https://shop.example/api', scopes: ['orders'] };
/** It needs a DPoP proof wherever it receives tokens. */
const bound = {
  ...apps.intranet,
  client_id: 'bound',
  grant_types: ['authorization_code', 'refresh_token', device, ciba],
  backchannel_token_delivery_mode: 'poll',
  dpop_bound_access_tokens: true,
  authorization_details_types: ['payment'],
};
/** The same, without refresh tokens. */
const brief = { ...bound, client_id: 'brief', grant_types: ['authorization_code', device] };
const certified = {
  ...apps.intranet,
  client_id: 'certified',
  tls_client_certificate_bound_access_tokens: true,
};
let server: TestServer;
let other: TestServer;
/** It gives up within a second, so that a fault of the storage is a short matter. */
let hasty: TestServer;
let certificates: Certificates;
let certificate: Certificate;
let ada: Person;
beforeAll(async () => {
  certificates = await createCertificates();
  certificate = await certificates.selfSigned('/CN=own');
  const options = {
    clients: [...Object.values(apps), bound, brief, certified],
    resources: [bank, shop],
    settings: { CIBA: 'on', CLIENT_CERTIFICATE_HEADER: 'Client-Cert', TRUSTED_PROXIES: '127.0.0.1,::1' },
  };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
  hasty = await startServer({ ...options, beside: server, timeouts: hastyTimeouts });
  ada = createPerson(server, 'ada');
  await openAccount(ada);
});
afterAll(async () => {
  await hasty.close();
  await other.close();
  await server.close();
  await certificates.close();
});

const keys = await generateKeyPair('ES256', { extractable: true });
const jwk = await exportJWK(keys.publicKey);
const proof = (path = '/token') =>
  new SignJWT({ htm: 'POST', htu: `${server.url}${path}`, jti: randomUUID() })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .setIssuedAt()
    .sign(keys.privateKey);

type Form = Record<string, string>;
const wanted = { scope: 'openid accounts', resource: bank.audience };
const send = async (app: App, form: Form, { dpop, on = server }: { dpop?: string; on?: TestServer } = {}) => {
  const post = asApp(on, app, form);
  return post.set('dpop', dpop ?? (await proof()));
};
const outcomeOf = ({ status, body }: request.Response) => [status, body.error];

/** Answered while nothing can be written to `table`. */
async function withFault(table: string, send: () => Promise<request.Response>): Promise<request.Response> {
  return other.database.transaction(async (query) => {
    await query(`lock table ${table} in share mode`);
    return send();
  });
}

/** Sends the request in every way in which it has to be refused, and then as it should be. */
async function refuseAndSend(app: App, form: Form, table = 'refresh_families'): Promise<request.Response> {
  const replayed = await proof();
  await asApp(server, app, { grant_type: 'client_credentials' }).set('dpop', replayed);
  const details = (text: string) => ({ ...form, resource: bank.audience, authorization_details: text });
  const unused = await proof();
  const refused: [why: string, send: () => Promise<request.Response>, outcome: unknown[]][] = [
    [
      'an unknown resource',
      () => send(app, { ...form, resource: 'https://nobody.example/' }),
      [400, 'invalid_target'],
    ],
    [
      'a resource that was not granted',
      () => send(app, { ...form, resource: shop.audience }),
      [400, 'invalid_target'],
    ],
    [
      'details that were not granted',
      () => send(app, details('[{"type":"payment","to":"Bea"}]')),
      [400, 'invalid_authorization_details'],
    ],
    ['details of a wrong form', () => send(app, details('{')), [400, 'invalid_authorization_details']],
    ['no proof', async () => asApp(server, app, form), [400, 'invalid_grant']],
    [
      'a proof for another address',
      async () => send(app, form, { dpop: await proof('/me') }),
      [400, 'invalid_dpop_proof'],
    ],
    [
      'another client',
      () => send(apps.web, form),
      [400, expect.stringMatching(/^(invalid_grant|unauthorized_client)$/)],
    ],
    ['a wrong secret', () => send({ ...app, client_secret: 'wrong' }, form), [401, 'invalid_client']],
    [
      'a fault of the storage',
      () => withFault(table, () => send(app, form, { on: hasty })),
      [503, 'temporarily_unavailable'],
    ],
    [
      'the same proof again',
      () =>
        send(app, { ...form, resource: shop.audience }, { dpop: unused }).then(() =>
          send(app, form, { dpop: unused }),
        ),
      [400, 'invalid_grant'],
    ],
  ];
  for (const [why, sent, outcome] of refused)
    expect.soft([why, ...outcomeOf(await sent())]).toEqual([why, ...outcome]);
  await server.database.query('update accounts set disabled_at = now() where username = $1', [ada.username]);
  expect
    .soft(['a disabled account', ...outcomeOf(await send(app, form))])
    .toEqual(['a disabled account', 400, 'invalid_grant']);
  await server.database.query('update accounts set disabled_at = null where username = $1', [ada.username]);
  // So much later that what was used would not pass for a repetition.
  server.clock.advance(35);
  return send(app, form, { on: other });
}

/** The redemption of a new code, as it should be. */
async function codeForm(app: App): Promise<Form> {
  const code_verifier = verifier();
  const challenge = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
  const code = await ada.codeFor(app, { ...wanted, ...challenge });
  return { grant_type: 'authorization_code', code, redirect_uri: app.redirect_uri, code_verifier };
}

/** A device's code that the person has just confirmed. */
async function deviceForm(app: App): Promise<Form> {
  const { body } = await asApp(server, app, wanted, '/device/auth');
  const xsrfIn = ({ text }: request.Response) => /name="xsrf" value="([^"]+)"/.exec(text)?.[1];
  const xsrf = xsrfIn(await ada.agent.get('/device').accept('html'));
  const form = { xsrf, user_code: body.user_code, confirm: 'yes' };
  const done = await ada.agent.post('/device').accept('html').type('form').send(form);
  expect(done.text).toContain('Your device is connected');
  return { grant_type: device, device_code: body.device_code };
}

test.each([bound, brief])('Refusal uses nothing up: an authorization code ($client_id)', async (app) => {
  const form = await codeForm(app);
  const isBrief = app === brief;
  const { code_verifier: _, ...bare } = form;
  for (const wrong of [
    bare,
    { ...form, code_verifier: verifier() },
    { ...form, redirect_uri: 'https://web.example/' },
  ])
    expect.soft(outcomeOf(await send(app, wrong))).toEqual([400, 'invalid_grant']);
  const { status, body } = await refuseAndSend(app, form, isBrief ? 'records' : undefined);
  expect([status, body.scope, body.refresh_token === undefined]).toEqual([200, 'accounts', isBrief]);
  expect(outcomeOf(await send(app, form))).toEqual([400, 'invalid_grant']);
});

test('Refusal uses nothing up: a refresh token', async () => {
  const first = await send(bound, await codeForm(bound));
  expect(first.status).toBe(200);
  const form = { grant_type: 'refresh_token', refresh_token: first.body.refresh_token };
  expect(outcomeOf(await send(bound, { ...form, scope: 'openid accounts email' }))).toEqual([
    400,
    'invalid_scope',
  ]);
  const { status, body } = await refuseAndSend(bound, form);
  expect([status, body.refresh_token === form.refresh_token]).toEqual([200, false]);
  // The successor is good too, which it would not be if one of the refusals had been a use.
  const second = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
  server.clock.advance(60);
  expect((await refuseAndSend(bound, second)).status).toBe(200);
});

test.each([bound, brief])('Refusal uses nothing up: a device code ($client_id)', async (app) => {
  const { status, body } = await refuseAndSend(
    app,
    await deviceForm(app),
    app === brief ? 'records' : undefined,
  );
  expect([status, body.scope]).toEqual([200, 'accounts']);
});

test('Refusal uses nothing up: a CIBA request', async () => {
  const asked = await asApp(server, bound, { ...wanted, login_hint: ada.username }, '/backchannel');
  const page = (await ada.agent.get('/account/requests')).text;
  const id = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? '';
  const approved = await postForm(ada, 'requests', { request: id, decision: 'allow', code: ada.code() });
  expect(approved.status).toBe(303);
  const { status, body } = await refuseAndSend(bound, {
    grant_type: ciba,
    auth_req_id: asked.body.auth_req_id,
  });
  expect([status, body.scope]).toEqual([200, 'accounts']);
});

test('Refusal uses nothing up: a client certificate that is missing', async () => {
  const outcomes = async (form: Form) => [
    outcomeOf(await asApp(server, certified, form)),
    (await asApp(server, certified, form).set('client-cert', certificate.escaped)).status,
  ];
  const expected = [[400, 'invalid_grant'], 200];
  expect(await outcomes(await codeForm(certified))).toEqual(expected);
  const redeemed = asApp(server, certified, await codeForm(certified));
  const { refresh_token } = (await redeemed.set('client-cert', certificate.escaped)).body;
  expect(await outcomes({ grant_type: 'refresh_token', refresh_token })).toEqual(expected);
});

test('Refusal uses nothing up: a pushed request, which is then answered once, however many ask', async () => {
  const code_verifier = verifier();
  const form = {
    ...wanted,
    client_id: bound.client_id,
    response_type: 'code',
    redirect_uri: bound.redirect_uri,
    code_challenge: challengeOf(code_verifier),
    code_challenge_method: 'S256',
  };
  const { status, body } = await asApp(server, bound, form, '/request').set('dpop', await proof('/request'));
  expect(status).toBe(201);
  const query = { client_id: bound.client_id, request_uri: body.request_uri };
  const cookie = cookieHeader(cookiesOf(ada, '/auth'));
  const go = (on = server) => request(on.url).get('/auth').query(query).set({ cookie, accept: 'text/html' });
  const elsewhere = await ada.agent.get('/auth').query({ ...query, client_id: apps.web.client_id });
  expect(elsewhere.headers.location ?? '').not.toContain('code=');
  const stranger = await request(server.url).get('/auth').query(query);
  expect(stranger.headers.location).toContain('/interaction/');
  expect((await withFault('records', async () => go(hasty))).status).toBe(503);
  const answers = await Promise.all([server, other, server, other, server].map((on) => go(on)));
  const codeIn = ({ headers }: request.Response) =>
    new URL(headers.location ?? server.url, server.url).searchParams.get('code');
  const codes = answers.flatMap((answer) => codeIn(answer) ?? []);
  expect(codes).toHaveLength(1);
  for (const { status, headers } of answers.filter((answer) => !codeIn(answer)))
    expect([status, headers.location]).toEqual([400, undefined]);
  const redemption = {
    grant_type: 'authorization_code',
    code: codes[0] ?? '',
    redirect_uri: bound.redirect_uri,
    code_verifier,
  };
  expect((await send(bound, redemption)).status).toBe(200);
  expect((await go()).status).toBe(400);
});
