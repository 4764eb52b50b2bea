// The PASETO tokens of this server: makes them and opens them. It owns their form (version, footer, implicit
// assertion, the claims iss, type, iat and exp) and the order in which a stranger's text is checked. It does
// not own what the other claims mean, whether a token was revoked or used, or where keys come from. The
// features that issue or accept tokens (interaction, sessions, oidc) are handed its functions.

import { PasetoError } from 'paseto';
import type { KeyState, Keyset, KindKeys, TokenKey, TokenKind } from './keys.ts';
import { createV4Local, repeatableNonce } from './v4_local.ts';
import { createV4Public } from './v4_public.ts';

/**
 * Longest token, in characters, that is made or looked at: far above a cookie or header of ours, far below a
 * nuisance.
 */
const MAX_TOKEN_LENGTH = 8192;
/** How far another instance's clock may be ahead of this one's. */
const MAX_CLOCK_SKEW_SECONDS = 60;
/**
 * Puts the package's own checks of exp, iat and nbf out of action: it has one tolerance for all of them,
 * takes a token at the very instant of its exp, and cannot leave exp alone. `open` checks exp and iat itself;
 * nbf is not used here.
 */
const NO_TEMPORAL_CHECKS = Number.MAX_SAFE_INTEGER;

/** What an opened token says. `iat` and `exp` are unix seconds. */
export interface Claims {
  iss: string;
  type: TokenKind;
  iat: number;
  exp: number;
  [name: string]: unknown;
}

/** A key for others to verify `public` tokens with. */
export interface PublishedKey {
  kid: string;
  /** `k4.public.…` (PASERK). */
  key: string;
  state: KeyState;
}

export interface TokensDeps {
  issuer: string;
  keyset: Keyset;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** What all tokens of one kind have in common, made once: everything but the nonce and the claims. */
interface TokenForm {
  prefix: string;
  signing: { key: TokenKey; footer: Uint8Array };
  byFooter: ReadonlyMap<string, TokenKey>;
  implicitAssertion: Uint8Array;
}

function formOf(issuer: string, kind: TokenKind, { signing, all }: KindKeys): TokenForm {
  return {
    prefix: `v4.${signing.purpose}.`,
    signing: { key: signing, footer: footerOf(signing) },
    byFooter: new Map(all.map((key) => [footerOf(key).toString('base64url'), key])),
    // JSON, so that no issuer and kind can read like another issuer and kind put together.
    implicitAssertion: Buffer.from(JSON.stringify([issuer, kind])),
  };
}

function footerOf({ kid }: TokenKey): Buffer {
  return Buffer.from(JSON.stringify({ kid }));
}

/** `seal` and `open` of every kind of token, for one issuer and one set of keys. */
export function createTokens({ issuer, keyset, now }: TokensDeps) {
  const v4Local = createV4Local();
  const v4LocalRepeatable = createV4Local(repeatableNonce);
  const v4Public = createV4Public();
  const forms: Record<TokenKind, TokenForm> = {
    step: formOf(issuer, 'step', keyset.step),
    session: formOf(issuer, 'session', keyset.session),
    access: formOf(issuer, 'access', keyset.access),
    refresh: formOf(issuer, 'refresh', keyset.refresh),
    public: formOf(issuer, 'public', keyset.public),
  };

  /**
   * Makes a token of this kind from the claims, to which iss, type, iat and exp are added (and win). Times
   * are unix seconds; issuedAt is now unless given. `aud`, `sub` and `jti`, where present, must be strings.
   * A refresh token with the same claims and times is the same text: a repeated request receives what the first did.
   * Throws on claims that are no JSON object, or whose token `open` would find too long.
   */
  async function seal(
    kind: TokenKind,
    claims: object,
    { expiresAt, issuedAt = Math.floor(now() / 1000) }: { expiresAt: number; issuedAt?: number },
  ): Promise<string> {
    const { signing, implicitAssertion } = forms[kind];
    const { key, footer } = signing;
    const all = { ...claims, iss: issuer, type: kind, iat: rfc3339(issuedAt), exp: rfc3339(expiresAt) };
    const options = { footer, implicitAssertion };
    const token = await (key.purpose === 'local'
      ? (kind === 'refresh' ? v4LocalRepeatable : v4Local).Encrypt(key.key, all, options)
      : v4Public.Sign(key.secretKey, all, options));
    if (token.length > MAX_TOKEN_LENGTH) throw new RangeError(`claims too large for a ${kind} token`);
    return token;
  }

  /**
   * The claims of a token of this kind, or undefined if it is anything else: forged, foreign, of another
   * kind, expired. `ignoreExpiration` is for reading what an expired token of ours was about; all else is
   * still checked.
   *
   * The checks stand in this order so that nothing is decoded, let alone parsed, before it is known to be of
   * our making: the footer is never decoded at all, its text has to be that of one of the kind's own keys.
   */
  async function open(
    kind: TokenKind,
    token: string,
    { ignoreExpiration = false }: { ignoreExpiration?: boolean } = {},
  ): Promise<Claims | undefined> {
    const { prefix, byFooter, implicitAssertion } = forms[kind];
    if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH || !token.startsWith(prefix))
      return undefined;
    const key = byFooter.get(token.slice(token.lastIndexOf('.') + 1));
    if (key === undefined) return undefined;
    const claims = await verified(key, token, implicitAssertion);
    if (claims === undefined || claims.iss !== issuer || claims.type !== kind) return undefined;

    // The package has made sure of exp, but lets a token be without iat.
    const iat = Date.parse(claims.iat ?? '') / 1000;
    const exp = Date.parse(claims.exp ?? '') / 1000;
    const seconds = now() / 1000;
    // Written so that NaN, a time that is missing, refuses.
    if (!(iat <= seconds + MAX_CLOCK_SKEW_SECONDS)) return undefined;
    if (!(seconds < exp) && !ignoreExpiration) return undefined;
    return { ...claims, iss: issuer, type: kind, iat, exp };
  }

  async function verified(key: TokenKey, token: string, implicitAssertion: Uint8Array) {
    const options = { implicitAssertion, clockTolerance: NO_TEMPORAL_CHECKS };
    try {
      const opening =
        key.purpose === 'local'
          ? v4Local.Decrypt(key.key, token, options)
          : v4Public.Verify(key.publicKey, token, options);
      return (await opening).claims;
    } catch (error) {
      // What is wrong with a token has this class; anything else is wrong with us and must not pass for a bad
      // token.
      if (error instanceof PasetoError) return undefined;
      throw error;
    }
  }

  /** The keys to publish at /.well-known/paseto-keys: those of all `public` tokens still alive. */
  function publicKeys(): PublishedKey[] {
    return keyset.public.all.flatMap((key) =>
      key.purpose === 'public' ? [{ kid: key.kid, key: key.paserk, state: key.state }] : [],
    );
  }

  return { seal, open, publicKeys };
}

/** Unix seconds as PASETO writes a time. */
function rfc3339(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

export type Tokens = ReturnType<typeof createTokens>;
