/** Names that apps give themselves: which are refused, and what stands beside them wherever a person reads them. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClientStore } from '../../src/clients/store.ts';
import { clientSchema } from '../../src/config/schema.ts';
import { apps } from '../support/apps.ts';
import { asApp, createPerson, interactionOf } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  const clients = [...Object.values(apps), { ...apps.web, client_id: 'bank', client_name: 'Big Bank' }];
  server = await startServer({ clients, settings: { REGISTRATION: 'open' } });
  const ledger = { client_id: 'ledger', client_name: 'Ledger 2', grant_types: [] };
  const store = createClientStore(server.database, server.clock.now);
  await store.add({ source: 'command', metadata: clientSchema.parse(ledger) });
});
afterAll(() => server.close());

const redirect_uri = 'https://stranger.example/callback';
const register = (metadata: object) =>
  request(server.url)
    .post('/reg')
    .send({ redirect_uris: [redirect_uri], token_endpoint_auth_method: 'none', ...metadata });

test('Names: control, bidi and invisible characters, mixed alphabets, addresses, and look-alikes of this site or an app are refused', async () => {
  const refused = {
    'a line\nbreak': 'control',
    'left \u202Egnp.exe': 'control',
    'isolate \u2067x\u2069': 'control',
    'zero\u200Bwidth': 'control',
    'fill\u3164er': 'control',
    'tag\u{E0041}': 'control',
    'Z\u0300\u0301\u0302algo': 'control',
    ' padded': 'space',
    'P\u0430yments': 'alphabets',
    '\u03A1ayments': 'alphabets',
    'Notes (id.example.com)': 'address',
    'notes\uFF0Ecom': 'address',
    'Your account': 'this site',
    'YOUR\u2003ACC0UNT': 'this site',
    'Cypher Security': 'this site',
    'C y p h e r': 'this site',
    '\u0421\u0443\u0440\u04BB\u0435\u0433': 'this site',
    localhost: 'this site',
    'Big Bank': 'another app',
    'B\u00edg-BANK': 'another app',
    'B1g  Bank!': 'another app',
    'Ledger 2': 'another app',
    'LEDGER\u00A02': 'another app',
  };
  for (const [client_name, about] of Object.entries(refused)) {
    const { status, body } = await register({ client_name });
    expect([client_name, status, body.error]).toEqual([client_name, 400, 'invalid_client_metadata']);
    expect([client_name, body.error_description]).toEqual([client_name, expect.stringContaining(about)]);
  }
  for (const client_name of [
    'Notes',
    'Заметки',
    'メモ帳',
    'Ma todo-liste n° 2',
    'Tools & more',
    'ملاحظات',
    '笔记 Pro',
  ])
    expect([client_name, (await register({ client_name })).status]).toEqual([client_name, 201]);
});

test('Names: every page that names a stranger’s app shows its host, and one that the operator added does not', async () => {
  const device = 'urn:ietf:params:oauth:grant-type:device_code';
  const { body: app } = await register({
    client_name: 'Notes',
    grant_types: ['authorization_code', 'refresh_token', device],
    post_logout_redirect_uris: ['https://stranger.example/bye'],
  }).expect(201);
  const stranger = { client_id: app.client_id, redirect_uri };
  const shown = 'Notes (stranger.example)';
  const ada = createPerson(server, 'ada');
  const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  const uid = interactionOf(await ada.authorize(stranger, pkce)) ?? '';
  const html = async (path: string, query: object = {}) =>
    (await ada.agent.get(path).query(query).accept('html')).text;
  expect(await html(`/interaction/${uid}`)).toContain(shown);
  expect(await html(`/interaction/${uid}/register`)).toContain(shown);
  const consent = await ada.signUp(uid);
  const next = await ada.agent.get(consent.pathname + consent.search);
  const consentUid = interactionOf(new URL(String(next.headers.location), server.url)) ?? uid;
  expect(await html(`/interaction/${consentUid}`)).toContain(shown);
  const posted = await ada.authorize(stranger, { ...pkce, response_mode: 'form_post' });
  const allowed = await ada.step(interactionOf(posted) ?? '', 'consent', { decision: 'allow' });
  expect(await html(new URL(allowed.body.location).pathname)).toContain(shown);
  expect(await html('/account')).toContain(shown);

  const { body: begun } = await asApp(server, stranger, { scope: 'openid' }, '/device/auth').expect(200);
  const entered = await html('/device', { user_code: begun.user_code });
  const field = (name: string, text: string) => new RegExp(`name="${name}" value="([^"]+)"`).exec(text)?.[1];
  const found = await ada.agent
    .post('/device')
    .type('form')
    .send({ xsrf: field('xsrf', entered), user_code: begun.user_code });
  expect(found.text).toContain(shown);

  const out = await html('/session/end', { client_id: app.client_id });
  expect(out).toContain(shown);
  const bea = createPerson(server, 'bea');
  const operators = await bea.authorize(apps.web, pkce);
  expect((await bea.agent.get(operators.pathname)).text).not.toContain('(web.example)');
});

test('Names: one that misleads and was registered earlier is not shown; one without a host says so', async () => {
  const { body: app } = await register({ client_name: 'Notes' }).expect(201);
  await server.database.query(
    `update clients set metadata = metadata || '{"client_name":"Your account"}' where id = $1`,
    [app.client_id],
  );
  const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  const cyd = createPerson(server, 'cyd');
  const page = async () => {
    const start = await cyd.authorize({ client_id: app.client_id, redirect_uri }, pkce);
    return (await cyd.agent.get(start.pathname)).text;
  };
  await expect.poll(page).toContain('An app (stranger.example)');
  expect(await page()).not.toContain('Your account (');
});

test('Names: what is built of metadata splits no header and no policy', async () => {
  for (const uri of [
    'https://x;frame-ancestors.example/',
    "https://x'y.example/",
    'https://x,y.example/',
    'https://app.example/\u00e9',
  ])
    expect([uri, (await register({ redirect_uris: [uri] })).status]).toEqual([uri, 400]);
  const odd = 'https://stranger.example/;script-src/*?a=b;c,d';
  const { body: app } = await register({ redirect_uris: [odd] }).expect(201);
  const dan = createPerson(server, 'dan');
  const start = await dan.authorize(
    { client_id: app.client_id, redirect_uri: odd },
    { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' },
  );
  const { headers } = await dan.agent.get(start.pathname).accept('html');
  expect(headers['content-security-policy']).not.toMatch(/\/;|\*|, /);
});
