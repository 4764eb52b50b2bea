/** A lost authenticator: an administrator issues a link, and the password without it leads to no set-up. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { secretOn } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { asApp, createPerson, interactionOf, isAlive, type Person } from '../support/person.ts';
import { afterPassword, codeAt } from '../support/visits.ts';

const { web } = apps;
let server: Administered;
beforeAll(async () => {
  server = await startAdministered({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const reset = (...args: string[]) => server.cypher(['user', 'reset-totp', ...args]);
async function linkFor(name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await reset(name, ...args);
  expect([code, stderr]).toEqual([0, '']);
  return new URL(stdout.trim().split('\n').at(-1) ?? '').pathname;
}
const isActive = async (token: string): Promise<boolean> => isAlive(server, token);

/** Opens the link in this browser and goes on from its page; returns the interaction's uid. */
async function open(person: Person, path: string): Promise<string> {
  const opened = await person.agent.get(path);
  expect([opened.status, opened.headers.location]).toEqual([303, '/authenticator-reset']);
  const page = await person.agent.get('/authenticator-reset');
  expect([page.status, page.text]).toEqual([200, expect.stringContaining(person.username)]);
  const left = await person.agent.post('/authenticator-reset');
  const begun = await person.agent.get(String(left.headers.location));
  return interactionOf(new URL(String(begun.headers.location), server.url)) ?? '';
}

const factorOf = (name: string) =>
  server.database.query(
    `select totp_secret, code_hashes from accounts join unused_recovery_codes on account_id = id
     where username_key = $1`,
    [name],
  );

test('TOTP: after `user reset-totp` the password alone still asks for the present factor', async () => {
  const ada = createPerson(server, 'ada');
  const tokens = await ada.tokensFor(web);
  const before = await factorOf('ada');
  await linkFor('ada');
  const thief = await afterPassword(server, ada);
  const page = await thief.person.agent.get(`/interaction/${thief.uid}`);
  expect([page.status, secretOn(page.text)]).toEqual([200, '']);
  expect((await thief.person.step(thief.uid, 'totp/setup', {})).status).toBe(409);
  expect(
    (await thief.person.step(thief.uid, 'totp/verify-setup', { code: codeAt(server, ada, 1) })).status,
  ).toBe(409);
  expect(await factorOf('ada')).toEqual(before);
  // Nothing has changed for the owner, either.
  expect(await isActive(tokens.access_token)).toBe(true);
  const owner = await afterPassword(server, ada);
  expect((await owner.person.step(owner.uid, 'totp/verify', { code: owner.person.code() })).status).toBe(200);
});

