/** Invitations: an administrator names somebody, who makes the account by a link that is good once. */
import { userInfo } from 'node:os';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAccounts } from '../../src/accounts/accounts.ts';
import { createInvitations, type Invitations } from '../../src/accounts/invitations.ts';
import { apps } from '../support/apps.ts';
import { cookiesOf } from '../support/cookies.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { createPerson, interactionOf, type Person } from '../support/person.ts';
import type { TestServer } from '../support/server.ts';
import { begin } from '../support/visits.ts';

const { web, intranet } = apps;
let server: Administered;
/** Where nobody signs up without an invitation. */
let closed: Administered;
let invitations: Invitations;
beforeAll(async () => {
  const clients = [web, intranet];
  server = await startAdministered({ clients });
  closed = await startAdministered({ clients, settings: { SIGN_UP: 'invitation' } });
  invitations = invitationsOf(server);
});
afterAll(() => Promise.all([server.close(), closed.close()]));

function invitationsOf({ database, clock, audit }: TestServer): Invitations {
  const accounts = createAccounts(database, clock.now);
  return createInvitations({ database, accounts, audit, now: clock.now });
}

const pathOf = (token: string) => `/invitation/${token}`;

/** Opens the link and goes on to the sign-up page; returns the interaction's uid. */
async function accept(person: Person, path: string): Promise<string> {
  const opened = await person.agent.get(path);
  expect([opened.status, opened.headers.location]).toEqual([303, '/invitation']);
  const page = await person.agent.get('/invitation');
  expect([page.status, page.text]).toEqual([200, expect.stringContaining('You are invited')]);
  const left = await person.agent.post('/invitation');
  expect(left.status).toBe(303);
  const begun = await person.agent.get(String(left.headers.location));
  return interactionOf(new URL(String(begun.headers.location), server.url)) ?? '';
}

/** Follows redirects to a page; returns its text. */
async function arrive({ agent }: Person, location: URL): Promise<string> {
  let path = location.pathname + location.search;
  for (let hop = 0; hop < 6; hop++) {
    const answer = await agent.get(path);
    if (answer.status === 200) return answer.text;
    const next = new URL(String(answer.headers.location), location);
    path = next.pathname + next.search;
  }
  throw new Error(`no page came of ${location}`);
}

const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await server.cypher(args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
};

test('by the link of `user add` a person makes the account that was named, and signs in', async () => {
  const added = await run(
    'user',
    'add',
    'Grace',
    '--email',
    'grace@example.org',
    '--expires',
    '24h',
    '--json',
  );
  const { link, expiresAt } = JSON.parse(added);
  expect(link).toMatch(new RegExp(`^${server.url}/invitation/[\\w-]{43}$`));
  const hours = (Date.parse(expiresAt) - server.clock.now()) / 3_600_000;
  expect(hours).toBeGreaterThan(23.9);
  // Two processes agree on PostgreSQL's time to a few milliseconds.
  expect(hours).toBeLessThan(24.0001);
  const token = link.slice(-43);
  const stored = JSON.stringify(await server.database.query('select * from invitations'));
  expect(stored).toContain('grace');
  expect(stored).not.toContain(token);
  const listed = JSON.parse(await run('user', 'list', '--json'));
  expect(listed).toContainEqual(expect.objectContaining({ username: 'Grace', state: 'invited' }));

  const grace = createPerson(server, 'GRACE');
  const opened = await grace.agent.get(new URL(link).pathname);
  expect(opened.headers['referrer-policy']).toBe('no-referrer');
  expect(String(opened.headers['set-cookie'])).toMatch(
    /cypher_invitation=[\w-]{43}; path=\/invitation; .*samesite=lax; httponly/i,
  );
  const uid = await accept(grace, new URL(link).pathname);
  const signUp = await grace.agent.get(`/interaction/${uid}`);
  expect(signUp.text).toMatch(/id="username"[^>]*value="Grace" readonly/);
  expect(signUp.text).toMatch(/id="email"[^>]*value="grace@example.org" readonly/);
  const done = await grace.signUp(uid, 'another@example.org');
  expect(await arrive(grace, done)).toContain('Your account');

  const [account] = JSON.parse(await run('user', 'list', '--json'));
  expect(account).toMatchObject({ username: 'Grace', email: 'grace@example.org', state: 'active' });
  for (const path of ['/invitation', '/interaction'])
    expect(Object.keys(cookiesOf(grace, path))).not.toContain('cypher_invitation');
  const again = createPerson(server, 'grace');
  again.totpSecret = grace.totpSecret;
  await expect(again.codeFor(intranet)).resolves.toMatch(/.+/);
  await server.audit.flush();
  const events = await server.database.query('select event, detail from audit_log order by id');
  expect(events).toContainEqual({
    event: 'account.invited',
    detail: { by: 'command', user: userInfo().username, username: 'Grace' },
  });
  expect(events).toContainEqual({ event: 'account.created', detail: { by: 'owner', invited: true } });
  expect(server.logged()).not.toContain(token);
});

