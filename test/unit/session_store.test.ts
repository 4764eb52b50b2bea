/** Sessions in PostgreSQL: one id at a time, and an end that holds. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRevocations, type Revocations } from '../../src/revocation/revocations.ts';
import type { SessionPayload } from '../../src/sessions/session.ts';
import { createSessionStore, type SessionStore } from '../../src/sessions/store.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
let revocations: Revocations;
let sessions: SessionStore;
/** Another instance on the same database. */
let elsewhere: SessionStore;
beforeAll(async () => {
  stores = await openStores();
  const deps = { database: stores.database, now: stores.now };
  revocations = createRevocations(stores.database, stores.now);
  sessions = createSessionStore(deps);
  elsewhere = createSessionStore(deps);
});
afterAll(() => stores.close());

let count = 0;
const session = (): SessionPayload => ({ jti: `secret-${++count}`, uid: `uid-${count}`, accountId: 'ada' });

test('a session is found by id and by uid, and expires', async () => {
  const mine = session();
  await sessions.save(mine, 60, {});
  expect(await sessions.byId(mine.jti)).toEqual(mine);
  const { jti: _, ...withoutId } = mine;
  expect(await sessions.byUid(mine.uid)).toEqual(withoutId);
  stores.pass(60);
  expect(await sessions.byId(mine.jti)).toBeUndefined();
  expect(await sessions.byUid(mine.uid)).toBeUndefined();
});

test('a new id takes the place of the old one at once, on every instance', async () => {
  const mine = session();
  await sessions.save(mine, 60, {});
  await elsewhere.byId(mine.jti);
  const moved = { ...mine, jti: `${mine.jti}-moved` };
  await sessions.save(moved, 60, {});
  for (const store of [sessions, elsewhere]) {
    expect(await store.byId(mine.jti)).toBeUndefined();
    expect(await store.byId(moved.jti)).toEqual(moved);
  }
});

test('a change is seen at once by an instance that has read the session', async () => {
  const mine = session();
  await sessions.save(mine, 60, {});
  await elsewhere.byId(mine.jti);
  await sessions.save({ ...mine, accountId: 'bob' }, 60, {});
  expect((await elsewhere.byId(mine.jti))?.accountId).toBe('bob');
});

test('a session that has ended stays ended: no save and no other id revives it', async () => {
  const mine = session();
  await sessions.save(mine, 60, {});
  await elsewhere.byId(mine.jti);
  await revocations.endSessionById(mine.jti);
  await sessions.save(mine, 60, {});
  await elsewhere.save({ ...mine, jti: 'another id' }, 60, {});
  for (const store of [sessions, elsewhere]) {
    expect(await store.byId(mine.jti)).toBeUndefined();
    expect(await store.byId('another id')).toBeUndefined();
    expect(await store.byUid(mine.uid)).toBeUndefined();
  }
});

test('saves in parallel with the end: whichever comes last, it has ended', async () => {
  for (let round = 0; round < 10; round++) {
    const mine = session();
    await sessions.save(mine, 60, {});
    const saves = Array.from({ length: 8 }, (_, state) => sessions.save({ ...mine, state }, 60, {}));
    await Promise.all([...saves.slice(0, 4), revocations.endSessionById(mine.jti), ...saves.slice(4)]);
    expect(await sessions.byId(mine.jti)).toBeUndefined();
  }
});

test('the rows hold no id that fits into a cookie', async () => {
  const mine = session();
  await sessions.save(mine, 60, { address: '192.0.2.1', userAgent: 'a browser' });
  await sessions.byId(mine.jti);
  const rows = await stores.database.query('select * from sessions where uid = $1', [mine.uid]);
  expect(rows).toEqual([expect.objectContaining({ address: '192.0.2.1', user_agent: 'a browser' })]);
  expect(JSON.stringify(rows)).not.toContain(mine.jti);
});

test('requests side by side: what each of them authorized is put together', async () => {
  const mine = session();
  await sessions.save({ ...mine, loginTs: 100 }, 60, {});
  await sessions.save({ ...mine, loginTs: 100, authorizations: { web: { sid: '1' } } }, 60, {});
  await elsewhere.save({ ...mine, loginTs: 100, authorizations: { spa: { sid: '2' } } }, 60, {});
  expect((await sessions.byId(mine.jti))?.authorizations).toEqual({ web: { sid: '1' }, spa: { sid: '2' } });
});

test('a request that began before a login does not undo it, whoever was signed in then', async () => {
  const mine = session();
  const { accountId: _, ...nobody } = mine;
  await sessions.save(nobody as SessionPayload, 60, {});
  const signedIn = { ...mine, jti: `${mine.jti}-after`, loginTs: 200 };
  await sessions.save(signedIn, 60, {});
  await elsewhere.save(nobody as SessionPayload, 60, {});
  await elsewhere.save({ ...mine, accountId: 'bob', loginTs: 100 }, 60, {});
  expect(await sessions.byId(signedIn.jti)).toEqual(signedIn);
  expect(await sessions.byId(mine.jti)).toBeUndefined();
});

test('an older login of the same account adds its apps, and neither moves the session nor changes anything else', async () => {
  const mine = session();
  const signedIn = { ...mine, jti: `${mine.jti}-after`, loginTs: 200, authorizations: { web: { sid: '1' } } };
  expect(await sessions.save(signedIn, 60, {})).toBe('saved');
  const older = { ...mine, loginTs: 100, acr: 'less', authorizations: { spa: { sid: '2' } } };
  expect(await elsewhere.save(older, 600, {})).toBe('older');
  const both = { web: { sid: '1' }, spa: { sid: '2' } };
  expect(await sessions.byId(signedIn.jti)).toEqual({ ...signedIn, authorizations: both });
  expect(await sessions.byId(mine.jti)).toBeUndefined();
  expect(await elsewhere.save({ ...older, accountId: 'bob' }, 60, {})).toBe('refused');
  stores.pass(60);
  expect(await sessions.byId(signedIn.jti)).toBeUndefined();
});

test('another account that signs in does not inherit what the one before it had authorized', async () => {
  const mine = session();
  await sessions.save({ ...mine, loginTs: 100, authorizations: { web: { sid: '1' } } }, 60, {});
  await sessions.save({ ...mine, accountId: 'bob', loginTs: 200 }, 60, {});
  expect((await sessions.byId(mine.jti))?.authorizations).toBeUndefined();
});
