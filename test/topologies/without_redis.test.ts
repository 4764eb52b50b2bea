/** Several instances without Redis: PostgreSQL alone holds what they must share. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Instances, passedOf, startInstances } from './instances.ts';

const limit = 20;
let instances: Instances;
beforeAll(async () => {
  instances = await startInstances(limit, undefined);
});
afterAll(() => instances.close());

test('people sign up and sign in though each of their requests reaches another instance, and health says that there is no cache', async () => {
  await Promise.all(['ada', 'bob', 'carol'].map(instances.signIn));
  for (const { url } of instances.both) {
    const { status, body } = await request(url).get('/health/ready');
    expect([status, body.status, body.cache]).toEqual([200, 'ok', 'none']);
  }
});

test('a limit is counted once over all instances: of three times as many requests exactly the limit passes', async () => {
  const addresses = ['203.0.113.1', '203.0.113.2'];
  const passed = await Promise.all(addresses.map((address) => passedOf(instances, address, 3 * limit)));
  expect(passed).toEqual([limit, limit]);
});