test('`user add` refuses what cannot be, and a second link replaces the first', async () => {
  for (const [args, fault] of [
    [['a name'], /no spaces/],
    [['ida', '--email', 'nobody'], /--email must be an e-mail address/],
    [['ida', '--expires', '90d'], /from 1m .* to 30d/],
  ] as const) {
    const { code, stderr } = await server.cypher(['user', 'add', ...args]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(fault)]);
  }
  const owner = createPerson(server, 'ines');
  await owner.signUp(await begin(owner));
  await expect(invitations.invite('Ines', undefined, 3600)).rejects.toThrow(/an account "Ines" already/);

  const first = await invitations.invite('judy', undefined, 3600);
  const printed = await run('user', 'add', 'judy');
  const second = printed.trim().split('\n').at(-1) ?? '';
  const judy = createPerson(server, 'judy');
  await judy.agent.get(pathOf(first.token));
  expect((await judy.agent.get('/invitation')).status).toBe(403);
  await judy.signUp(await accept(judy, new URL(second).pathname));
});

test('opening the link, and whoever looks it over, uses nothing up', async () => {
  const { token } = await invitations.invite('karl', undefined, 3600);
  for (const method of ['get', 'head', 'get'] as const)
    expect((await request(server.url)[method](pathOf(token))).status).toBe(303);
  const foreign = createPerson(server, 'karl');
  await foreign.agent.get(pathOf(token));
  const posted = await foreign.agent.post('/invitation').set('Sec-Fetch-Site', 'cross-site');
  expect(posted.status).toBe(403);
  const karl = createPerson(server, 'karl');
  await karl.signUp(await accept(karl, pathOf(token)));
});

test('used by ten browsers at once it makes one account', async () => {
  const { token } = await invitations.invite('lena', undefined, 3600);
  const browsers = Array.from({ length: 10 }, () => createPerson(server, 'lena'));
  const uids = await Promise.all(browsers.map((each) => accept(each, pathOf(token))));
  const answers = await Promise.all(browsers.map((each, index) => each.register(uids[index] ?? '')));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(403)]);
  const refused = answers.filter(({ status }) => status === 403).map(({ body }) => body.error);
  expect(new Set(refused)).toEqual(new Set(['invitation_ended']));
  const accounts = await server.database.query("select from accounts where username_key = 'lena'");
  expect(accounts).toHaveLength(1);
  const late = createPerson(server, 'lena');
  await late.agent.get(pathOf(token));
  const page = await late.agent.get('/invitation').set('Accept', 'text/html');
  expect([page.status, page.text]).toEqual([403, expect.stringContaining('This invitation has ended')]);
});

test('an invitation that has expired, or never was, is good for nothing, before the sign-up and within it', async () => {
  const { token } = await invitations.invite('mona', undefined, 600);
  const mona = createPerson(server, 'mona');
  const uid = await accept(mona, pathOf(token));
  server.clock.advance(601);
  const late = await mona.register(uid);
  expect([late.status, late.body.error]).toEqual([403, 'invitation_ended']);
  await mona.agent.get(`/interaction/${uid}/register`);
  expect((await mona.register(uid)).status, 'as anybody, where anybody may').toBe(200);
  for (const path of [pathOf(token), pathOf('A'.repeat(43)), '/invitation/short', '/invitation/%00']) {
    const stranger = createPerson(server, 'mona');
    expect((await stranger.agent.get(path)).status).toBe(303);
    expect((await stranger.agent.get('/invitation')).body.error).toBe('invitation_ended');
    expect((await stranger.agent.post('/invitation')).body.error).toBe('invitation_ended');
  }
  for await (const page of invitations.list())
    expect(page).not.toContainEqual(expect.objectContaining({ username: 'mona' }));
});

