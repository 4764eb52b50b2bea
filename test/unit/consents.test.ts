/** What is remembered of people's consents, where an earlier client with the same id left some behind. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createConsents } from '../../src/consents/consents.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores.close());

const given = (...scopes: string[]) => [{ audience: '', scopes, claims: [] }];

test('a consent for a removed client counts for nothing, and the one for its successor is remembered', async () => {
  const { database, now } = stores;
  const consents = createConsents(database, now);
  await database.query(
    `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite, opaque_stretching, opaque_key_id,
       created_at) values ('ada', 'ada', 'ada', 'c', '\\x', 's', '{}', 'k', now())`,
  );
  await consents.remember('ada', 'app', given('openid', 'everything'));
  stores.pass(60);
  await database.query(
    `insert into clients (id, source, metadata, created_at, changed_at) values ('app', 'command', '{}', $1, $1)`,
    [new Date(now())],
  );
  expect(await consents.of('ada', 'app')).toEqual([]);
  await consents.remember('ada', 'app', given('openid'));
  expect(await consents.of('ada', 'app')).toMatchObject(given('openid'));
  await consents.remember('ada', 'app', given('profile'));
  const [both] = await consents.of('ada', 'app');
  expect(both?.scopes.sort()).toEqual(['openid', 'profile']);
});
