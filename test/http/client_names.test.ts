/** Names that apps give themselves: which are refused, and what stands beside them wherever a person reads them. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClientStore } from '../../src/clients/store.ts';
import { clientSchema } from '../../src/config/client_schema.ts';
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
    'Bank (bank\u2024com)': 'address',
    'Bank bank\uFE52com': 'address',
    'Bank (bank\u00B7com)': 'address',
    'bank\u2022com': 'address',
    'bank\u30FBcom': 'address',
    'بنك\u06D4كوم': 'address',
    'bank\uA4F8com': 'script',
    '\uA4EC\uA4F3\uA4F4\uA4E3 \uA4EE\uA4DA\uA4DA\uA4F3\uA4F4\uA4E0\uA4D4': 'script',
    '\u13DF\u13B9': 'script',
    '\u1D04\u028F\u1D18\u029C\u1D07\u0280': 'script',
    'C\u028Fpher': 'script',
    '\u{1F188}\u{1F17E}\u{1F184}\u{1F181}': 'symbols',
    '\u{1F1E8}\u{1F1FE}PHER': 'symbols',
    '\u24CE\u24DE\u24E4\u24E1 account': 'symbols',
    '\u{1F680}\u{1F680}': 'letter or a digit',
    'Bi\u0B20 Bank \u0B20x': 'alphabets',
    'Y\u0665ur files': 'alphabets',
    '\u{1D418}\u{1D428}\u{1D42E}\u{1D42B} account': 'this site',
    'Cyp\u0127er': 'this site',
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
    'Notes · Acme',
    'スター・ノート',
    'Łódź po polsku',
    'Azərbaycan',
    'Tiếng Việt',
    'ملاحظات Pro',
    'हिन्दी नोट्स 2',
    'Notizen \u{1F680}',
  ])
    expect([client_name, (await register({ client_name })).status]).toEqual([client_name, 201]);
});

test('Names: every page that names a stranger’s app says where the answer goes or that nobody has verified it; one that the operator added goes by its name', async () => {
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
  expect(await html('/account')).toContain('Notes (not verified)');

  const { body: begun } = await asApp(server, stranger, { scope: 'openid' }, '/device/auth').expect(200);
  const entered = await html('/device', { user_code: begun.user_code });
  const field = (name: string, text: string) => new RegExp(`name="${name}" value="([^"]+)"`).exec(text)?.[1];
  const found = await ada.agent
    .post('/device')
    .type('form')
    .send({ xsrf: field('xsrf', entered), user_code: begun.user_code });
  expect(found.text).toContain('Notes (not verified)');

  const bye = { client_id: app.client_id, post_logout_redirect_uri: 'https://stranger.example/bye' };
  expect(await html('/session/end', bye)).toContain(shown);
  const bea = createPerson(server, 'bea');
  const operators = await bea.authorize(apps.web, pkce);
  expect((await bea.agent.get(operators.pathname)).text).not.toContain('(web.example)');
});

test('Names: only the host that gets this answer stands beside the name; hosts that an app merely claims stand nowhere', async () => {
  const device = 'urn:ietf:params:oauth:grant-type:device_code';
  const claimed = ['https://accounts.google.com/cb', 'https://login.bank.example/cb'];
  const evil = 'https://evil.example/cb';
  const native = 'accounts.google.com://accounts.google.com/cb';
  const { body: app } = await register({
    client_name: 'Account Sync',
    redirect_uris: [...claimed, evil],
    post_logout_redirect_uris: [...claimed, 'https://evil.example/bye'],
    grant_types: ['authorization_code', 'refresh_token', device],
  }).expect(201);
  const eve = createPerson(server, 'eve');
  const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  const html = async (path: string, query: object = {}) =>
    (await eve.agent.get(path).query(query).accept('html')).text;
  const onlyNames = (page: string, shown: string) => {
    expect(page).toContain(`>${shown}<`);
    expect(page).not.toMatch(/google|bank\.example/);
  };
  const stranger = { client_id: app.client_id, redirect_uri: evil };
  const start = await eve.authorize(stranger, pkce);
  const uid = interactionOf(start) ?? '';
  onlyNames(await html(start.pathname), 'Account Sync (evil.example)');
  const consent = await eve.signUp(uid);
  const next = await eve.agent.get(consent.pathname + consent.search);
  const asked = new URL(String(next.headers.location), server.url).pathname;
  onlyNames(await html(asked), 'Account Sync (evil.example)');
  await eve.step(asked.split('/').at(-1) ?? '', 'consent', { decision: 'allow' });
  onlyNames(await html('/account'), 'Account Sync (not verified)');

  const { body: begun } = await asApp(server, stranger, { scope: 'openid' }, '/device/auth').expect(200);
  const entered = await html('/device', { user_code: begun.user_code });
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(entered)?.[1];
  const found = await eve.agent.post('/device').type('form').send({ xsrf, user_code: begun.user_code });
  onlyNames(found.text, 'Account Sync (not verified)');
  const [claim = ''] = claimed;
  const { body: sly } = await asApp(
    server,
    stranger,
    { scope: 'openid', redirect_uri: claim },
    '/device/auth',
  );
  const hal = createPerson(server, 'hal');
  const first = await hal.agent.get('/device').query({ user_code: sly.user_code });
  const typed = { xsrf: /name="xsrf" value="([^"]+)"/.exec(first.text)?.[1], user_code: sly.user_code };
  const confirmed = await hal.agent
    .post('/device')
    .type('form')
    .send({ ...typed, confirm: 'yes' });
  const login = /\/interaction\/[\w-]+/.exec(confirmed.text + confirmed.headers.location)?.[0] ?? '';
  onlyNames((await hal.agent.get(login)).text, 'Account Sync (not verified)');

  const ends = { client_id: app.client_id, post_logout_redirect_uri: 'https://evil.example/bye' };
  onlyNames(await html('/session/end', ends), 'Account Sync (evil.example)');
  onlyNames(await html('/session/end', { client_id: app.client_id }), 'Account Sync (not verified)');
  onlyNames(await html('/session/end/success', { client_id: app.client_id }), 'Account Sync (not verified)');
  const wrong = await eve.agent
    .get('/auth')
    .query({ client_id: app.client_id, redirect_uri: 'https://bank.example/x', response_type: 'code' })
    .accept('html');
  expect(wrong.text).toContain('Account Sync (not verified) asked');

  const fay = createPerson(server, 'fay');
  const installed = { client_name: 'Account Sync', application_type: 'native', redirect_uris: [native] };
  const { client_id } = (await register(installed).expect(201)).body;
  const scheme = await fay.authorize({ client_id, redirect_uri: native }, pkce);
  onlyNames((await fay.agent.get(scheme.pathname)).text, 'Account Sync (not verified)');
});

test('Names: a name that an app of the operator’s takes later is a stranger’s no more', async () => {
  const { body: app } = await register({ client_name: 'Late Post' }).expect(201);
  const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  const gil = createPerson(server, 'gil');
  const start = await gil.authorize({ client_id: app.client_id, redirect_uri }, pkce);
  const page = async () => (await gil.agent.get(start.pathname)).text;
  expect(await page()).toContain('Late Post (stranger.example)');
  const store = createClientStore(server.database, server.clock.now);
  const own = { client_id: 'late', client_name: 'L\u00e1te Post', grant_types: [] };
  await store.add({ source: 'command', metadata: clientSchema.parse(own) });
  await expect.poll(page).toContain('An app (stranger.example)');
  await store.remove('late');
  await expect.poll(page).toContain('Late Post (stranger.example)');
});

test('Names: an app that an earlier version stored is looked for by today’s key once a server has started', async () => {
  const store = createClientStore(server.database, server.clock.now);
  const cafe = clientSchema.parse({ client_id: 'cafe', client_name: 'Café', grant_types: [] });
  await store.add({ source: 'command', metadata: cafe });
  await server.database.query("update clients set name_key = 'caf' where id = 'cafe'");
  const beside = await startServer({ beside: server, settings: { REGISTRATION: 'open' } });
  const metadata = {
    client_name: 'CAF\u00c9',
    redirect_uris: [redirect_uri],
    token_endpoint_auth_method: 'none',
  };
  const refused = await request(beside.url).post('/reg').send(metadata);
  await beside.close();
  expect(refused.body.error_description).toContain('another app');
  await store.change({ ...cafe, client_name: 'Tea Room' });
  expect((await register({ client_name: 'TEA-ROOM' })).body.error_description).toContain('another app');
});

test('Names: one that misleads and was registered earlier is not shown', async () => {
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
