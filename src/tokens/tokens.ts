// The PASETO tokens of this server: makes them and opens them. It owns their form (version, footer, implicit
// assertion, the claims iss, type, iat and exp) and the order in which a stranger's text is checked. It does
// not own what the other claims mean, whether a token was revoked or used, or where keys come from. The
// features that issue or accept tokens (interaction, sessions, oidc) are handed its functions.

import { PasetoError } from 'paseto';
import { type Mark, parseMark } from '../storage/restore_marks.ts';
import type {
  KeyState,
  Keyset,
  KindKeys,
  LocalTokenKey,
  PublicTokenKey,
  TokenKey,
  TokenKind,
} from './keys.ts';
import { createV4Local } from './v4_local.ts';
import { createV4Public } from './v4_public.ts';

/**
 * Longest token, in characters, that is made or looked at: far above a cookie or header of ours, far below a
 * nuisance.
 */
const MAX_TOKEN_LENGTH = 8192;
/** How far another instance's clock may be ahead of this one's. */
const MAX_CLOCK_SKEW_SECONDS = 60;
/**
 * Puts the checks that the `paseto` package makes of a `public` token's exp, iat and nbf out of action: it has one tolerance for all of them,
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

/** A key for others to verify `public` tokens with, as it is published. */
export interface PublishedKey {
  kid: string;
  /** `k4.public.…` (PASERK). */
  paserk: string;
  state: KeyState;
  /** RFC 3339: no token of this key is older. */
  not_before?: string;
  /** RFC 3339: from then on there is no token of this key, and it is published no more. */
  not_after?: string;
}

export interface TokensDeps {
  issuer: string;
  keyset: Keyset;
  /**
   * Asked before a token of an unknown key is refused: resolves once keys that another instance has made a moment ago
   * have been handed to `useKeys`.
   */
  lookForKeys?: () => Promise<void>;
  /** How far the database's history goes. Tokens say it, so that a database that has lost a part of it is noticed. */
  history?: {
    mark(): Mark;
    /** Rejects where the database turns out to be behind the mark. */
    claim(mark: Mark): Promise<void>;
  };
  /** Milliseconds since the epoch. */
  now: () => number;
}

type Body = Record<string, unknown>;

/** The tokens of one key: the text of a body, and the body of a text, or undefined where the key has not made it. */
interface Codec {
  seal(body: object): string | Promise<string>;
  open(token: string): Body | undefined | Promise<Body | undefined>;
}

/** What all tokens of one kind have in common, made once: everything but the nonce and the claims. */
interface TokenForm {
  prefix: string;
  signing: Codec;
  byFooter: ReadonlyMap<string, Codec>;
  /** Of the footers of a kind, which differ in the key's id alone. */
  footerLength: number;
}

function formOf(issuer: string, kind: TokenKind, { signing, all }: KindKeys): TokenForm {
  // JSON, so that no issuer and kind can read like another issuer and kind put together.
  const implicit = Buffer.from(JSON.stringify([issuer, kind]));
  const footer = footerOf(signing).toString('base64url');
  const codecs = all.map((key) => [footerOf(key).toString('base64url'), codecOf(key, implicit)] as const);
  return {
    prefix: `v4.${signing.purpose}.`,
    signing: codecOf(signing, implicit),
    byFooter: new Map(codecs),
    footerLength: footer.length,
  };
}

function footerOf({ kid }: TokenKey): Buffer {
  return Buffer.from(JSON.stringify({ kid }));
}

function codecOf(key: TokenKey, implicit: Uint8Array): Codec {
  const footer = footerOf(key);
  return key.purpose === 'local' ? localCodec(key, footer, implicit) : publicCodec(key, footer, implicit);
}

function localCodec({ kind, key }: LocalTokenKey, footer: Uint8Array, implicit: Uint8Array): Codec {
  const { seal, sealRepeatable, open } = createV4Local(key, footer, implicit);
  // A repeated refresh receives what the first did.
  const make = kind === 'refresh' ? sealRepeatable : seal;
  return {
    seal: (body) => make(Buffer.from(JSON.stringify(body))),
    open(token) {
      const message = open(token);
      return message && (JSON.parse(message.toString()) as Body);
    },
  };
}

const v4Public = createV4Public();

function publicCodec(key: PublicTokenKey, footer: Uint8Array, implicitAssertion: Uint8Array): Codec {
  return {
    seal: (body) => v4Public.Sign(key.secretKey, body, { footer, implicitAssertion }),
    async open(token) {
      try {
        const options = { implicitAssertion, clockTolerance: NO_TEMPORAL_CHECKS };
        return (await v4Public.Verify(key.publicKey, token, options)).claims as Body;
      } catch (error) {
        // What is wrong with a token has this class; anything else is wrong with us and must not pass for a bad token.
        if (error instanceof PasetoError) return undefined;
        throw error;
      }
    },
  };
}

