/** How often a login start decompresses points: each takes its time, and none may be spared for some names alone. */
import { ECDH } from 'node:crypto';
import {
  getOpaqueConfig,
  IdentityMemHardFn,
  OpaqueClient,
  OpaqueID,
  RegistrationRecord,
} from '@cloudflare/opaque-ts';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { type Credential, createOpaque, generateOpaqueKeys, type Opaque } from '../../src/opaque/opaque.ts';
import { checkPoint, uncompressedPoint, withPoints } from '../../src/opaque/points.ts';
import { toBase64url } from '../../src/opaque/wire.ts';

const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);
let opaque: Opaque;
let credential: Credential;
let ke1: string;
let key: Uint8Array;

beforeAll(async () => {
  await installNativeGroup();
  const [keys, fakeKeys] = await Promise.all([generateOpaqueKeys(), generateOpaqueKeys()]);
  opaque = await createOpaque({
    versions: [{ id: 'version', keys }],
    fakeKeys,
    unknownNameKey: new Uint8Array(32),
  });
  const record = await RegistrationRecord.createFake(config);
  key = Uint8Array.from(record.client_public_key);
  const opaqueRecord = Uint8Array.from(record.serialize());
  credential = { credentialId: 'credential', opaqueRecord, opaqueKeyId: 'version' };
  const message = await new OpaqueClient(config, IdentityMemHardFn).authInit('a password');
  if (message instanceof Error) throw message;
  ke1 = toBase64url(message.serialize());
});
afterEach(() => vi.restoreAllMocks());

test('a login start decompresses each point of KE1 once, and a key of a record every time, whoever it is', async () => {
  const asked = vi.spyOn(ECDH, 'convertKey');
  for (const known of [undefined, undefined, credential, credential, undefined]) {
    asked.mockClear();
    await opaque.loginInit(ke1, known, 'name');
    expect(asked).toHaveBeenCalledTimes(3);
  }
});

test('points are at hand until the work has ended, however it ends', async () => {
  const checked = checkPoint(key);
  const asked = vi.spyOn(ECDH, 'convertKey');
  const inside = await withPoints([checked], async () => uncompressedPoint(key));
  expect(asked).not.toHaveBeenCalled();
  await withPoints([checked], () => Promise.reject(new Error('refused'))).catch(() => {});
  expect(uncompressedPoint(key)).toBe(inside);
  expect(asked).toHaveBeenCalledTimes(1);
});
