/** What an instance keeps of the database's clients, and when it may not: against a real PostgreSQL's notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type ClientRegistry, createClientRegistry } from '../../src/clients/registry.ts';
import { createClientSecrets } from '../../src/clients/secrets.ts';
import { type ClientStore, createClientStore } from '../../src/clients/store.ts';
import { clientSchema } from '../../src/config/client_schema.ts';
import { createSealer } from '../../src/lib/crypto.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
let store: ClientStore;
let registry: ClientRegistry;
let reads = 0;
beforeAll(async () => {
  stores = await openStores();
  store = createClientStore(stores.database, stores.now);
  const secrets = createClientSecrets(Buffer.alloc(32, 1), createSealer(Buffer.alloc(32, 2)));
  const counting = {
    ...store,
    byId(id: string) {
      reads++;
      return store.byId(id);
    },
  };
  registry = createClientRegistry({ database: stores.database, store: counting, secrets });
  await listening();
});
beforeEach(() => {
  reads = 0;
});
afterAll(() => stores.close());

const metadata = (client_id: string, client_name: string) =>
  clientSchema.parse({ client_id, client_name, grant_types: [] });
const nameOf = async (id: string) => (await registry.byId(id))?.metadata.client_name;

/** Resolves once what was read is kept: a second look is no query. */
async function listening(): Promise<void> {
  for (;;) {
    const before = reads;
    await registry.byId('nobody');
    await registry.byId('nobody');
    if (reads <= before + 1) return;
    await sleep(20);
  }
}

/** Waits for what must happen within a second. */
async function soon(look: () => Promise<unknown>, expected: unknown): Promise<void> {
  for (let waited = 0; waited < 1000 && (await look()) !== expected; waited += 10) await sleep(10);
  expect(await look()).toBe(expected);
}

test('a thousand looks at a client are one query, and at nobody too', async () => {
  await store.add({ source: 'command', metadata: metadata('kept', 'Kept') });
  await sleep(50);
  await Promise.all(Array.from({ length: 500 }, () => registry.byId('kept')));
  for (let n = 0; n < 500; n++) await registry.byId('kept');
  for (let n = 0; n < 500; n++) await registry.byId('made up');
  expect(reads).toBe(2);
});

test('a change, a removal and a new client are seen at once, whoever made them', async () => {
  await store.add({ source: 'command', metadata: metadata('changing', 'Before') });
  await soon(() => nameOf('changing'), 'Before');
  await store.change(metadata('changing', 'After'));
  await soon(() => nameOf('changing'), 'After');
  await stores.database.query("delete from clients where id = 'changing'");
  await soon(() => nameOf('changing'), undefined);
  await store.add({ source: 'command', metadata: metadata('changing', 'Again') });
  await soon(() => nameOf('changing'), 'Again');
});

test('nothing that was kept is used while notices may be missed', async () => {
  await store.add({ source: 'command', metadata: metadata('cut', 'Before') });
  await soon(() => nameOf('cut'), 'Before');
  await stores.database.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cypher changes' and datname = current_database()",
  );
  await sleep(50);
  await store.change(metadata('cut', 'After'));
  expect(await nameOf('cut')).toBe('After');
  reads = 0;
  await listening();
  expect(await nameOf('cut')).toBe('After');
});

test('an id that can be none is no query', async () => {
  for (const id of ['', 'a\0b', 'ä', 'x'.repeat(256)]) expect(await registry.byId(id)).toBeUndefined();
  expect(reads).toBe(0);
});
