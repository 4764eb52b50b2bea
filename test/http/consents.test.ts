/** What a person has allowed an app is remembered until they withdraw it, and for no app that another may pass for. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idsOn, openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
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

const { web, spa, intranet } = apps;
const reports = { audience: 'https://api.example/reports', scopes: ['read', 'write'] };
const native = {
  ...spa,
  client_id: 'native',
  application_type: 'native',
  redirect_uri: 'com.example.app:/callback',
  redirect_uris: ['com.example.app:/callback', 'https://claimed.example/callback'],
  post_logout_redirect_uris: [],
};
/** As the operator registers an app by default: without refresh tokens. */
const plain = {
  ...intranet,
  client_id: 'plain',
  redirect_uri: 'https://plain.example/callback',
  redirect_uris: ['https://plain.example/callback'],
  grant_types: ['authorization_code'],
};
const claimed = { ...native, redirect_uri: 'https://claimed.example/callback' };
const loopback = {
  ...spa,
  client_id: 'loopback',
  redirect_uri: 'http://localhost:8123/callback',
  redirect_uris: ['http://localhost:8123/callback'],
  post_logout_redirect_uris: [],
};
let server: TestServer;
beforeAll(async () => {
  const options = {
    clients: [...Object.values(apps), native, loopback, plain],
    resources: [reports],
    settings: { REGISTRATION: 'open' },
  };
  server = await startServer(options);
});
afterAll(() => server.close());

let people = 0;
async function somebody(): Promise<Person> {
  const person = createPerson(server, `person-${people++}`);
  await person.tokensFor(intranet);
  return person;
}
const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
/** Another browser of the same person, in which they have signed in. */
async function elsewhere({ username, totpSecret }: Person): Promise<Person> {
  const person = Object.assign(createPerson(server, username), { totpSecret });
  await person.tokensFor(intranet);
  return person;
}
/** The scopes that the consent page asks for; undefined where the app receives its code without one. */
async function asked(person: Person, app: App, more: Record<string, string> = {}) {
  const start = await person.authorize(app, { ...pkce, ...more });
  const uid = interactionOf(start);
  if (uid === undefined) {
    expect(start.searchParams.get('code')).toBeTruthy();
    return undefined;
  }
  const { text } = await person.agent.get(`/interaction/${uid}`);
  return [...text.matchAll(/data-scope="([^"]+)"/g)].map(([, scope]) => scope);
}
const allow = async (person: Person, app: App, more: Record<string, string> = {}) =>
  person.follow(await person.authorize(app, { ...pkce, ...more }));

test('a consent outlives its session: in every browser the app is asked for again only for what is new', async () => {
  const ada = await somebody();
  const api = { scope: 'openid email read', resource: reports.audience };
  await allow(ada, web, api);
  await signOut(ada);
  const again = await elsewhere(ada);
  expect(await asked(again, web, api)).toBeUndefined();
  expect(await asked(again, web, { scope: 'openid', prompt: 'none' })).toBeUndefined();
  expect(await asked(again, web, { ...api, scope: 'openid email read write' })).toEqual(['write']);
  expect(await asked(again, web, { scope: 'openid profile' })).toEqual(['profile']);
  expect(await asked(again, web, { ...api, prompt: 'consent' })).toBeDefined();
  // What is asked for and remembered is what the tokens have, and no more.
  const tokens = await again.tokensFor(web, { scope: 'openid' });
  expect(tokens.scope).toBe('openid');
  // Another app, and another person, have nothing of it.
  expect(await asked(again, spa, { scope: 'openid' })).toEqual(['openid']);
  expect(await asked(await somebody(), web, { scope: 'openid' })).toEqual(['openid']);
  await allow(again, web, { scope: 'openid profile' });
  expect(await asked(await elsewhere(ada), web, { scope: 'openid email profile' })).toBeUndefined();
});

test('what is denied or not answered is not remembered; details and offline access are asked for each time', async () => {
  const bob = await somebody();
  const uid = interactionOf(await bob.authorize(web, pkce)) ?? '';
  await bob.step(uid, 'consent', { decision: 'deny' });
  expect(await asked(await elsewhere(bob), web)).toEqual(['openid']);
  const offline = { scope: 'openid offline_access', prompt: 'consent' };
  await allow(bob, web, offline);
  expect(await asked(await elsewhere(bob), web, offline)).toBeDefined();
});

