/**
 * The points that a client sends, checked and decompressed by OpenSSL. The protocol decompresses them again, that of the
 * blinded element once and that of the key share twice: while it runs it is given what the check has found. The key of a
 * record is never among them, or names that share the fake record would be answered sooner than others.
 */
import { ECDH } from 'node:crypto';

export interface CheckedPoint {
  key: string;
  /** Uncompressed, in hex. */
  point: string;
}

const atHand = new Map<string, string>();

const keyOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

/** Throws where these bytes, 33 of them, are not the one encoding of a point of P-256. */
export const checkPoint = (bytes: Uint8Array): CheckedPoint => ({
  key: keyOf(bytes),
  point: decompress(bytes),
});

/** Runs `work` with these points at hand. */
export async function withPoints<T>(points: CheckedPoint[], work: () => Promise<T>): Promise<T> {
  for (const { key, point } of points) atHand.set(key, point);
  try {
    return await work();
  } finally {
    for (const { key } of points) atHand.delete(key);
  }
}

/** The point in its uncompressed form, in hex. Throws as `checkPoint`. */
export const uncompressedPoint = (bytes: Uint8Array): string => atHand.get(keyOf(bytes)) ?? decompress(bytes);

function decompress(bytes: Uint8Array): string {
  try {
    return ECDH.convertKey(bytes, 'prime256v1', undefined, 'hex', 'uncompressed') as string;
  } catch {
    throw new Error('point not in curve');
  }
}
