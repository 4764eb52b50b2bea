/** A key of the wrong type or length at boot, or the wrong key for the keys: the server does not start, and says why. */
import { createECDH, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/crypto.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { startProcess } from '../support/provider_process.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let storage: { databaseUrl: string; redisUrl: string };
let drop: () => Promise<void>;
let intact: StoredKey[];
beforeAll(async () => {
  const created = await createDatabase();
  drop = created.drop;
  storage = { databaseUrl: created.url, redisUrl: await createRedisDatabase() };
  server = await startServer({ storage });
  intact = await server.database.query<StoredKey>('select id, kind, sealed from keys');
});
afterEach(async () => {
  for (const { id, sealed } of intact)
    await server.database.query('update keys set sealed = $2, kek_id = $3 where id = $1', [
      id,
      sealed,
      kekId,
    ]);
});
afterAll(async () => {
  await server.close();
  await drop();
});

interface StoredKey {
  id: string;
  kind: string;
  sealed: Buffer;
}
const { seal, unseal, kekId } = createSealer(kek);

/** Puts these bytes in a key's place, sealed as the server seals them. */
async function replace(kind: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  const { id = '', sealed = Buffer.alloc(0) } = intact.find((key) => key.kind === kind) ?? {};
  const identity = `keys ${id} ${kind}`;
  await server.database.query('update keys set sealed = $2 where id = $1', [
    id,
    seal(change(unseal(sealed, identity)), identity),
  ]);
}
const startAgain = () => startServer({ beside: server }).then(({ close }) => close());

const pkcs8 = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'der' });
const rsa = (modulusLength: number) => () => pkcs8(generateKeyPairSync('rsa', { modulusLength }).privateKey);
const ec = (namedCurve: string) => () => pkcs8(generateKeyPairSync('ec', { namedCurve }).privateKey);
const ed25519 = () => pkcs8(generateKeyPairSync('ed25519').privateKey);
const shorter = (bytes: Buffer) => bytes.subarray(0, -1);
const longer = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]);
const anotherPublicKey = (bytes: Buffer) => {
  const pair = createECDH('prime256v1');
  pair.generateKeys();
  return Buffer.concat([bytes.subarray(0, 64), pair.getPublicKey(null, 'compressed')]);
};

const wrong: [kind: string, what: string, change: (bytes: Buffer) => Buffer][] = [
  ...'secret,token step,token session,token access,token refresh,token public,cookies,devices'
    .split(',')
    .flatMap((kind): typeof wrong => [
      [kind, 'a byte too short', shorter],
      [kind, 'a byte too long', longer],
      [kind, 'a private key for ID tokens', ec('P-256')],
    ]),
  ['jwk RS256', 'an EC key', ec('P-256')],
  ['jwk RS256', 'RSA with 1024 bits', rsa(1024)],
  ['jwk RS256', 'random bytes', () => randomBytes(32)],
  ['jwk PS256', 'an EC key', ec('P-256')],
  ['jwk PS256', 'RSA with 1024 bits', rsa(1024)],
  ['jwk EdDSA', 'an EC key', ec('P-256')],
  ['jwk EdDSA', 'X25519', () => pkcs8(generateKeyPairSync('x25519').privateKey)],
  ['jwk ES256', 'an RSA key', rsa(2048)],
  ['jwk ES256', 'another curve', ec('P-384')],
  ['jwk ES256', 'Ed25519', ed25519],
  ['opaque', 'a byte too short', shorter],
  ['opaque', 'a byte too long', longer],
  ['opaque', 'a public key of another pair', anotherPublicKey],
  ['opaque', 'a token key', () => randomBytes(32)],
  ['opaque fake', 'a public key of another pair', anotherPublicKey],
];

test.each(wrong)(
  'a key of the wrong type or length at boot → no start: %s, %s',
  async (kind, _what, change) => {
    await startAgain();
    await replace(kind, change);
    await expect(startAgain()).rejects.toThrow(kind);
  },
);

test('a key that was sealed for another row, or damaged → no start', async () => {
  const of = (kind: string) => intact.find((key) => key.kind === kind);
  await server.database.query('update keys set sealed = $2 where id = $1', [
    of('token access')?.id,
    of('token refresh')?.sealed,
  ]);
  await expect(startAgain()).rejects.toThrow();
});

test('the process ends with 1 for a wrong key, with 78 and a clear sentence for a wrong KEY_ENCRYPTION_KEY', async () => {
  const settings = { DATABASE_URL: storage.databaseUrl, REDIS_URL: storage.redisUrl };
  const wrongKek = await startProcess({
    ...settings,
    KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64url'),
  });
  expect(await wrongKek.ended).toBe(78);
  expect(wrongKek.output().trim()).toMatch(/^KEY_ENCRYPTION_KEY is not the one [^\n]*$/);

  const shortKek = await startProcess({
    ...settings,
    KEY_ENCRYPTION_KEY: randomBytes(31).toString('base64url'),
  });
  expect(await shortKek.ended).toBe(78);
  expect(shortKek.output()).toMatch(/KEY_ENCRYPTION_KEY must be 32 random bytes/);

  await replace('token access', shorter);
  const wrongKey = await startProcess(settings);
  expect(await wrongKey.ended).toBe(1);
  expect(wrongKey.output()).toContain('token access');
});