test('an invitation is for its name alone', async () => {
  const { token } = await invitations.invite('nora', undefined, 3600);
  const other = createPerson(server, 'not-nora');
  const refused = await other.register(await accept(other, pathOf(token)));
  expect([refused.status, refused.body.error]).toEqual([403, 'forbidden']);
  expect(refused.body.message).toContain('nora');
  const nora = createPerson(server, 'nora');
  expect((await nora.register(await accept(nora, pathOf(token)))).status).toBe(200);
});

test('the name is kept for whoever is invited: to others it is one that is taken', async () => {
  const { token } = await invitations.invite('Olga', undefined, 3600);
  const owner = createPerson(server, 'a-real-account');
  await owner.signUp(await begin(owner));
  const answers = [];
  for (const name of ['OLGA', 'a-real-account']) {
    const stranger = createPerson(server, name);
    answers.push(await stranger.register(await begin(stranger)));
  }
  const [reserved, taken] = answers;
  expect([reserved?.status, reserved?.body.error]).toEqual([409, 'username_taken']);
  expect({ ...reserved?.body, id: '' }).toEqual({ ...taken?.body, id: '' });
  const olga = createPerson(server, 'olga');
  expect((await olga.register(await accept(olga, pathOf(token)))).status).toBe(200);

  await invitations.invite('paul', undefined, 600);
  server.clock.advance(601);
  const anybody = createPerson(server, 'paul');
  expect((await anybody.register(await begin(anybody))).status).toBe(200);
});

test('SIGN_UP=invitation: no page, no step and no prompt leads to an account without one', async () => {
  const stranger = createPerson(closed, 'stranger');
  const uid = await begin(stranger);
  const login = await stranger.agent.get(`/interaction/${uid}`);
  expect(login.text).toContain('current-password');
  expect(login.text).not.toContain('/register');
  const page = await stranger.agent.get(`/interaction/${uid}/register`).set('Accept', 'text/html');
  expect([page.status, page.text]).toEqual([403, expect.stringContaining('By invitation only')]);
  const steps = { 'register/init': { request: 'A' }, 'register/finish': { record: 'A' } };
  for (const [action, body] of Object.entries(steps)) {
    const answer = await stranger.step(uid, action, { username: 'stranger', ...body });
    expect([answer.status, answer.body.error]).toEqual([403, 'invitation_required']);
  }
  const asked = await stranger.authorize(intranet, { prompt: 'create' });
  expect([asked.origin, asked.searchParams.get('error')]).toEqual([
    'https://intranet.example',
    'invalid_request',
  ]);
  const configuration = await request(closed.url).get('/.well-known/openid-configuration');
  expect(configuration.body.prompt_values_supported).toEqual(['none', 'login', 'consent', 'select_account']);

  const { token } = await invitationsOf(closed).invite('quinn', undefined, 3600);
  const quinn = createPerson(closed, 'quinn');
  await quinn.signUp(await accept(quinn, pathOf(token)));
  await expect(quinn.codeFor(intranet)).resolves.toMatch(/.+/);
});

test("an invitation's token reaches the log by no method, spelling or path behind it", async () => {
  const token = 'k'.repeat(43);
  const paths = [
    pathOf(token),
    `${pathOf(token)}/`,
    `${pathOf(token)}/more`,
    `/Invitation/${token}`,
    `//invitation/${token}`,
  ];
  paths.push(
    `/invitation/${token.slice(0, 20)}/x`,
    `/invitation%2F${token}`,
    `/elsewhere/${token}`,
    `/invitation/x/${token}`,
  );
  for (const method of ['get', 'head', 'post', 'put', 'delete', 'patch', 'options'] as const) {
    for (const path of paths) await request(server.url)[method](path).set('origin', 'https://evil.example');
  }
  expect(server.logged()).toContain('/invitation/[redacted]');
  expect(server.logged()).not.toContain(token.slice(0, 12));
});