test('by the link its owner proves the password, sets up a new authenticator, and everything else ends', async () => {
  const bob = createPerson(server, 'bob');
  const tokens = await bob.tokensFor(web);
  const { totpSecret: oldSecret, recoveryCodes: oldCodes } = bob;
  const link = await linkFor('Bob', '--expires', '2h');
  const token = link.split('/').at(-1) ?? '';
  const stored = JSON.stringify(await server.database.query('select * from authenticator_resets'));
  expect(stored).not.toContain(token);

  // In a browser that is still signed in, too.
  const uid = await open(bob, link);
  const login = await bob.agent.get(`/interaction/${uid}`);
  expect(login.text).toMatch(/id="username"[^>]*value="bob"/);
  // The link is no proof of the password.
  expect((await bob.step(uid, 'totp/setup', {})).status).toBe(401);
  expect((await bob.step(uid, 'totp/verify-setup', { code: codeAt(server, bob) })).status).toBe(401);
  expect((await bob.provePassword(uid)).status).toBe(200);
  const setUp = await bob.agent.get(`/interaction/${uid}`);
  expect(secretOn(setUp.text)).toMatch(/^[A-Z2-7]{32}$/);
  const done = await bob.setUpTotp(uid);
  expect([done.status, done.body.recovery_codes?.length]).toEqual([200, 10]);
  expect(bob.totpSecret).not.toBe(oldSecret);
  const resumed = new URL(done.body.location);
  const back = await bob.agent.get(resumed.pathname + resumed.search);
  await bob.agent.get(new URL(String(back.headers.location), server.url).pathname);
  expect((await bob.agent.get('/account')).text).toContain('Your account');

  expect(await isActive(tokens.access_token)).toBe(false);
  const refused = await asApp(server, web, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  expect(refused.body.error).toBe('invalid_grant');
  for (const code of [codeAt(server, { ...bob, totpSecret: oldSecret }, 1), String(oldCodes[0])]) {
    const old = await afterPassword(server, bob);
    expect((await old.person.step(old.uid, 'totp/verify', { code })).status).toBe(401);
  }
  const now = await afterPassword(server, bob);
  expect((await now.person.step(now.uid, 'totp/verify', { code: now.person.code() })).status).toBe(200);

  await server.audit.flush();
  const events = await server.database.query<{ event: string; detail: object }>(
    `select event, detail from audit_log where account_id = (select id from accounts where username_key = 'bob')
     and event like 'totp.reset%' order by id`,
  );
  expect(events.map(({ event }) => event)).toEqual(['totp.reset_issued', 'totp.reset']);
  expect(server.logged()).not.toContain(token);

  const again = await createPerson(server, 'bob').agent.get(link);
  expect(again.status).toBe(303);
  const reused = createPerson(server, 'bob');
  await reused.agent.get(link);
  expect((await reused.agent.get('/authenticator-reset')).status).toBe(403);
});

test('one link of one account: it expires, is replaced, is used once by any number, and does nothing for another account', async () => {
  const carol = createPerson(server, 'carol');
  await carol.tokensFor(web);
  const dave = createPerson(server, 'dave');
  await dave.tokensFor(web);
  const first = await linkFor('carol');
  const second = await linkFor('carol');
  const stale = createPerson(server, 'carol');
  await stale.agent.get(first);
  expect((await stale.agent.get('/authenticator-reset')).status).toBe(403);

  const daves = await factorOf('dave');
  const foreign = createPerson(server, 'carol');
  const uid = await open(foreign, second);
  const as = createPerson(server, 'dave');
  Object.assign(as, { agent: foreign.agent, totpSecret: dave.totpSecret });
  const init = await foreign.loginInit(uid, { username: 'dave' });
  expect((await foreign.step(uid, 'login/finish', { ke3: init.ke3 })).status).toBe(200);
  expect((await foreign.step(uid, 'totp/setup', {})).status).toBe(409);
  expect(await factorOf('dave')).toEqual(daves);

  const browsers = await Promise.all(
    [1, 2, 3].map(async () => {
      const person = createPerson(server, 'carol');
      const at = await open(person, second);
      await person.provePassword(at);
      person.totpSecret = (await person.step(at, 'totp/setup', {})).body.secret;
      return { person, at };
    }),
  );
  const answers = await Promise.all(
    browsers.map(({ person, at }) =>
      request(server.url)
        .post(`/interaction/${at}/totp/verify-setup`)
        .set('Cookie', cookieHeader(cookiesOf(person, `/interaction/${at}`)))
        .send({ code: codeAt(server, person) }),
    ),
  );
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);

  const late = await linkFor('carol', '--expires', '1m');
  server.clock.advance(61);
  const tardy = createPerson(server, 'carol');
  await tardy.agent.get(late);
  expect((await tardy.agent.get('/authenticator-reset')).status).toBe(403);
});

test('no link for whom there is nothing to reset, and its token is in no log by any method or path', async () => {
  for (const [args, fault] of [
    [['nobody'], /there is no account "nobody"/],
    [['ada', '--expires', '90d'], /from 1m .* to 30d/],
  ] as const) {
    const { code, stderr } = await reset(...args);
    expect([code, stderr]).toEqual([1, expect.stringMatching(fault)]);
  }
  const token = 'T'.repeat(43);
  for (const prefix of ['/authenticator-reset', '/invitation', '/Invitation'])
    for (const rest of ['', '/', '/more', '%2f'])
      for (const method of ['GET', 'POST', 'PUT'])
        await fetch(`${server.url}${prefix}/${token}${rest}`, { method, redirect: 'manual' });
  expect(server.logged()).not.toContain(token);
});
