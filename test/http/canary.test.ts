/** What is secret is not once in the log, at its most talkative level, whatever goes well or wrong. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookiesOf } from '../support/cookies.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const { web, api } = apps;
const password = 'canary-password-7f3a9c';

test('Canary: no password, TOTP secret, code, token, cookie or OPAQUE message is in the log', async () => {
  const secrets = new Map<string, string>([
    ['password', password],
    ['client secret', web.client_secret],
  ]);
  const ada = createPerson(server, 'ada', password);
  // Whatever this browser is given or sends is watched, step by step.
  ada.agent.on('response', (answer: request.Response) => {
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [name = '', value = ''] = String(line).split(';')[0]?.split('=') ?? [];
      // The interaction's id is in the address of its page, too; without its signature it opens nothing.
      if (value && !['cypher_interaction', 'cypher_resume'].includes(name))
        secrets.set(`cookie ${name}`, value);
    }
    for (const [name, value] of Object.entries(answer.body ?? {})) {
      if (['ke2', 'response', 'secret', 'otpauth_uri'].includes(name)) secrets.set(name, String(value));
    }
  });
  const tokens = await ada.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  secrets.set('TOTP secret', ada.totpSecret);
  for (const [index, code] of ada.recoveryCodes.entries()) secrets.set(`recovery code ${index}`, code);
  const refreshed = await asApp(server, web, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  for (const answer of [tokens, refreshed.body]) {
    for (const name of ['access_token', 'refresh_token', 'id_token'] as const) {
      secrets.set(`${name} ${secrets.size}`, answer[name]);
    }
  }

  // All of it again, where it does not belong.
  for (const value of [...secrets.values()]) {
    await asApp(server, api, { token: value }, '/token/introspection');
    await asApp(server, web, { token: value }, '/token/revocation');
    await asApp(server, web, { grant_type: 'refresh_token', refresh_token: value });
    await asApp(server, web, { grant_type: 'authorization_code', code: value, code_verifier: value });
    await asApp(server, { client_id: 'web', client_secret: value, redirect_uri: '' }, { grant_type: 'x' });
    await request(server.url).get('/me').auth(value, { type: 'bearer' });
    await request(server.url).get('/session/end').query({ id_token_hint: value });
    await request(server.url).get('/').set('Cookie', `cypher_session=${value}`);
  }
  const { person, uid } = await afterPassword(server, ada);
  for (const code of [password, ada.recoveryCodes[0]?.slice(1), ada.totpSecret]) {
    await person.step(uid, 'totp/verify', { code });
  }
  const stranger = await visit(server, 'ada');
  await stranger.person.step(stranger.uid, 'login/init', { username: 'ada', ke1: secrets.get('ke2') });
  await stranger.person.step(stranger.uid, 'login/finish', { ke3: ada.totpSecret });
  await request(server.url)
    .post(`/interaction/${uid}/totp/verify`)
    .type('json')
    .send(`{"code": "${ada.recoveryCodes[1]}", `);

  expectSilence(secrets);
});

test('Canary: nor is it where the server itself fails', async () => {
  const bob = createPerson(server, 'bob', password);
  await bob.signUp(await begin(bob));
  const { person, uid } = await afterPassword(server, bob);
  const secrets = new Map([
    ['TOTP secret', bob.totpSecret],
    ['recovery code', String(bob.recoveryCodes[0])],
    ['code', codeAt(server, bob, 1)],
    ['step token', String(cookiesOf(person, `/interaction/${uid}`).cypher_step)],
  ]);
  await server.database.query('alter table unused_recovery_codes rename to elsewhere');
  await server.database.query('alter table accounts rename totp_last_step to elsewhere');
  for (const name of ['recovery code', 'code']) {
    const answer = await person.step(uid, 'totp/verify', { code: secrets.get(name) });
    expect(answer.status).toBe(500);
    expect(JSON.stringify(answer.body)).not.toMatch(/relation|column|elsewhere/);
    expect(server.logged()).toContain(answer.body.id);
  }
  expectSilence(secrets);
});

function expectSilence(secrets: Map<string, string>): void {
  const log = server.logged();
  expect(log.length).toBeGreaterThan(1000);
  const told = [...secrets].filter(
    ([, value]) =>
      log.includes(value) || log.includes(encodeURIComponent(value)) || log.includes(value.slice(-20)),
  );
  expect(told.map(([name]) => name)).toEqual([]);
}
