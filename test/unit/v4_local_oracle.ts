// v4.local as the `paseto` package frames it, on noble's primitives: what src/tokens/ is held against.

import { randomBytes } from 'node:crypto';
import { xchacha20 } from '@noble/ciphers/chacha.js';
import { blake2b } from '@noble/hashes/blake2.js';
import { type Key, LocalDecrypt, LocalEncrypt, LocalProtocol, PAE } from 'paseto';

interface OracleKey extends Key {
  bytes: Uint8Array;
}

export const oracleKey = (bytes: Uint8Array): OracleKey => ({
  algorithm: { name: 'paseto-v4.local' },
  extractable: false,
  type: 'secret',
  bytes,
});

const encryption = LocalEncrypt({
  version: 4,
  run: async (key: OracleKey, message: Uint8Array, footer: Uint8Array, implicit: Uint8Array) => {
    const nonce = randomBytes(32);
    const ciphertext = crypt(key.bytes, nonce, message);
    return Buffer.concat([nonce, ciphertext, tagOf(key.bytes, nonce, ciphertext, footer, implicit)]);
  },
});
const decryption = LocalDecrypt({
  version: 4,
  run: async (key: OracleKey, payload: Uint8Array, footer: Uint8Array, implicit: Uint8Array) => {
    const [nonce, ciphertext] = [payload.subarray(0, 32), payload.subarray(32, -32)];
    if (!Buffer.from(payload.subarray(-32)).equals(tagOf(key.bytes, nonce, ciphertext, footer, implicit)))
      throw new Error('the tag does not fit');
    return crypt(key.bytes, nonce, ciphertext);
  },
});

/** `Encrypt(key, claims, options)` and `Decrypt(key, token, options)` of the package. */
export const v4LocalOracle = new LocalProtocol(encryption, decryption);

function derived(key: Uint8Array, domain: string, nonce: Uint8Array, dkLen: number): Uint8Array {
  return blake2b(Buffer.concat([Buffer.from(domain), nonce]), { key, dkLen });
}

function crypt(key: Uint8Array, nonce: Uint8Array, input: Uint8Array): Uint8Array {
  const keys = derived(key, 'paseto-encryption-key', nonce, 56);
  return xchacha20(keys.slice(0, 32), keys.slice(32), new Uint8Array(input));
}

function tagOf(
  key: Uint8Array,
  nonce: Uint8Array,
  ...[ciphertext, footer, implicit]: Uint8Array[]
): Uint8Array {
  const empty = new Uint8Array();
  const signed = PAE([
    Buffer.from('v4.local.'),
    nonce,
    ciphertext ?? empty,
    footer ?? empty,
    implicit ?? empty,
  ]);
  return blake2b(signed, { key: derived(key, 'paseto-auth-key-for-aead', nonce, 32), dkLen: 32 });
}
