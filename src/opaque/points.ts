import { ECDH } from 'node:crypto';

/**
 * A compressed point of P-256 (33 bytes) in its uncompressed form, in hex, by OpenSSL. Throws unless the bytes are the one
 * encoding of a point on the curve.
 */
export function uncompressedPoint(bytes: Uint8Array): string {
  try {
    return ECDH.convertKey(bytes, 'prime256v1', undefined, 'hex', 'uncompressed') as string;
  } catch {
    throw new Error('point not in curve');
  }
}
