/**
 * Row "Faults": migration with old and new version running. A database as the first release fills it, brought up to date:
 * its accounts sign in, its apps refresh, and an account that the first release still adds then signs in too. Its statements
 * name the columns that the first release has, and stay as they are when later migrations add others.
 */
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRegistration } from '../../src/browser/opaque_client.ts';
import { createSealer, sha256 } from '../../src/lib/crypto.ts';
import { createOpaque, generateOpaqueKeys, type Opaque } from '../../src/opaque/opaque.ts';
import { keyKinds } from '../../src/server_keys.ts';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { createKeyset, type TokenKind } from '../../src/tokens/keys.ts';
import { createTokens } from '../../src/tokens/tokens.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase, generousTimeouts } from '../support/databases.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';
import { begin } from '../support/visits.ts';

const { web } = apps;
const migrationsOfFirstRelease = 7;
const issuer = 'http://localhost:1';
const password = 'correct horse battery staple';
const totpSecret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
const tokenKinds: TokenKind[] = ['step', 'session', 'access', 'refresh', 'public'];
const { seal, kekId } = createSealer(kek);
let database: Database;
let drop: () => Promise<void>;
let opaque: Opaque;
let server: TestServer;
let refreshToken: string;
let keysBefore: object[];

beforeAll(async () => {
  const created = await createDatabase();
  drop = created.drop;
  const first = await mkdtemp(join(tmpdir(), 'cypher-first-release-'));
  const migrations = new URL('../../migrations', import.meta.url).pathname;
  for (const file of (await readdir(migrations)).sort().slice(0, migrationsOfFirstRelease))
    await copyFile(join(migrations, file), join(first, file));
  await migrate(created.url, first);
  await rm(first, { recursive: true });
  database = openDatabase(created.url, { onIdleError: () => {}, timeouts: generousTimeouts });

  const keys = await generateOpaqueKeys();
  await addKey('opaque', Buffer.concat([keys.seed, keys.privateKey, keys.publicKey]));
  opaque = await createOpaque({
    versions: [{ id: 'the only one', keys }],
    fakeKeys: keys,
    unknownNameKey: Buffer.alloc(32),
  });
  const tokenKeys = tokenKinds.map((kind) => ({
    kind,
    bytes: Buffer.alloc(32, kind),
    state: 'signing' as const,
  }));
  for (const { kind, bytes } of tokenKeys) await addKey(`token ${kind}`, bytes);
  for (const kind of ['secret', 'jwk RS256', 'jwk ES256']) {
    await addKey(kind, (await keyKinds[kind]?.generate()) ?? Buffer.alloc(0));
  }
  await addAccount('ada');
  refreshToken = await addRefreshToken('ada', createKeyset(tokenKeys));
  keysBefore = await database.query('select id, sealed from keys order by id');

  const storage = { databaseUrl: created.url, redisUrl: await createRedisDatabase() };
  server = await startServer({ clients: [web, apps.api, apps.intranet], storage, issuer });
});
afterAll(async () => {
  await server.close();
  await database.close();
  await drop();
});

async function addKey(kind: string, bytes: Uint8Array): Promise<void> {
  const id = `first ${kind}`;
  await database.query(
    `insert into keys (id, kind, state, sealed, kek_id, created_at) values ($1, $2, 'signing', $3, $4, now())`,
    [id, kind, seal(bytes, `keys ${id} ${kind}`), kekId],
  );
}

async function addAccount(name: string): Promise<void> {
  const registration = await startRegistration(password, IdentityMemHardFn);
  const { response } = await opaque.registerInit(registration.request, `credential of ${name}`);
  const { bytes, suite, stretching } = opaque.registerFinish(await registration.finish(response));
  const sealed = seal(Buffer.from(totpSecret), `accounts ${name} totp_secret`);
  await database.query(
    `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite, opaque_stretching,
       opaque_key_id, totp_secret, totp_kek_id, created_at) values ($1, $1, $1, $2, $3, $4, $5, 'first opaque', $6, $7, now())`,
    [name, `credential of ${name}`, Buffer.from(bytes), suite, JSON.stringify(stretching), sealed, kekId],
  );
}

async function addRefreshToken(accountId: string, keyset: ReturnType<typeof createKeyset>): Promise<string> {
  const iat = Math.floor(Date.now() / 1000);
  const exp = iat + 86_400;
  const expires = new Date(exp * 1000);
  const whose = { accountId, clientId: web.client_id };
  const grant = { ...whose, iat, exp, kind: 'Grant', openid: { scope: 'openid offline_access' } };
  const stored = { ...whose, iat, iiat: iat, exp, kind: 'RefreshToken', grantId: 'a grant' };
  const payload = { ...stored, gty: 'authorization_code', scope: 'openid offline_access', authTime: iat };
  await database.query(
    `insert into records (model, id_hash, payload, account_id, expires_at) values ('Grant', $1, $2, $3, $4)`,
    [sha256('a grant'), JSON.stringify(grant), accountId, expires],
  );
  await database.query(
    `insert into refresh_families (id, grant_id, client_id, account_id, offline, created_at, expires_at)
     values ('a family', 'a grant', $1, $2, true, now(), $3)`,
    [web.client_id, accountId, expires],
  );
  await database.query(
    `insert into refresh_tokens (token_hash, family_id, payload, created_at, expires_at)
     values ($1, 'a family', $2, now(), $3)`,
    [sha256('a token id'), JSON.stringify(payload), expires],
  );
  return createTokens({ issuer, keyset, now: Date.now }).seal(
    'refresh',
    {
      sub: accountId,
      client_id: web.client_id,
      grant: 'a grant',
      token_id: 'a token id',
      family: 'a family',
    },
    { issuedAt: iat, expiresAt: exp },
  );
}

function person(name: string): Person {
  return Object.assign(createPerson(server, name, password), { totpSecret });
}

test('Migration: an account of the first release signs in, with both factors', async () => {
  const ada = person('ada');
  await expect(ada.signIn(await begin(ada))).resolves.toBeDefined();
  const wrong = createPerson(server, 'ada', 'not the password');
  expect((await wrong.loginInit(await begin(wrong))).ke3).toBeUndefined();
});

test('Migration: a refresh token of the first release works, and its keys are kept', async () => {
  const refreshed = await asApp(server, web, { grant_type: 'refresh_token', refresh_token: refreshToken });
  expect(refreshed.status).toBe(200);
  const { body } = await asApp(server, web, { token: refreshed.body.access_token }, '/token/introspection');
  expect(body).toMatchObject({ active: true, sub: 'ada' });
  const ids = keysBefore.map((row) => (row as { id: string }).id);
  const keysNow = await database.query('select id, sealed from keys where id = any($1) order by id', [ids]);
  expect(keysNow).toEqual(keysBefore);
});

test('Migration: an account that the first release adds while both run signs in', async () => {
  await addAccount('bob');
  const bob = person('bob');
  await expect(bob.signIn(await begin(bob))).resolves.toBeDefined();
});
