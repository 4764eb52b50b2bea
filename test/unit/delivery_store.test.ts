/** Deliveries in PostgreSQL: whoever takes one has it alone until its next attempt, and holds up nobody. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDeliveryStore } from '../../src/deliveries/store.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores.close());

const nothing = { accounts: new Map<string, number>(), clients: new Map<string, number>() };

test('of any number of instances that look at once each delivery is taken by one, and again when its time has come', async () => {
  const store = createDeliveryStore(stores.database, stores.now);
  const about = Array.from({ length: 60 }, (_, index) => `request ${index}`);
  for (const each of about) {
    await store.hold({ clientId: 'till', accountId: 'ada', about: each, sealed: Buffer.from('sealed') });
    await store.release(stores.database.query, each);
  }
  const takeAll = async () => {
    const taken = await Promise.all(Array.from({ length: 12 }, () => store.take(10, 60, nothing)));
    return taken.flat().map(({ sid }) => sid);
  };
  const first = await takeAll();
  expect(new Set(first).size).toBe(first.length);
  expect((await takeAll()).filter((sid) => first.includes(sid))).toEqual([]);
  stores.pass(11);
  // Those that look at the same instant may choose the same ones: one of them takes these, the others go without.
  const again: (string | undefined)[] = [];
  await expect.poll(async () => again.push(...(await takeAll()))).toBe(60);
  expect(new Set(again).size).toBe(60);
});

test('Load: the due messages of one account or one app, however many, leave the others their share', async () => {
  const store = createDeliveryStore(stores.database, stores.now);
  const hold = async (clientId: string, accountId: string, about: string) => {
    await store.hold({ clientId, accountId, about, sealed: Buffer.from('sealed') });
    await store.release(stores.database.query, about);
  };
  stores.pass(86_400);
  await stores.database.query('delete from deliveries');
  for (let n = 0; n < 30; n++) await hold(`app ${n}`, 'mallory', `of mallory ${n}`);
  for (let n = 0; n < 30; n++) await hold('slow app', `person ${n}`, `at slow app ${n}`);
  stores.pass(1);
  await hold('web', 'ada', 'of ada');
  const first = await store.take(21, 10, nothing);
  const ofMallory = first.filter(({ accountId }) => accountId === 'mallory').length;
  const atSlowApp = first.filter(({ clientId }) => clientId === 'slow app').length;
  expect([first.length, ofMallory, atSlowApp]).toEqual([21, 10, 10]);
  expect(first.map(({ sid }) => sid)).toContain('of ada');
  await hold('web', 'bob', 'of bob');
  const full = { accounts: new Map([['mallory', 10]]), clients: new Map([['slow app', 8]]) };
  const second = await store.take(50, 10, full);
  expect(second.map(({ sid }) => sid).sort()).toEqual([
    expect.stringMatching(/slow/),
    expect.stringMatching(/slow/),
    'of bob',
  ]);
});
