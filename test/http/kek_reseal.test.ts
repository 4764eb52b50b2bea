/** Row "Keys, leaks, logs": the key-encryption key is replaced while logins run; nothing is read with the old one after. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/crypto.ts';
import { apps } from '../support/apps.ts';
import { cypher } from '../support/cypher.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { createPerson, type Person } from '../support/person.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';
import { begin, signUp, visit } from '../support/visits.ts';

const newKek = Buffer.alloc(32, 9);
const both = { kek: newKek, previousKek: kek };
const settings = {
  KEY_ENCRYPTION_KEY: newKek.toString('base64url'),
  KEY_ENCRYPTION_KEY_PREVIOUS: kek.toString('base64url'),
};
const clients = Object.values(apps);
let storage: { databaseUrl: string; redisUrl: string };
let drop: () => Promise<void>;
let server: TestServer;
beforeAll(async () => {
  const created = await createDatabase();
  drop = created.drop;
  storage = { databaseUrl: created.url, redisUrl: await createRedisDatabase() };
  server = await startServer({ clients, storage });
});
afterAll(async () => {
  await server.close();
  await drop();
});

const sealedUnder = async (kekId: string): Promise<number> => {
  const rows = await server.database.query(
    `select from keys where kek_id = $1
     union all select from accounts where totp_secret is not null and totp_kek_id = $1`,
    [kekId],
  );
  return rows.length;
};

/** Accounts whose secrets are sealed as the server seals them. */
async function addAccounts(count: number): Promise<void> {
  const { seal, kekId } = createSealer(kek);
  const ids = Array.from({ length: count }, (_, index) => `account-${String(index).padStart(4, '0')}`);
  await server.database.query(
    `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite, opaque_stretching,
       opaque_key_id, totp_secret, totp_kek_id, created_at)
     select n.id, n.id, n.id, n.id, '', '', '{}', '', n.sealed, $3, now() from unnest($1::text[], $2::bytea[]) as n (id, sealed)`,
    [ids, ids.map((id) => seal(Buffer.from('JBSWY3DPEHPK3PXP'), `accounts ${id} totp_secret`)), kekId],
  );
}

/** With both factors, in a browser of their own. Rejects where a step is refused. */
async function signsIn(at: TestServer, person: Person): Promise<void> {
  const { person: elsewhere, uid } = await visit(at, person.username, person);
  await elsewhere.signIn(uid);
}

/** The server stops, and starts on the same storage with these key-encryption keys. */
async function restart(keks: { kek: Buffer; previousKek?: Buffer }): Promise<void> {
  await server.close();
  server = await startServer({ clients, beside: server, keks });
}

test('KEK rotation: rows are sealed again while logins run, twice at once, and again without harm', async () => {
  const ada = await signUp(server, 'ada');
  await addAccounts(400);
  await restart(both);
  const { kekId: oldId } = createSealer(kek);
  expect(await sealedUnder(oldId)).toBeGreaterThan(400);

  let running = true;
  const logins = (async () => {
    let count = 0;
    for (; running; count += 1) await signsIn(server, ada);
    return count;
  })();
  const outputs = await Promise.all([1, 2].map(() => cypher(storage, ['key', 'reseal'], settings)));
  running = false;
  expect(await logins).toBeGreaterThan(0);
  const counts = outputs.map((output) => Number(/accounts: (\d+) sealed again/.exec(output)?.[1]));
  expect((counts[0] ?? 0) + (counts[1] ?? 0)).toBe(401);
  expect(await sealedUnder(oldId)).toBe(0);
  expect(await cypher(storage, ['key', 'reseal'], settings)).toMatch(/accounts: 0 .*\n.*\nkeys: 0 /);

  const bob = createPerson(server, 'bob');
  await bob.signUp(await begin(bob));
  await restart({ kek: newKek });
  for (const person of [ada, bob]) await signsIn(server, person);
  await expect(startServer({ clients, storage })).rejects.toThrow('KEY_ENCRYPTION_KEY is not the one');
});
