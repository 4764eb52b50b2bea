/** Row "OPAQUE": seed or server key rotation with overlap: old accounts log in, and nothing tells unknown names apart. */
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startLogin } from '../../src/browser/opaque_client.ts';
import { apps } from '../support/apps.ts';
import { soon, startPair } from '../support/key_pair.ts';
import { createPerson, type Person } from '../support/person.ts';
import type { TestServer } from '../support/server.ts';
import { begin, visit } from '../support/visits.ts';

const { web } = apps;
const offline = { scope: 'openid offline_access', prompt: 'consent' };
let pair: Awaited<ReturnType<typeof startPair>>;
let one: TestServer;
let two: TestServer;
let old: Person;
let probes = 0;
beforeAll(async () => {
  pair = await startPair();
  ({ one, two } = pair);
  old = createPerson(one, 'old');
  await old.codeFor(web, { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' });
});
afterAll(() => pair.close());

/** The same person with both factors, in a browser of their own, on this instance. Rejects where a step is refused. */
async function signsIn(server: TestServer, person: Person): Promise<void> {
  const { person: elsewhere, uid } = await visit(server, person.username, person);
  await elsewhere.signIn(uid);
}

/** The OPRF's answer to a KE1 that stays the same: 33 bytes at the head of KE2, fixed for whoever's password it is. */
async function oprfAnswer(server: TestServer, username: string, ke1: string): Promise<string> {
  const person = createPerson(server, username);
  const { body } = await person.step(await begin(person), 'login/init', { username, ke1 });
  return Buffer.from(body.ke2, 'base64url').subarray(0, 33).toString('hex');
}

const keyOf = async (username: string): Promise<string | undefined> =>
  (
    await one.database.query<{ id: string }>('select opaque_key_id as id from accounts where username = $1', [
      username,
    ])
  )[0]?.id;

/** Waits until whoever signs up at this instance gets a record under the newest key. */
async function hasFollowed(server: TestServer): Promise<void> {
  await soon(async () => {
    const person = createPerson(server, `probe-${probes++}`);
    await person.register(await begin(person));
    expect(await keyOf(person.username)).toBe(await pair.idOf('opaque'));
  });
}

async function rotateOpaque(): Promise<void> {
  const before = await pair.idOf('opaque');
  await pair.key('rotate', 'opaque');
  one.clock.advance(11);
  await soon(async () => expect(await pair.idOf('opaque')).not.toBe(before));
}

test('seed or server key rotation with overlap: old accounts log in, new ones use the new key', async () => {
  const first = await pair.idOf('opaque');
  await rotateOpaque();
  for (const server of [one, two]) await hasFollowed(server);
  const fresh = createPerson(one, 'fresh');
  await fresh.tokensFor(web, offline);
  for (const server of [one, two]) {
    for (const person of [old, fresh]) await signsIn(server, person);
  }
  expect(await keyOf('old')).toBe(first);
  expect(await keyOf('fresh')).toBe(await pair.idOf('opaque'));
});

test('an unknown name answers the same before and after, as an account does', async () => {
  const { ke1 } = await startLogin('a password', IdentityMemHardFn);
  const names = ['old', 'nobody', 'nobody-else'];
  const before = [];
  for (const name of names) before.push(await oprfAnswer(one, name, ke1));
  expect(new Set(before).size).toBe(3);
  await rotateOpaque();
  const after = [];
  for (const name of names) after.push(await oprfAnswer(two, name, ke1));
  expect(after).toEqual(before);
});

test('an old key stays as long as an account needs it, and goes when none does', async () => {
  const keys = () =>
    one.database.query<{ id: string }>("select id from keys where kind = 'opaque' order by created_at");
  await rotateOpaque();
  const [first, ...others] = (await keys()).map(({ id }) => id);
  one.clock.advance(7 * 86_400);
  // Nobody signed up between two of the rotations above.
  await soon(async () => expect((await keys()).length).toBeLessThan(others.length + 1));
  expect((await keys()).map(({ id }) => id)).toContain(first);
  await one.database.query('update accounts set opaque_key_id = $1 where opaque_key_id = $2', [
    'none',
    first,
  ]);
  one.clock.advance(86_401);
  await soon(async () => expect((await keys()).map(({ id }) => id)).not.toContain(first));
  await one.database.query('update accounts set opaque_key_id = $1 where opaque_key_id = $2', [
    first,
    'none',
  ]);
});

test('a dropped key: its accounts are signed out and are like unknown names, the others live', async () => {
  const used = await pair.idOf('opaque');
  const lost = createPerson(one, 'lost');
  const start = await begin(lost);
  await lost.register(start);
  await expect(pair.key('drop', used)).rejects.toMatchObject({
    stderr: expect.stringContaining('--accounts-lose-access'),
  });
  expect(await pair.idOf('opaque')).toBe(used);
  expect(await pair.key('drop', used, '--accounts-lose-access')).toContain('1 accounts were signed out');
  for (const server of [one, two]) {
    await soon(async () => {
      const { person, uid } = await visit(server, 'lost', lost);
      expect((await person.loginInit(uid)).ke3).toBeUndefined();
    });
  }
  const [row] = await one.database.query<{ signed_out_at: Date | null }>(
    "select signed_out_at from accounts where username = 'lost'",
  );
  expect(row?.signed_out_at).not.toBeNull();
  const next = createPerson(two, 'after-the-drop');
  expect((await next.register(await begin(next))).status).toBe(200);
});