test('signing out everywhere keeps it; the account page shows it without a session, and withdrawing ends it at once', async () => {
  const cleo = await somebody();
  await openAccount(cleo);
  await allow(cleo, web, { scope: 'openid email' });
  expect((await postForm(cleo, 'sessions/end-all')).status).toBe(303);
  server.clock.advance(2000);
  const browser = Object.assign(createPerson(server, cleo.username), { totpSecret: cleo.totpSecret });
  const page = await openAccount(browser);
  expect(page.text).toContain(web.client_name);
  expect(idsOn(page.text, 'client')).toContain('web');
  const before = await asked(browser, web, { scope: 'openid email' });
  expect(before).toBeUndefined();
  const removed = await postForm(browser, 'apps/remove', { client: 'web' });
  expect(removed.status).toBe(303);
  expect(idsOn((await openAccount(browser)).text, 'client')).not.toContain('web');
  expect(await asked(browser, web, { scope: 'openid email' })).toBeDefined();
  expect(await asked(await elsewhere(cleo), web, { scope: 'openid' })).toBeDefined();
  await server.audit.flush();
  const events = await server.database.query(
    "select 1 from audit_log where event = 'grant.removed' and client_id = 'web' and detail->>'removed' = 'true'",
  );
  expect(events).toHaveLength(1);
});

test('an app that another may pass for is asked for anew: loopback and own schemes of public clients; a claimed https address is not', async () => {
  const dan = await somebody();
  const { body: mcp } = await dan.agent.post('/reg').send({
    client_name: 'A tool',
    redirect_uris: [loopback.redirect_uri],
    token_endpoint_auth_method: 'none',
  });
  const stranger = { client_id: String(mcp.client_id), redirect_uri: loopback.redirect_uri };
  for (const app of [native, loopback, stranger]) await allow(dan, app);
  for (const app of [native, stranger]) expect.soft(await asked(dan, app)).toBeDefined();
  const later = await elsewhere(dan);
  for (const app of [native, loopback, stranger]) expect.soft(await asked(later, app)).toEqual(['openid']);
  await allow(await elsewhere(dan), claimed);
  expect(await asked(later, claimed)).toBeUndefined();
  expect(
    await server.database.query(
      "select distinct client_id from consents where client_id in ('native', 'loopback')",
    ),
  ).toEqual([{ client_id: 'native' }]);
});

test('an app that is given the id of one that was removed inherits nothing', async () => {
  const eve = await somebody();
  await allow(eve, web);
  await server.database.query("update consents set client_id = 'later' where client_id = 'web'");
  await server.database.query(
    "insert into clients (id, source, metadata, created_at, changed_at) values ('later', 'command', $1, now() + interval '1 day', now())",
    [JSON.stringify({ ...spa, client_id: 'later', redirect_uri: undefined })],
  );
  expect(await asked(eve, { ...spa, client_id: 'later' })).toEqual(['openid']);
});

/** The unexpired grants of somebody's apps, with the seconds that they are kept. */
async function grantsOf({ username }: Person) {
  return server.database.query<{ client: string; seconds: number; exp: number }>(
    `select payload->>'clientId' as client, extract(epoch from r.expires_at)::int - $2::int as seconds,
       (payload->>'exp')::int - $2::int as exp
     from records r join accounts a on a.id = r.account_id where model = 'Grant' and username = $1 order by 1`,
    [username, Math.floor(server.clock.now() / 1000)],
  );
}

test('the grant of an app without refresh tokens is kept for the session, and half an hour for what comes of it', async () => {
  const person = await somebody();
  await person.codeFor(plain);
  const [refreshing, not] = await grantsOf(person);
  expect([refreshing?.client, not?.client]).toEqual([intranet.client_id, plain.client_id]);
  expect(refreshing?.seconds).toBeGreaterThan(30 * 86_400);
  const session = 43_200;
  expect(not?.seconds).toBeGreaterThan(session + 1200);
  expect(not?.seconds).toBeLessThan(session + 3600);
});

test('a grant that would end before the tokens of a sign-in lasts as long as a new one', async () => {
  const person = await somebody();
  // A first-party app, and one that was allowed on the consent page and is not asked about again.
  for (const app of [intranet, spa]) await person.tokensFor(app);
  await server.database.query(
    `update records set expires_at = $1, payload = payload || jsonb_build_object('exp', $2::int)
     where model = 'Grant' and account_id = (select id from accounts where username = $3)`,
    [new Date(server.clock.now() + 60_000), Math.floor(server.clock.now() / 1000) + 60, person.username],
  );
  for (const app of [intranet, spa]) {
    const tokens = await person.tokensFor(app);
    const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
    expect((await asApp(server, app, form)).status).toBe(200);
  }
  const kept = await grantsOf(person);
  expect(kept.map(({ client }) => client)).toEqual([intranet.client_id, spa.client_id]);
  for (const { seconds, exp } of kept)
    expect([seconds, exp]).toEqual([expect.toSatisfy(isAMonth), expect.toSatisfy(isAMonth)]);
});
const isAMonth = (seconds: number) => seconds > 30 * 86_400;
