/**
 * Verifies DPoP proofs at a resource server (RFC 9449, sections 4.3 and 7). A proof shows that the sender of a bound
 * token holds its key. It must be made for this request and this token, recently, and must not have been used before.
 * Used proofs are remembered in this process only: several processes of one API each accept a proof once.
 */
import { createPublicKey, hash, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { createExpiringMap } from './expiring_map.ts';
import { Refused } from './refusal.ts';

/** How old a proof may be. */
const lifeSeconds = 60;
/**
 * More proofs than one core can verify in a proof's lifetime. If there are more, requests are refused: no proof is
 * accepted without being remembered.
 */
const mostProofs = 250_000;
const longestProof = 4096;

export interface ProofContext {
  method: string;
  /** The address that the client sent the request to. */
  url: string;
  token: string;
  /** The thumbprint of the key that the token is bound to. */
  boundTo: string;
  toleranceSeconds: number;
}

/** `check(proof, context)` throws Refused. `now`: milliseconds since the epoch. */
export function createProofs(now: () => number) {
  const used = createExpiringMap<true>(mostProofs, now);

  return function check(proof: string, context: ProofContext): void {
    const { head, claims, signedText, signature } = parse(proof);
    const { key, thumbprint } = keyIn(head);
    if (!fits(String(head.alg), key, signedText, signature)) throw new Refused('proof_forged');
    const { jti, htm, htu, iat, ath } = claims;
    if (typeof jti !== 'string' || jti.length < 1 || jti.length > 256) throw new Refused('proof_malformed');
    if (typeof htu !== 'string' || typeof iat !== 'number') throw new Refused('proof_malformed');
    if (thumbprint !== context.boundTo) throw new Refused('proof_foreign');
    if (htm !== context.method || !sameAddress(htu, context.url)) throw new Refused('proof_foreign');
    if (ath !== hash('sha256', context.token, 'base64url')) throw new Refused('proof_foreign');
    const age = now() / 1000 - iat;
    if (!(age <= lifeSeconds + context.toleranceSeconds && age >= -context.toleranceSeconds))
      throw new Refused('proof_stale');
    const name = hash('sha256', `${thumbprint} ${jti}`, 'base64url');
    if (used.get(name)) throw new Refused('proof_replayed');
    if (!used.set(name, true, (iat + lifeSeconds + context.toleranceSeconds + 1) * 1000))
      throw new Refused('busy');
  };
}

function parse(proof: string) {
  const [, head = '', payload = '', signature = ''] = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(proof) ?? [];
  if (proof.length > longestProof || !head) throw new Refused('proof_malformed');
  return {
    head: jsonObject(head),
    claims: jsonObject(payload),
    signedText: Buffer.from(`${head}.${payload}`),
    signature: Buffer.from(signature, 'base64url'),
  };
}

function jsonObject(encoded: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Refused below.
  }
  throw new Refused('proof_malformed');
}

/**
 * The public key in the proof's header, and its RFC 7638 thumbprint. The thumbprint is made from the key itself, not
 * from how the header spells it. Throws Refused.
 */
function keyIn({ typ, alg, jwk, crit }: Record<string, unknown>): { key: KeyObject; thumbprint: string } {
  if (typ !== 'dpop+jwt' || crit !== undefined) throw new Refused('proof_malformed');
  if (typeof jwk !== 'object' || jwk === null || 'd' in jwk || 'k' in jwk)
    throw new Refused('proof_malformed');
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    const { kty, crv, x, y } = key.export({ format: 'jwk' });
    const isRight = alg === 'ES256' ? crv === 'P-256' : crv === 'Ed25519' && (alg === 'EdDSA' || alg === crv);
    if (!isRight) throw new Refused('proof_malformed');
    // The members in this order are the canonical form (RFC 7638, section 3).
    const canonical = JSON.stringify(kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x });
    return { key, thumbprint: hash('sha256', canonical, 'base64url') };
  } catch (error) {
    throw new Refused('proof_malformed', error);
  }
}

const fits = (alg: string, key: KeyObject, text: Uint8Array, signature: Uint8Array): boolean =>
  alg === 'ES256'
    ? verify('sha256', text, { key, dsaEncoding: 'ieee-p1363' }, signature)
    : verify(null, text, key, signature);

/**
 * Whether two addresses are the same without query and fragment (RFC 9449, section 4.3), and after the normalization
 * of RFC 3986, section 6.2.2: case of scheme, host and escapes, the default port, and escapes that are not needed.
 */
function sameAddress(a: string, b: string): boolean {
  if (!URL.canParse(a) || !URL.canParse(b) || hasDotSegments(a)) return false;
  const [left, right] = [new URL(a), new URL(b)];
  return left.origin === right.origin && normalized(left.pathname) === normalized(right.pathname);
}

const normalized = (path: string): string =>
  path.replace(/%[0-9a-f]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return /[\w.~-]/.test(character) ? character : encoded.toUpperCase();
  });

/**
 * Whether a path or address has a segment `.` or `..`, escaped or not. URL parsers remove them, and most routers do
 * not: so the proof would be for another path than the one that is served.
 */
export const hasDotSegments = (address: string): boolean =>
  /[/\\](\.|%2e){1,2}([/\\]|$)/i.test(address.replace(/[?#].*$/s, ''));
