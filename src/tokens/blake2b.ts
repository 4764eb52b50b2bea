/**
 * BLAKE2b (RFC 7693), which v4.local and PASERK are made of. node:crypto has no keyed BLAKE2b, so this is the package
 * `blake2b-wasm`. A hash takes 1 to 4 µs; @noble/hashes takes 20 to 40 µs, and an access token needs three of them.
 * `npm run bench -- --only introspection` shows the whole cost. To delete it, call @noble/hashes here; the tests compare with it.
 */
import Blake2b from 'blake2b-wasm';

// The package compiles its WebAssembly in the background.
await Blake2b.ready();

const emptyState = new Uint8Array(216);

/**
 * The hash, of 16 to 64 bytes, of the pieces joined. An empty key means none; others are of 16 to 64 bytes. Throws on other
 * lengths.
 *
 * The package keeps the states of all hashes in one memory that lives as long as the process. A hash begins and ends within
 * this call, so that two of them never mix. Its state is overwritten at the end, because it holds the result, which may be a key.
 */
export function blake2b(key: Uint8Array, length: number, ...pieces: Uint8Array[]): Uint8Array {
  const hash = new Blake2b(length, key.length > 0 ? key : undefined);
  for (const piece of pieces) hash.update(piece);
  const result = hash.digest();
  hash.setPartialHash(emptyState);
  return result;
}
