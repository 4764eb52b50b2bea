/**
 * The wire format of OPAQUE: how its messages are written in JSON (base64url without padding, RFC 4648 section 5),
 * and how long each of them is for the suite P-256. Pure and without imports, so that the server and the browser use
 * the same file. It does not know what the bytes mean.
 */

/** The protocol context both sides mix into the transcript (draft-irtf-cfrg-opaque-07, section 6.2). */
export const OPAQUE_CONTEXT = 'cypher-v1';

/** The exact length of every message in bytes, for OPAQUE_P256 of draft 07: points 33, nonces, hashes and MACs 32. */
export const MESSAGE_BYTES = {
  /** blinded element 33, client nonce 32, client key share 33 */
  ke1: 98,
  /** evaluated element 33, masking nonce 32, masked response 97, server nonce 32, server key share 33, MAC 32 */
  ke2: 259,
  /** client MAC */
  ke3: 32,
  /** blinded element */
  registrationRequest: 33,
  /** evaluated element 33, server public key 33 */
  registrationResponse: 66,
  /** client public key 33, masking key 32, envelope 64 */
  registrationRecord: 129,
} as const;

/** `bytes` as base64url without padding. The library returns its messages as plain arrays of bytes. */
export function toBase64url(bytes: Uint8Array | readonly number[]): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * The bytes of `text`. Returns undefined unless it is the canonical, unpadded base64url of exactly `expectedLength`
 * bytes. So nothing of a wrong size reaches a parser, and no message has two spellings.
 */
export function fromBase64url(text: string, expectedLength: number): Uint8Array | undefined {
  if (text.length !== Math.ceil((expectedLength * 4) / 3) || !/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  return toBase64url(bytes) === text ? bytes : undefined;
}
