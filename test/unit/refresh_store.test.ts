/** Refresh families and their end in PostgreSQL, where requests meet: one begins, one rotates, an end is an end. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lifeSeconds } from '../../src/lifetimes.ts';
import { createRefreshStore, type RefreshStore } from '../../src/refresh/store.ts';
import { createRevocations, type Revocations } from '../../src/revocation/revocations.ts';
import { createSessionStore } from '../../src/sessions/store.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
let refresh: RefreshStore;
let revocations: Revocations;
beforeAll(async () => {
  stores = await openStores();
  const { database, now } = stores;
  refresh = createRefreshStore(database, {
    successorKey: Buffer.alloc(32, 1),
    leewayMs: 10_000,
    now,
    instance: 'here',
  });
  revocations = createRevocations(database, now);
});
afterAll(() => stores.close());

let count = 0;
const inSeconds = (seconds: number) => stores.now() + seconds * 1000;
function newFamily(grantId = 'a grant') {
  const id = `family-${++count}`;
  const family = { id, grantId, clientId: 'web', accountId: 'ada', sessionUid: 'session', offline: false };
  const token = `token-${count}`;
  const begin = () =>
    refresh.begin(
      { ...family, expiresAt: inSeconds(3000) },
      { tokenId: token, payload: {}, issuedAt: stores.now(), expiresAt: inSeconds(600) },
    );
  const presented = { tokenId: token, familyId: id, generation: 0, expiresAt: inSeconds(600) };
  return { id, token: presented, begin };
}
type Presented = ReturnType<typeof newFamily>['token'];
const stateOf = async (token: Presented) => (await refresh.read(token))?.state;
const next = ({ tokenId, ...rest }: Presented) => ({
  ...rest,
  tokenId: refresh.successorOf(tokenId),
  generation: rest.generation + 1,
});
const rotate = (token: Presented, later = 600) =>
  refresh.rotate(token, { issuedAt: stores.now(), expiresAt: inSeconds(later) });

test('of parallel rotations one is stored; the successor is the same for all', async () => {
  const { token, begin } = newFamily();
  expect(await begin()).toBe(true);
  const wins = await Promise.all(Array.from({ length: 20 }, (_, index) => rotate(token, 600 + index)));
  expect(wins.filter(Boolean)).toEqual([true]);
  expect(await stateOf(token)).toBe('retry');
  expect(await stateOf(next(token))).toBe('live');
});

test('what is idle for too long, or of an ended family, does not rotate', async () => {
  const [idle, ended] = [newFamily(), newFamily()];
  await Promise.all([idle.begin(), ended.begin()]);
  await revocations.endFamily(ended.id, 'revoked');
  expect(await rotate(ended.token)).toBe(false);
  stores.pass(600);
  expect(await stateOf(idle.token)).toBe('expired');
  expect(await rotate(idle.token)).toBe(false);
});

test('a family that was ended before it began does not begin', async () => {
  const { id, token, begin } = newFamily();
  await revocations.endFamily(id, 'revoked');
  expect(await begin()).toBe(false);
  expect(await stateOf(token)).toBeUndefined();
});

test('begin and end at the same instant: the family is over either way', async () => {
  for (let round = 0; round < 30; round++) {
    const { id, token, begin } = newFamily();
    const [begun] = await Promise.all([begin(), revocations.endFamily(id, 'revoked')]);
    expect(await stateOf(token)).toBe(begun ? 'ended' : undefined);
    expect(await revocations.anyRevoked([`family:${id}`])).toBe(true);
  }
});

test('the end of a grant is the end of its families, and of no other’s', async () => {
  const [one, two, other] = [newFamily('grant 1'), newFamily('grant 1'), newFamily('grant 2')];
  await Promise.all([one.begin(), two.begin(), other.begin()]);
  await revocations.endGrant('grant 1', 'signed_out');
  expect([await stateOf(one.token), await stateOf(two.token)]).toEqual(['ended', 'ended']);
  expect(await stateOf(other.token)).toBe('live');
  const revoked = (grant: string) => revocations.anyRevoked(revocations.subjectsOf({ jti: 'x', grant }));
  expect([await revoked('grant 1'), await revoked('grant 2')]).toEqual([true, false]);
});

test('a revocation is kept as long as there is a token that it stops', async () => {
  await revocations.endToken('one');
  stores.pass(lifeSeconds.revocation - 1);
  expect(await revocations.anyRevoked(['jti:one'])).toBe(true);
  stores.pass(1);
  expect(await revocations.anyRevoked(['jti:one'])).toBe(false);
});

test('looks that come while a query is under way share the next one, which begins after them; one that hangs holds up none', async () => {
  const { database, now } = stores;
  let queries = 0;
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const query: typeof database.query = async (text, values) => {
    queries += 1;
    const isFirst = queries === 1;
    const rows = await database.query(text, values);
    if (isFirst) await held;
    return rows as never;
  };
  const looking = createRevocations({ ...database, query }, now);
  const before = looking.anyRevoked(['jti:late']);
  await expect.poll(() => queries).toBe(1);
  await revocations.endToken('late');
  const after = Array.from({ length: 50 }, () => looking.anyRevoked(['jti:late']));
  expect(new Set(await Promise.all(after))).toEqual(new Set([true]));
  expect(queries).toBe(2);
  const more = Array.from({ length: 50 }, () => looking.anyRevoked(['jti:late']));
  release();
  await Promise.all(more);
  expect(await before).toBe(false);
  expect(queries).toBe(3);
});

test('a family granted for a session waits for a sign-out under way, and does not begin after it', async () => {
  const sessions = createSessionStore(stores);
  await sessions.save({ jti: 'an id', uid: 'ending' }, 600, {});
  const begin = (offline: boolean) =>
    refresh.begin(
      {
        id: `ending-${offline}`,
        grantId: 'a grant',
        clientId: 'web',
        accountId: 'ada',
        sessionUid: 'ending',
        offline,
        expiresAt: inSeconds(3000),
      },
      {
        tokenId: `token-ending-${offline}`,
        payload: {},
        issuedAt: stores.now(),
        expiresAt: inSeconds(600),
      },
    );
  let beginning: Promise<boolean> | undefined;
  await stores.database.transaction(async (query) => {
    await query("update sessions set ended_at = now() where uid = 'ending'");
    beginning = begin(false);
    await new Promise((resolve) => setTimeout(resolve, 100));
  });
  expect(await beginning).toBe(false);
  expect(await begin(true)).toBe(true);
});

test('the payload of a token is what it was when its family began, and its row holds each part of it once', async () => {
  const same = { sid: 'a sid', gty: 'authorization_code', iiat: 1, scope: 'openid' };
  const whose = { grantId: 'a grant of payload', clientId: 'web', accountId: 'ada' };
  for (const [id, session, ended] of [
    ['of a session', { sessionUid: 'a session' }, { expiresWithSession: true }],
    ['of nobody’s session', {}, {}],
  ] as const) {
    const payload = { ...whose, ...session, ...ended, ...same };
    await refresh.begin(
      {
        ...{ id, ...whose, sessionUid: undefined, ...session },
        ...{ offline: !('expiresWithSession' in ended), expiresAt: inSeconds(3000) },
      },
      { tokenId: id, payload, issuedAt: stores.now(), expiresAt: inSeconds(600) },
    );
    const token = { tokenId: id, familyId: id, generation: 0, expiresAt: inSeconds(600) };
    expect((await refresh.read(token))?.payload).toEqual(payload);
    const [row] = await stores.database.query('select payload from refresh_families where id = $1', [id]);
    expect(row).toEqual({ payload: same });
  }
});
