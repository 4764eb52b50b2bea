/** What the audit log and the log tell of sign-ins: who, from where, well or not; and who acted on an account. */
import { userInfo } from 'node:os';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openAccount, proofInit } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { createPerson } from '../support/person.ts';
import { afterPassword, begin, signUp, visit } from '../support/visits.ts';

let server: Administered;
beforeAll(async () => {
  server = await startAdministered({ clients: Object.values(apps) });
});
afterAll(() => server.close());

interface Entry {
  event: string;
  account_id: string | null;
  client_id: string | null;
  address: string | null;
  detail: Record<string, unknown> | null;
}
async function entries(like: string): Promise<Entry[]> {
  await server.audit.flush();
  return server.database.query<Entry>(
    'select event, account_id, client_id, address, detail from audit_log where event like $1 order by id',
    [like],
  );
}
const idOf = async (name: string) =>
  (await server.database.query<{ id: string }>('select id from accounts where username_key = $1', [name]))[0]
    ?.id;
const linesOf = (event: string) =>
  server
    .logged()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line.event === event);

test('a completed sign-in and a wrong code have an event and a line each, with account, app, address and browser', async () => {
  const ada = await signUp(server, 'ada');
  const account = await idOf('ada');
  const { person, uid } = await afterPassword(server, ada);
  person.agent.set('User-Agent', `A browser ${'x'.repeat(500)}`);
  await person.step(uid, 'totp/verify', { code: '000000' });
  await person.step(uid, 'totp/verify', { code: person.code() });
  const [failed] = (await entries('login.failed')).slice(-1);
  expect(failed).toMatchObject({ account_id: account, client_id: 'intranet', address: '127.0.0.1' });
  expect(failed?.detail).toMatchObject({ step: 'totp/verify', agent: expect.stringMatching(/^A browser x/) });
  expect(String(failed?.detail?.agent).length).toBe(200);
  expect((await entries('login.completed')).at(-1)).toMatchObject({
    account_id: account,
    client_id: 'intranet',
  });
  for (const event of ['login.failed', 'login.completed'])
    expect(linesOf(event).at(-1)).toMatchObject({
      level: 30,
      account,
      client: 'intranet',
      address: '127.0.0.1',
    });
});

test('a wrong password is a failed sign-in: at once where it is answered wrongly, else when it expires unanswered', async () => {
  const bob = await signUp(server, 'bob');
  const account = await idOf('bob');
  const before = (await entries('login.failed')).length;

  const wrong = await visit(server, 'bob', bob);
  const init = await wrong.person.loginInit(wrong.uid);
  const ke3 = `${init.ke3?.slice(0, -4)}AAAA`;
  expect((await wrong.person.step(wrong.uid, 'login/finish', { ke3 })).status).toBe(401);
  const answered = (await entries('login.failed')).slice(before);
  expect(answered).toMatchObject([{ account_id: account, detail: { step: 'login/finish' } }]);

  // The page of a wrong password sends nothing more; neither does one for a name that is nobody's.
  for (const name of ['bob', 'nobody-of-that-name']) {
    const silent = await visit(server, name);
    silent.person.agent.set('User-Agent', name === 'bob' ? 'The browser of bob' : 'Another one');
    expect((await silent.person.loginInit(silent.uid, { password: 'a wrong one' })).ke3).toBeUndefined();
  }
  // One that is answered in time is none of them, and what comes too late is refused.
  const { person, uid } = await visit(server, 'bob', bob);
  expect((await person.provePassword(uid)).status).toBe(200);
  const late = await visit(server, 'bob', bob);
  const lateInit = await late.person.loginInit(late.uid);
  expect(await entries('login.failed')).toHaveLength(before + 1);
  server.clock.advance(61);
  expect((await late.person.step(late.uid, 'login/finish', { ke3: lateInit.ke3 })).status).toBe(401);
  await vi.waitFor(async () => expect(await entries('login.failed')).toHaveLength(before + 4), 20_000);
  const told = (await entries('login.failed')).slice(before + 1);
  const silent = told.filter(({ detail }) => detail?.unanswered);
  expect(silent).toHaveLength(2);
  expect(silent).toContainEqual(
    expect.objectContaining({
      account_id: account,
      client_id: 'intranet',
      address: '127.0.0.1',
      detail: { step: 'login/init', agent: 'The browser of bob', unanswered: true },
    }),
  );
  expect(silent.filter(({ account_id }) => account_id === null)).toHaveLength(1);
  expect(server.logged()).not.toContain('nobody-of-that-name');
});

test('two starts of one sign-in are two attempts, and the account page tells of its own', async () => {
  const carol = createPerson(server, 'carol');
  expect((await openAccount(carol)).status).toBe(200);
  const before = (await entries('login.failed')).length;
  const { person, uid } = await visit(server, 'carol');
  await person.loginInit(uid, { password: 'a wrong one' });
  await person.loginInit(uid, { password: 'another wrong one' });
  expect(await entries('login.failed')).toHaveLength(before + 1);
  await proofInit(carol, 'password', 'a wrong one');
  server.clock.advance(61);
  await vi.waitFor(async () => expect(await entries('login.failed')).toHaveLength(before + 3), 20_000);
  const steps = (await entries('login.failed')).slice(before).map(({ detail }) => detail?.step);
  expect(steps.sort()).toEqual(['account/password/proof/init', 'login/init', 'login/init']);
});

test('a flood of refused attempts writes a bounded number of events', async () => {
  const dora = await signUp(server, 'dora');
  const { person, uid } = await visit(server, 'dora', dora);
  for (let attempt = 0; attempt < 100; attempt++) await person.loginInit(uid, { password: 'a wrong one' });
  expect((await entries('login.blocked')).length).toBeLessThanOrEqual(61);
  expect((await entries('login.blocked')).length).toBeGreaterThan(0);
});

test('events of accounts name who acted: their owner, or whoever ran the command', async () => {
  const eve = createPerson(server, 'eve');
  await eve.register(await begin(eve));
  const run = async (...args: string[]) => expect((await server.cypher(args)).code, args.join(' ')).toBe(0);
  await run('user', 'add', 'frank');
  await run('user', 'disable', 'eve');
  await run('user', 'enable', 'eve');
  await run('user', 'sign-out', 'eve');
  const told = (await entries('account.%')).slice(-5);
  const command = { by: 'command', user: userInfo().username };
  expect(told.map(({ event, detail }) => [event, detail])).toEqual([
    ['account.created', { by: 'owner' }],
    ['account.invited', { ...command, username: 'frank' }],
    ['account.disabled', command],
    ['account.enabled', command],
    ['account.signed_out', command],
  ]);
  expect((await entries('account.%')).filter(({ detail }) => detail?.by === undefined)).toEqual([]);
});
