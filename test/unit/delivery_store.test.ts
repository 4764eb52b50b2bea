/** Deliveries in PostgreSQL: whoever takes one has it alone until its next attempt, and holds up nobody. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDeliveryStore } from '../../src/deliveries/store.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores.close());

test('of any number of instances that look at once each delivery is taken by one, and again when its time has come', async () => {
  const store = createDeliveryStore(stores.database, stores.now);
  const about = Array.from({ length: 60 }, (_, index) => `request ${index}`);
  for (const each of about) {
    await store.hold({ clientId: 'till', accountId: 'ada', about: each, sealed: Buffer.from('sealed') });
    await store.release(stores.database.query, each);
  }
  const takeAll = async () => {
    const taken = await Promise.all(Array.from({ length: 12 }, () => store.take(10)));
    return taken.flat().map(({ sid }) => sid);
  };
  const first = await takeAll();
  expect(new Set(first).size).toBe(first.length);
  expect((await takeAll()).filter((sid) => first.includes(sid))).toEqual([]);
  stores.pass(11);
  expect((await takeAll()).length).toBe(60);
});
