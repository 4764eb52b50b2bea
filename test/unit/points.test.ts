/** How many points a login start decompresses. Each takes time: the number must not tell known names from unknown ones. */
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
import { toBase64url } from '../../src/opaque/wire.ts';

const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);
let opaque: Opaque;
let credential: Credential;
let ke1: string;

beforeAll(async () => {
  await installNativeGroup();
  const [keys, fakeKeys] = await Promise.all([generateOpaqueKeys(), generateOpaqueKeys()]);
  opaque = await createOpaque({
    versions: [{ id: 'version', keys }],
    fakeKeys,
    unknownNameKey: new Uint8Array(32),
  });
  const record = await RegistrationRecord.createFake(config);
  const opaqueRecord = Uint8Array.from(record.serialize());
  credential = { credentialId: 'credential', opaqueRecord, opaqueKeyId: 'version' };
  const message = await new OpaqueClient(config, IdentityMemHardFn).authInit('a password');
  if (message instanceof Error) throw message;
  ke1 = toBase64url(message.serialize());
});
afterEach(() => vi.restoreAllMocks());

test('a login start decompresses as many points for an account as for an unknown name', async () => {
  const asked = vi.spyOn(ECDH, 'convertKey');
  for (const known of [undefined, undefined, credential, credential, undefined]) {
    asked.mockClear();
    await opaque.loginInit(ke1, known, 'name');
    expect(asked).toHaveBeenCalledTimes(6);
  }
});
