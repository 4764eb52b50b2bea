/** Records that are used up, and failures that are counted: each by one atomic statement. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Account } from '../../src/accounts/accounts.ts';
import type { Browser } from '../../src/authentication/buckets.ts';
import { createCodeAttempt } from '../../src/authentication/code_attempt.ts';
import { type Bucket, createFailures } from '../../src/authentication/failures.ts';
import { createRecordStore } from '../../src/oidc/library/record_store.ts';
import { createRefreshStore } from '../../src/refresh/store.ts';
import type { Query } from '../../src/storage/database.ts';
import { atOnce, type Instance, onEveryBackend } from './backends.ts';

const hand = 'the key of the one who used it';

onEveryBackend('records', (backend) => {
  const open = ({ database }: Instance) => createRecordStore(database, backend().now);
  const code = (id: string, ttlSeconds: number, grantId = 'g') => ({
    model: 'AuthorizationCode',
    id,
    payload: { grantId, exp: Math.floor(backend().now() / 1000) + ttlSeconds },
    ttlSeconds,
  });

  test('of forty that use a code up at once one succeeds, and both instances know', async () => {
    const [here, there] = backend().instances;
    await open(here).save(code('a code', 60));
    const used = await atOnce(backend().instances, (on) =>
      open(on).using('AuthorizationCode', 'a code', hand).run(),
    );
    expect(used.filter(Boolean)).toEqual([true]);
    // At the same instant it is a repetition; later on it is known for a replay.
    backend().pass(1);
    expect((await open(there).byId('AuthorizationCode', 'a code'))?.consumed).toEqual(expect.any(Number));
  });

  test('of forty that answer a device’s code at once one is the first, and the others are told so', async () => {
    const [here] = backend().instances;
    for (let count = 0; count < 25; count++) {
      const device = { model: 'DeviceCode', id: `device code ${count}` };
      const asked = { userCode: `user code ${count}` };
      await open(here).save({ ...device, payload: asked, ttlSeconds: 60 });
      const answered = { ...asked, inFlight: true };
      let seconds = 60;
      const saved = await atOnce(backend().instances, (on) =>
        open(on).save({ ...device, payload: answered, ttlSeconds: seconds++, unless: ['inFlight'] }),
      );
      expect(saved.filter(Boolean)).toEqual([true]);
    }
  });

  test('of forty that begin a family with a code one does; where that fails the code is as it was', async () => {
    const [here, there] = backend().instances;
    const refreshOn = ({ database }: Instance) =>
      createRefreshStore(database, {
        successorKey: Buffer.alloc(32, 1),
        leewayMs: 10_000,
        now: backend().now,
        instance: 'here',
      });
    const inAMinute = backend().now() + 60_000;
    const family = { grantId: 'g', clientId: 'web', accountId: 'ada', sessionUid: undefined, offline: true };
    const begin = (on: Instance, id: string, token: string) =>
      refreshOn(on).begin(
        { ...family, id, expiresAt: inAMinute },
        {
          tokenId: token,
          payload: {},
          issuedAt: backend().now(),
          expiresAt: inAMinute,
          using: open(on).using('AuthorizationCode', 'f', hand).statement,
        },
      );
    await open(here).save(code('f', 60));
    await here.database.query("alter table refresh_families add constraint failing check (id <> 'failed')");
    await expect(begin(here, 'failed', 'first')).rejects.toThrow('failing');
    let count = 0;
    const begun = await atOnce(backend().instances, (on) => {
      count += 1;
      return begin(on, `of-${count}`, `first-${count}`);
    });
    expect(begun.filter(Boolean)).toEqual([true]);
    const rows = await there.database.query("select from refresh_families where id like 'of-%'");
    expect(rows).toHaveLength(1);
    expect(await open(there).using('AuthorizationCode', 'f', hand).run()).toBe(false);
  });

  test.each([
    ['DeviceCode', 30],
    ['BackchannelAuthenticationRequest', 30],
    ['AuthorizationCode', 0.5],
  ])('a %s that is presented again passes for a repetition for %d seconds', async (model, seconds) => {
    const [here, there] = backend().instances;
    await open(here).save({ model, id: 'r', payload: { grantId: 'g' }, ttlSeconds: 600 });
    expect(await open(there).using(model, 'r', hand).whyNot()).toBe('gone');
    await open(here).using(model, 'r', hand).run();
    backend().pass(seconds - 0.2);
    expect(await open(there).using(model, 'r', hand).whyNot()).toBe('repetition');
    for (const another of ['another key', undefined])
      expect(await open(there).using(model, 'r', another).whyNot()).toBe('replay');
    expect(await open(there).byId(model, 'r')).not.toHaveProperty('consumed');
    backend().pass(0.2);
    expect(await open(there).using(model, 'r', hand).whyNot()).toBe('replay');
    expect(await open(there).byId(model, 'r')).toHaveProperty('consumed');
    // For as long as the tokens that came of it, however short its own life was.
    backend().pass(600);
    expect(await open(there).byId(model, 'r')).toMatchObject({ used: true });
    await open(here).remove(model, 'r');
    expect(await open(there).using(model, 'r', hand).whyNot()).toBe('gone');
  });

  test('saving it once more does not make it unused', async () => {
    const [here, there] = backend().instances;
    await open(here).save(code('b', 60));
    await open(here).using('AuthorizationCode', 'b', hand).run();
    await open(there).save(code('b', 60));
    expect(await open(there).using('AuthorizationCode', 'b', hand).run()).toBe(false);
  });

  test('a record goes with its grant, by its removal, and with time', async () => {
    const [here, there] = backend().instances;
    for (const id of ['c', 'd', 'e']) await open(here).save(code(id, id === 'e' ? 60 : 600, id));
    const device = { model: 'DeviceCode', id: 'f', payload: {}, ttlSeconds: 60 };
    await open(here).save(device);
    await open(there).removeOfGrant('AuthorizationCode', 'c');
    await open(there).remove('AuthorizationCode', 'd');
    expect(await open(there).byId('DeviceCode', 'f')).toBeDefined();
    backend().pass(61);
    for (const id of ['c', 'd', 'e']) expect(await open(here).byId('AuthorizationCode', id)).toBeUndefined();
    expect(await open(here).byId('DeviceCode', 'f')).toBeUndefined();
  });
});

onEveryBackend('failures', (backend) => {
  const limit = 5;
  const open = ({ database }: Instance) => createFailures(database, backend().now);
  const bucket = (name: string, free = limit): Bucket => ({
    id: createHash('sha256').update(name).digest(),
    free,
    firstDelaySeconds: 30,
    longestDelaySeconds: 900,
    forgottenAt: backend().now() + 86_400_000,
  });

  test('of forty attempts at once only as many as the limit are let through, and those that are refused count nowhere', async () => {
    const [narrow, wide] = [bucket('a name'), bucket('all names', 1000)];
    const attempts = await atOnce(backend().instances, (on) =>
      open(on)
        .charge([wide, narrow])
        .then(
          () => 'let through',
          (error) => error.code,
        ),
    );
    expect(attempts.filter((attempt) => attempt === 'let through')).toHaveLength(limit);
    expect(attempts.filter((attempt) => attempt === 'too_many_requests')).toHaveLength(40 - limit);
    const [{ database }] = backend().instances;
    const counted = await database.query<{ failures: number }>(
      'select failures from login_failures where bucket = any($1)',
      [[narrow.id, wide.id]],
    );
    expect(counted.map(({ failures }) => failures)).toEqual([limit, limit]);
  });

  test('a bucket that is blocked keeps the others from being charged; its end is the longest wait', async () => {
    const [here] = backend().instances;
    const [free, blocked] = [bucket('nobody’s'), bucket('somebody’s', 1)];
    await open(here).charge([blocked]);
    const refused = await open(here)
      .charge([free, blocked])
      .catch((error) => error);
    expect(refused).toMatchObject({ status: 429, bucket: blocked.id.toString('base64url') });
    expect(refused.retryAfterSeconds).toBeGreaterThan(25);
    const charged = await here.database.query('select from login_failures where bucket = $1', [free.id]);
    expect(charged).toEqual([]);
  });

  test('what is charged by itself waits for no disk; the transaction of a code that is tried still does', async () => {
    const [here] = backend().instances;
    const waits = async (charge: (query: Query) => Promise<unknown>) => {
      const seen: string[] = [];
      await here.database.transaction(async (query) => {
        // The tests' PostgreSQL goes without.
        await query('set local synchronous_commit = on');
        await charge(query);
        const [setting] = await query<{ synchronous_commit: string }>('show synchronous_commit');
        seen.push(setting?.synchronous_commit ?? '');
      });
      return seen;
    };
    const third = [bucket('a third name')];
    expect(await waits((query) => open(here).charge(third, query))).toEqual(['on']);
    const alone = (query: Query) => createFailures({ ...here.database, query }, backend().now);
    expect(await waits((query) => alone(query).charge(third))).toEqual(['off']);
  });

  test('attempts of one name at once wait for each other in one order: none is ended for a deadlock', async () => {
    const [here] = backend().instances;
    const ordered = Array.from({ length: 6 }, (_, index) => bucket(`of many ${index}`, 100_000)).sort(
      (a, b) => b.id.compare(a.id),
    );
    // In the table they lie in the order that is not the one of their ids.
    for (const each of ordered) await open(here).charge([each]);
    for (let round = 0; round < 10; round++) {
      const charged = await atOnce(backend().instances, async (on) => {
        const ids = await open(on).charge(ordered);
        await open(on).refund(ids);
        return ids.length;
      });
      expect(new Set(charged)).toEqual(new Set([ordered.length]));
    }
  });

  test('attempts that hold a bucket run one after the other, and one that was blocked meanwhile is refused', async () => {
    const [here] = backend().instances;
    const held = bucket('held', limit);
    let running = 0;
    const attempts = await atOnce(backend().instances, (on) =>
      on.database
        .transaction(async (query) => {
          await open(on).hold([held], query);
          running += 1;
          expect(running).toBe(1);
          await query('select');
          running -= 1;
          await open(on).charge([held], query);
        })
        .then(
          () => 'checked',
          (error) => error.code,
        ),
    );
    expect(attempts.filter((attempt) => attempt === 'checked')).toHaveLength(limit);
    expect(attempts.filter((attempt) => attempt === 'too_many_requests')).toHaveLength(40 - limit);
    const [counted] = await here.database.query('select failures from login_failures where bucket = $1', [
      held.id,
    ]);
    expect(counted).toEqual({ failures: limit });
  });

  test('holding a bucket writes nothing', async () => {
    const [here] = backend().instances;
    await here.database.transaction((query) => open(here).hold([bucket('held and right')], query));
    const rows = await here.database.query('select from login_failures where bucket = $1', [
      bucket('held and right').id,
    ]);
    expect(rows).toEqual([]);
  });

  test('a wrong code counts for the day, also if wrong passwords block the browser while it is checked', async () => {
    const [here, there] = backend().instances;
    const [own, day] = [bucket('a browser', 1), bucket('the codes of a day', 100)];
    const attempt = createCodeAttempt({
      failures: open(here),
      buckets: { ofCode: () => ({ isKnown: true, own: [own], day, networks: [] }) },
      database: here.database,
    });
    const person = { id: 'ada', usernameKey: 'ada' } as Account;
    const tried = attempt(person, {} as Browser, async () => {
      await open(there).charge([own]);
      return undefined;
    });
    await expect(tried).rejects.toMatchObject({ code: 'invalid_code' });
    const [counted] = await here.database.query('select failures from login_failures where bucket = $1', [
      day.id,
    ]);
    expect(counted).toEqual({ failures: 1 });
  });

  test('a completed login forgets its own on both instances', async () => {
    const [here, there] = backend().instances;
    const own = bucket('another name');
    for (let count = 0; count < limit; count++) await open(here).charge([own]);
    await expect(open(there).charge([own])).rejects.toMatchObject({ status: 429 });
    await here.database.transaction((query) => open(here).forget([own], query));
    await open(there).charge([own]);
  });
});
