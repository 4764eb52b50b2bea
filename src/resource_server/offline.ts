/**
 * Checks a v4.public access token by itself (PASETO v4, section 5.6): nothing is parsed before the signature fits, but
 * the footer, whose form is fixed. A token is good until it expires: a revocation is not seen.
 */
import { type KeyObject, verify } from 'node:crypto';
import { type Key, PAE, PasetoError, PublicProtocol, PublicVerify } from 'paseto';
import { type Access, accessOf, type Expected } from './access.ts';
import { Refused } from './refusal.ts';

interface V4PublicKey extends Key {
  readonly handle: KeyObject;
}

const header = Buffer.from('v4.public.');
/** One synchronous Ed25519 call is shorter than WebCrypto's way to another thread and back. */
const verification = PublicVerify({
  version: 4,
  run: async (key: V4PublicKey, message: Uint8Array, signature: Uint8Array, ...pieces: Uint8Array[]) =>
    verify(null, PAE([header, message, ...pieces]), key.handle, signature),
});
const v4 = new PublicProtocol(verification);
/** Puts the package's own look at exp and iat out of action: accessOf sees to both, and says which it was. */
const noTemporalChecks = Number.MAX_SAFE_INTEGER;

const form = /^v4\.public\.[\w-]+\.([\w-]{1,200})$/;
const footerForm = /^\{"kid":"(k4\.pid\.[\w-]{44})"\}$/;

/** Throws Refused. `keyOf` finds the issuer's key by its PASERK id. */
export async function verifyOffline(
  token: string,
  keyOf: (kid: string) => Promise<KeyObject>,
  expected: Expected,
): Promise<Access> {
  const [, encodedFooter] = form.exec(token) ?? [];
  if (encodedFooter === undefined) throw new Refused('token_malformed');
  const footer = Buffer.from(encodedFooter, 'base64url').toString('latin1');
  // The footer only chooses the key; that it is genuine follows from the signature.
  const [, kid] = footerForm.exec(footer) ?? [];
  if (kid === undefined) throw new Refused('token_malformed');
  const claims = await signed(token, await keyOf(kid), expected.issuer);
  if (claims.type !== 'public') throw new Refused('token_foreign');
  return accessOf(claims, { iat: secondsOf(claims.iat), exp: secondsOf(claims.exp) }, expected);
}

async function signed(token: string, handle: KeyObject, issuer: string): Promise<Record<string, unknown>> {
  const key: V4PublicKey = { algorithm: { name: 'Ed25519' }, extractable: false, type: 'public', handle };
  // Binds the signature to this issuer and this type of token.
  const implicitAssertion = Buffer.from(JSON.stringify([issuer, 'public']));
  try {
    return (await v4.Verify(key, token, { implicitAssertion, clockTolerance: noTemporalChecks })).claims;
  } catch (error) {
    if (error instanceof PasetoError) throw new Refused('token_forged', error);
    throw error;
  }
}

/** A time as PASETO writes it, in unix seconds; NaN for anything else. */
const secondsOf = (time: unknown): number =>
  typeof time === 'string' ? Date.parse(time) / 1000 : Number.NaN;
