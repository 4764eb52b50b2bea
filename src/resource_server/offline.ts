/**
 * Verifies a v4.public access token without asking the issuer (PASETO v4, section 5.6). Before the signature is
 * verified, only the footer is read, and its form is fixed. A token is valid until it expires: revocations are not
 * seen.
 */
import { type KeyObject, verify } from 'node:crypto';
import { type Key, PAE, PasetoError, PublicProtocol, PublicVerify } from 'paseto';
import { type Access, accessOf, type Expected } from './access.ts';
import { Refused } from './refusal.ts';

interface V4PublicKey extends Key {
  readonly handle: KeyObject;
}

const header = Buffer.from('v4.public.');
/** One synchronous Ed25519 call takes less time than sending the work to WebCrypto's thread and back. */
const verification = PublicVerify({
  version: 4,
  run: async (key: V4PublicKey, message: Uint8Array, signature: Uint8Array, ...pieces: Uint8Array[]) =>
    verify(null, PAE([header, message, ...pieces]), key.handle, signature),
});
const v4 = new PublicProtocol(verification);
/** Turns off the package's own check of `exp` and `iat`: `accessOf` checks both, and says which of them failed. */
const noTemporalChecks = Number.MAX_SAFE_INTEGER;

const form = /^v4\.public\.[\w-]+\.([\w-]{1,200})$/;
const footerForm = /^\{"kid":"(k4\.pid\.[\w-]{44})"\}$/;

/** Returns what the token says. `keyOf` finds the issuer's key by its PASERK id. Throws Refused. */
export async function verifyOffline(
  token: string,
  keyOf: (kid: string) => Promise<KeyObject>,
  expected: Expected,
): Promise<Access> {
  const [, encodedFooter] = form.exec(token) ?? [];
  if (encodedFooter === undefined) throw new Refused('token_malformed');
  const footer = Buffer.from(encodedFooter, 'base64url').toString('latin1');
  // The footer only chooses the key. The signature then shows that the footer is genuine.
  const [, kid] = footerForm.exec(footer) ?? [];
  if (kid === undefined) throw new Refused('token_malformed');
  const claims = await signed(token, await keyOf(kid), expected.issuer);
  if (claims.type !== 'public') throw new Refused('token_foreign');
  return accessOf(claims, { iat: secondsOf(claims.iat), exp: secondsOf(claims.exp) }, expected);
}

async function signed(token: string, handle: KeyObject, issuer: string): Promise<Record<string, unknown>> {
  const key: V4PublicKey = { algorithm: { name: 'Ed25519' }, extractable: false, type: 'public', handle };
  // Binds the signature to this issuer and to this type of token.
  const implicitAssertion = Buffer.from(JSON.stringify([issuer, 'public']));
  try {
    return (await v4.Verify(key, token, { implicitAssertion, clockTolerance: noTemporalChecks })).claims;
  } catch (error) {
    if (error instanceof PasetoError) throw new Refused('token_forged', error);
    throw error;
  }
}

/** A time as PASETO writes it, in unix seconds. NaN for anything else. */
const secondsOf = (time: unknown): number =>
  typeof time === 'string' ? Date.parse(time) / 1000 : Number.NaN;
