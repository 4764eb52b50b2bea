/**
 * BLAKE2b (RFC 7693), the hash of v4.local and PASERK. node:crypto has no keyed BLAKE2b, so this uses the package
 * `blake2b-wasm`, for speed. A hash takes 1 to 4 µs, and 20 to 40 µs with @noble/hashes. An access token needs three
 * hashes. `npm run bench -- --only introspection` shows the whole cost. To delete it, call @noble/hashes here; the
 * tests compare with it.
 */
import Blake2b from 'blake2b-wasm';

// The package compiles its WebAssembly in the background.
await Blake2b.ready();

const emptyState = new Uint8Array(216);

/**
 * The hash of the concatenated pieces. `length` is 16 to 64 bytes, and so is the key; an empty key means no key.
 * Throws on other lengths.
 *
 * The package keeps the states of all hashes in one memory, which is never released. A hash begins and ends within
 * this call, so that two hashes never mix. The state contains the result, which may be a key. So it is overwritten at
 * the end.
 */
export function blake2b(key: Uint8Array, length: number, ...pieces: Uint8Array[]): Uint8Array {
  const hash = new Blake2b(length, key.length > 0 ? key : undefined);
  for (const piece of pieces) hash.update(piece);
  const result = hash.digest();
  hash.setPartialHash(emptyState);
  return result;
}
