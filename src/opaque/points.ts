import { ECDH } from 'node:crypto';

/**
 * The uncompressed form, in hex, of a compressed point of P-256 (33 bytes). OpenSSL computes it. Throws unless the
 * bytes are the one valid encoding of a point on the curve.
 */
export function uncompressedPoint(bytes: Uint8Array): string {
  try {
    return ECDH.convertKey(bytes, 'prime256v1', undefined, 'hex', 'uncompressed') as string;
  } catch {
    throw new Error('point not in curve');
  }
}
