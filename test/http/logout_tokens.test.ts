/**
 * What a sign-out ends beside refresh families: tokens that APIs read themselves and that name no session, of apps without
 * refresh tokens; and all that a browser received which went back to its app twice.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resourceSchema } from '../../src/config/schema.ts';
import { openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import {
  type App,
  asApp,
  challengeOf,
  createPerson,
  interactionOf,
  type Person,
  verifier,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { signOut } from '../support/visits.ts';

const { api, intranet } = apps;
const ciba = 'urn:openid:params:grant-type:ciba';
const reader = {
  client_id: 'reader',
  client_secret: 'a-secret-of-the-reader-0123456789abcdef',
  redirect_uri: 'https://reader.example/callback',
  redirect_uris: ['https://reader.example/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code'],
};
const till = {
  ...reader,
  client_id: 'till',
  redirect_uris: [],
  response_types: [],
  grant_types: [ciba],
  backchannel_token_delivery_mode: 'poll',
};
const forms = ['v4.local', 'v4.public', 'jwt'] as const;
const resources = forms.map((token_format) =>
  resourceSchema.parse({
    audience: `https://${token_format}.example/`,
    scopes: ['read'],
    token_format,
    client_id: api.client_id,
  }),
);
let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  const options = { clients: [api, intranet, reader, till], resources, settings: { CIBA: 'on' } };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
});
afterAll(async () => {
  await other.close();
  await server.close();
});

const isActive = async (token: string, at = server): Promise<boolean> =>
  (await asApp(at, api, { token }, '/token/introspection')).body.active;

async function tokenFor(app: App, grant: Record<string, string>): Promise<string> {
  const answer = await asApp(server, app, grant);
  expect(answer.status, answer.text).toBe(200);
  expect(answer.body.refresh_token).toBeUndefined();
  return answer.body.access_token;
}

/** Allows all that is asked for on pages that were opened before. */
async function allowed(person: Person, start: URL, code_verifier: string, resource: string) {
  const code = (await person.follow(start)).searchParams.get('code') ?? '';
  const { redirect_uri } = reader;
  return tokenFor(reader, { grant_type: 'authorization_code', code, redirect_uri, code_verifier, resource });
}

test.each(resources)(
  'consent in two tabs of one session: the sign-out ends the $token_format tokens of both',
  async (resource) => {
    const person = createPerson(server, `tabs-${resource.token_format}`);
    await person.codeFor(intranet);
    const code_verifier = verifier();
    const asked = {
      code_challenge: challengeOf(code_verifier),
      code_challenge_method: 'S256',
      scope: 'openid read',
      resource: resource.audience,
    };
    const tabs = [await person.authorize(reader, asked), await person.authorize(reader, asked)];
    const tokens = [];
    for (const start of tabs) tokens.push(await allowed(person, start, code_verifier, resource.audience));
    expect(await Promise.all(tokens.map((token) => isActive(token)))).toEqual([true, true]);
    await signOut(person);
    for (const at of [server, other])
      expect(await Promise.all(tokens.map((token) => isActive(token, at)))).toEqual([false, false]);
  },
);

test.each(resources)(
  'what was approved on the account page ends with that session: a $token_format token',
  async (resource) => {
    const person = createPerson(server, `till-${resource.token_format}`);
    await openAccount(person);
    const asked = { scope: 'openid read', login_hint: person.username, resource: resource.audience };
    const { body } = await asApp(server, till, asked, '/backchannel');
    const page = (await person.agent.get('/account/requests')).text;
    const request = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? '';
    const approved = await postForm(person, 'requests', { request, decision: 'allow', code: person.code() });
    expect(approved.status).toBe(303);
    const token = await tokenFor(till, { grant_type: ciba, auth_req_id: body.auth_req_id });
    expect(await isActive(token)).toBe(true);
    await signOut(person);
    expect([await isActive(token), await isActive(token, other)]).toEqual([false, false]);
  },
);

test('a browser that goes back to its app twice at once is signed in once', async () => {
  const names = Array.from({ length: 5 }, (_, number) => `twice-${number}`);
  for (const name of names) {
    const person = createPerson(server, name);
    const uid = interactionOf(await person.authorize(intranet)) ?? '';
    const { pathname } = await person.signUp(uid);
    const cookie = cookieHeader(cookiesOf(person, pathname));
    const answers = await Promise.all(
      [server, other, server, other].map((at) =>
        fetch(at.url + pathname, { headers: { cookie }, redirect: 'manual' }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 400, 400, 400]);
  }
  const [{ sessions } = { sessions: 0 }] = await server.database.query<{ sessions: number }>(
    `select count(*)::int as sessions from sessions s join accounts a on a.id = s.account_id where username like 'twice-%'`,
  );
  expect(sessions).toBe(names.length);
});
