/**
 * OPAQUE's SHA-256, HMAC and HKDF on node:crypto, for speed. By default the library uses WebCrypto, which hands each
 * call to another thread: some fifteen times in a sign-in, for a few microseconds of work each. A login/init took
 * 1.55 times as much CPU with WebCrypto (`npm run bench -- --only opaque` runs it in process).
 * `test/unit/opaque_vectors.test.ts` checks that the results are the same. To delete it, use the library's
 * configuration as it is.
 */
import { createHash, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { Config } from '@cloudflare/opaque-ts';

const bytes = 32;

const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Uint8Array => {
  // As a KeyObject: since Node 24 a key as bytes takes 20 µs instead of 7.
  const mac = createHmac('sha256', createSecretKey(key));
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
};

/** `config` with its hash, MAC and KDF replaced. For suites with SHA-256 only. */
export function withSyncHashes(config: Config): Config {
  return {
    constants: config.constants,
    prng: config.prng,
    oprf: config.oprf,
    ake: config.ake,
    hash: {
      name: config.hash.name,
      Nh: bytes,
      sum: async (message) => new Uint8Array(createHash('sha256').update(message).digest()),
    },
    mac: {
      Nm: bytes,
      with_key: async (key) => ({
        sign: async (message) => hmac(key, message),
        verify: async (message, output) =>
          output.length === bytes && timingSafeEqual(output, hmac(key, message)),
      }),
    },
    kdf: {
      Nx: bytes,
      extract: async (salt, ikm) => hmac(salt, ikm),
      // RFC 5869, section 2.3.
      async expand(prk, info, length) {
        const blocks: Uint8Array[] = [];
        for (let block: Uint8Array = new Uint8Array(), i = 1; blocks.length * bytes < length; i++) {
          block = hmac(prk, block, info, Uint8Array.of(i));
          blocks.push(block);
        }
        return new Uint8Array(Buffer.concat(blocks).subarray(0, length));
      },
    },
  };
}
