/** Rows "Tokens": an administrator takes an account's access away, and everything that was issued to it dies. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAccounts } from '../../src/accounts/accounts.ts';
import { type AccountControl, createAccountControl } from '../../src/accounts/control.ts';
import type { Audit } from '../../src/audit/audit.ts';
import { createRevocations } from '../../src/revocation/revocations.ts';
import { createSessionStore } from '../../src/sessions/store.ts';
import { apps } from '../support/apps.ts';
import { asApp, createPerson, interactionOf, isAlive } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let control: AccountControl;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
  control = controlWith(server.audit);
});
afterAll(() => server.close());

function controlWith(audit: Pick<Audit, 'recordWithin'>): AccountControl {
  const { database, clock } = server;
  return createAccountControl({
    accounts: createAccounts(database, clock.now),
    sessions: createSessionStore({ database, now: clock.now }),
    revocations: createRevocations(database, clock.now),
    audit,
    database,
  });
}

const { web, intranet } = apps;
const offline = { scope: 'openid offline_access', prompt: 'consent' };

const isActive = async (token: string): Promise<boolean> => isAlive(server, token);
const refresh = (token: string) => asApp(server, web, { grant_type: 'refresh_token', refresh_token: token });

test('Account disabled: its sessions and tokens are dead, offline ones too, and it cannot sign in', async () => {
  const person = createPerson(server, 'disabled-one');
  const tokens = await person.tokensFor(web, offline);
  expect(await isActive(tokens.access_token)).toBe(true);

  await control.disable('Disabled-One');

  expect(await isActive(tokens.access_token)).toBe(false);
  expect((await refresh(tokens.refresh_token)).body.error).toBe('invalid_grant');
  const uid = interactionOf(await person.authorize(intranet));
  expect(uid).toBeDefined();
  const login = await person.loginInit(uid ?? '');
  expect(login.ke3).toBeUndefined();

  await control.enable('disabled-one');
  expect((await refresh(tokens.refresh_token)).body.error).toBe('invalid_grant');
  await expect(person.codeFor(intranet)).resolves.toMatch(/.+/);
});

test('signed out by an administrator: every session and token ends, the account lives on', async () => {
  const person = createPerson(server, 'signed-out-one');
  const tokens = await person.tokensFor(web, offline);
  await control.signOut('signed-out-one');
  expect(await isActive(tokens.access_token)).toBe(false);
  expect((await refresh(tokens.refresh_token)).body.error).toBe('invalid_grant');
  await expect(person.codeFor(intranet)).resolves.toMatch(/.+/);
});

test('an end and its event in the audit log are one commit: both are there after the answer, or neither', async () => {
  const person = createPerson(server, 'told-of');
  const { access_token } = await person.tokensFor(web, offline);
  const lost = controlWith({ recordWithin: () => Promise.reject(new Error('not written')) });
  await expect(lost.disable('told-of')).rejects.toThrow('not written');
  expect(await isActive(access_token)).toBe(true);

  await control.signOut('told-of');
  await control.disable('told-of');
  // What was gathered is not written here: a process that ends now takes it along.
  const events = await server.database.query(
    `select event from audit_log join accounts on accounts.id = account_id
     where username = 'told-of' and event in ('account.signed_out', 'account.disabled') order by audit_log.id`,
  );
  expect(events).toEqual([{ event: 'account.signed_out' }, { event: 'account.disabled' }]);
});

test('a login that waits for its redirect while everything is ended leads to no code, but to a new login', async () => {
  for (const [name, end] of [
    ['waiting-out', () => control.signOut('waiting-out')],
    ['waiting-disabled', () => control.disable('waiting-disabled')],
  ] as const) {
    const elsewhere = createPerson(server, name);
    await elsewhere.codeFor(intranet);
    const person = createPerson(server, name);
    const uid = interactionOf(await person.authorize(intranet)) ?? '';
    person.totpSecret = elsewhere.totpSecret;
    const resume = await person.signIn(uid);
    server.clock.advance(2);
    await end();
    const answer = await person.agent.get(resume.pathname);
    expect(answer.status, name).toBe(303);
    expect(answer.headers.location, name).toMatch(/^\/interaction\//);
  }
});

test('a name that is nobody is told, and changes nothing', async () => {
  await expect(control.disable('nobody-here')).rejects.toThrow('there is no account "nobody-here"');
});
