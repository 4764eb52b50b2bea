import {
  getOpaqueConfig,
  KE1,
  KE2,
  KE3,
  OpaqueID,
  RegistrationRecord,
  RegistrationRequest,
  RegistrationResponse,
} from '@cloudflare/opaque-ts';
import { expect, test } from 'vitest';
import { fromBase64url, MESSAGE_BYTES, toBase64url } from '../../src/opaque/wire.ts';

test('the lengths are the ones the library reads and writes for P-256', () => {
  const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);
  const messages = {
    ke1: KE1,
    ke2: KE2,
    ke3: KE3,
    registrationRequest: RegistrationRequest,
    registrationResponse: RegistrationResponse,
    registrationRecord: RegistrationRecord,
  };
  const lengths = Object.entries(messages).map(([name, message]) => [name, message.sizeSerialized(config)]);
  expect(Object.fromEntries(lengths)).toEqual(MESSAGE_BYTES);
});

test.each([0, 1, 2, 3, 32, 33, 98, 259])('%i bytes survive the way to base64url and back', (length) => {
  const bytes = Uint8Array.from({ length }, (_, index) => (index * 151 + 250) & 255);
  const text = toBase64url(bytes);
  expect(text).toBe(Buffer.from(bytes).toString('base64url'));
  expect(fromBase64url(text, length)).toEqual(bytes);
});

test.each([
  ['one byte short', 'AAA', 3],
  ['one byte long', 'AAAAAA', 3],
  ['padded', 'AAA=', 2],
  ['of the other alphabet', '++//', 3],
  ['with a space', 'AA A', 3],
  ['with a line break', 'AAA\n', 3],
  ['not in ASCII', 'AAAé', 3],
  ['of stray bits after the last byte', 'AB', 1],
  ['of an impossible length', 'AAAAA', 3],
  ['empty', '', 1],
])('a text %s is refused', (_, text, length) => {
  expect(fromBase64url(text, length)).toBeUndefined();
});