/** `seal` and `open` of every kind of token, for one issuer and, at a time, one set of keys. */
export function createTokens({ issuer, keyset: first, lookForKeys, history, now }: TokensDeps) {
  let keyset: Keyset;
  let forms: Record<TokenKind, TokenForm>;
  useKeys(first);

  /** From now on these keys make and open tokens. What is being made or opened goes on with those it began with. */
  function useKeys(keys: Keyset): void {
    keyset = keys;
    forms = {
      step: formOf(issuer, 'step', keys.step),
      session: formOf(issuer, 'session', keys.session),
      access: formOf(issuer, 'access', keys.access),
      refresh: formOf(issuer, 'refresh', keys.refresh),
      public: formOf(issuer, 'public', keys.public),
    };
  }

  /**
   * Makes a token of this kind from the claims, to which iss, type, iat and exp are added (and win). Times
   * are unix seconds; issuedAt is now unless given. `aud`, `sub` and `jti`, where present, must be strings.
   * A refresh token with the same claims and times is the same text: a repeated request receives what the first did.
   * Throws on claims whose token `open` would find too long.
   */
  async function seal(
    kind: TokenKind,
    claims: object,
    { expiresAt, issuedAt = Math.floor(now() / 1000) }: { expiresAt: number; issuedAt?: number },
  ): Promise<string> {
    const times = { iat: rfc3339(issuedAt), exp: rfc3339(expiresAt) };
    const marked = history && markedKinds.has(kind) ? { mark: markClaim(history.mark()) } : {};
    const token = await forms[kind].signing.seal({ ...claims, ...marked, iss: issuer, type: kind, ...times });
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
    const { prefix } = forms[kind];
    if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH || !token.startsWith(prefix))
      return undefined;
    const footer = token.slice(token.lastIndexOf('.') + 1);
    const codec = forms[kind].byFooter.get(footer) ?? (await codecFoundFor(kind, footer));
    const claims = await codec?.open(token);
    if (claims === undefined || claims.iss !== issuer || claims.type !== kind) return undefined;

    const iat = Date.parse(String(claims.iat)) / 1000;
    const exp = Date.parse(String(claims.exp)) / 1000;
    const seconds = now() / 1000;
    // Written so that NaN, a time that is missing, refuses.
    if (!(iat <= seconds + MAX_CLOCK_SKEW_SECONDS) || Number.isNaN(exp)) return undefined;
    if (seconds >= exp && !ignoreExpiration) return undefined;
    const { mark, ...others } = claims;
    await claimMark(mark);
    return { ...others, iss: issuer, type: kind, iat, exp };
  }

  async function claimMark(claim: unknown): Promise<void> {
    const mark = history && Array.isArray(claim) && parseMark(claim[0], claim[1]);
    if (mark) await history.claim(mark);
  }

  async function codecFoundFor(kind: TokenKind, footer: string): Promise<Codec | undefined> {
    if (footer.length !== forms[kind].footerLength) return undefined;
    // The library asks whether an access token is a refresh token: a key of another kind is known, and the wrong one.
    if (Object.values(forms).some(({ byFooter }) => byFooter.has(footer))) return undefined;
    await lookForKeys?.();
    return forms[kind].byFooter.get(footer);
  }

  /** The keys to publish at /.well-known/paseto-keys: those of all `public` tokens alive or soon to be made. */
  function publicKeys(): PublishedKey[] {
    return keyset.public.all.flatMap((key) =>
      key.purpose === 'public'
        ? [
            {
              kid: key.kid,
              paserk: key.paserk,
              state: key.state,
              ...(key.notBefore !== undefined && { not_before: rfc3339(Math.floor(key.notBefore / 1000)) }),
              ...(key.notAfter !== undefined && { not_after: rfc3339(Math.ceil(key.notAfter / 1000)) }),
            },
          ]
        : [],
    );
  }

  return { seal, open, publicKeys, useKeys };
}

/** Not refresh tokens, which a repeated request must receive unchanged, and not what others read. */
const markedKinds: ReadonlySet<TokenKind> = new Set(['step', 'session', 'access']);
const markClaim = ({ epoch, servedMs }: Mark): number[] => [epoch, servedMs];

/** Unix seconds as PASETO writes a time. */
const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

export type Tokens = ReturnType<typeof createTokens>;
