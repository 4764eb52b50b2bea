/**
 * The PASETO tokens of this server: makes them and opens them. This file owns the claims iss, type, iat and exp, and the order in
 * which a stranger's text is checked. It does not own what the other claims mean, whether a token was revoked or used, or where
 * keys come from.
 */
import { type Mark, parseMark } from '../storage/restore_marks.ts';
import { type Codec, codecsOf, type KindCodecs } from './codecs.ts';
import type { KeyState, Keyset, PublicTokenKey, TokenKind } from './keys.ts';

/** The longest token, in characters, that is made or looked at. */
const MAX_TOKEN_LENGTH = 8192;
/** How far another instance's clock may be ahead of this one's. */
const MAX_CLOCK_SKEW_SECONDS = 60;
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
  /** RFC 3339: no token of this key was made before. */
  not_before?: string;
  /** RFC 3339: no token of this key is valid from then on, and the key is not published any more. */
  not_after?: string;
}

export interface TokensDeps {
  issuer: string;
  keyset: Keyset;
  /**
   * Called before a token of an unknown key is refused. Resolves once `useKeys` has the keys that another instance may have made
   * a moment ago.
   */
  lookForKeys?: () => Promise<void>;
  /** How far the database's history goes. Tokens name it, so that a database that has lost a part of it is noticed. */
  history?: {
    mark(): Mark;
    /** Rejects where the database turns out to be behind the mark. */
    claim(mark: Mark): Promise<void>;
  };
  /** Milliseconds since the epoch. */
  now: () => number;
}

type Kinds = Record<TokenKind, KindCodecs>;

/** `seal` and `open` of every kind of token, for one issuer and, at a time, one set of keys. */
export function createTokens(deps: TokensDeps) {
  const { issuer, history, now } = deps;
  let keyset: Keyset;
  let kinds: Kinds;
  useKeys(deps.keyset);

  /** Replaces the keys. A token that is being made or opened is finished with the keys that it began with. */
  function useKeys(keys: Keyset): void {
    keyset = keys;
    kinds = {
      step: codecsOf(issuer, 'step', keys.step),
      session: codecsOf(issuer, 'session', keys.session),
      access: codecsOf(issuer, 'access', keys.access),
      refresh: codecsOf(issuer, 'refresh', keys.refresh),
      public: codecsOf(issuer, 'public', keys.public),
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
    const token = await kinds[kind].signing.seal({ ...claims, ...marked, iss: issuer, type: kind, ...times });
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
    const { prefix } = kinds[kind];
    if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH || !token.startsWith(prefix))
      return undefined;
    const footer = token.slice(token.lastIndexOf('.') + 1);
    const codec = kinds[kind].byFooter.get(footer) ?? (await codecFoundFor(kind, footer));
    const claims = await codec?.open(token);
    if (claims === undefined || claims.iss !== issuer || claims.type !== kind) return undefined;

    const iat = Date.parse(String(claims.iat)) / 1000;
    const exp = Date.parse(String(claims.exp)) / 1000;
    const seconds = now() / 1000;
    // Written so that NaN, a time that is missing, refuses.
    if (!(iat <= seconds + MAX_CLOCK_SKEW_SECONDS) || Number.isNaN(exp)) return undefined;
    if (seconds >= exp && !ignoreExpiration) return undefined;
    const { mark, ...others } = claims;
    await claimMark(history, mark);
    return { ...others, iss: issuer, type: kind, iat, exp };
  }

  async function codecFoundFor(kind: TokenKind, footer: string): Promise<Codec | undefined> {
    if (footer.length !== kinds[kind].footerLength) return undefined;
    // The library asks whether an access token is a refresh token. A key of another kind is known, and the wrong one.
    if (Object.values(kinds).some(({ byFooter }) => byFooter.has(footer))) return undefined;
    await deps.lookForKeys?.();
    return kinds[kind].byFooter.get(footer);
  }

  return { seal, open, publicKeys: () => publishedKeysOf(keyset), useKeys };
}

/** The keys to publish at /.well-known/paseto-keys: those of all `public` tokens that are valid or soon to be made. */
const publishedKeysOf = (keyset: Keyset): PublishedKey[] =>
  keyset.public.all
    .filter((key): key is PublicTokenKey => key.purpose === 'public')
    .map(({ kid, paserk, state, notBefore, notAfter }) => ({
      kid,
      paserk,
      state,
      ...(notBefore !== undefined && { not_before: rfc3339(Math.floor(notBefore / 1000)) }),
      ...(notAfter !== undefined && { not_after: rfc3339(Math.ceil(notAfter / 1000)) }),
    }));

async function claimMark(history: TokensDeps['history'], claim: unknown): Promise<void> {
  const mark = history && Array.isArray(claim) && parseMark(claim[0], claim[1]);
  if (mark) await history.claim(mark);
}

/** Not refresh tokens, which a repeated request must receive unchanged, and not what others read. */
const markedKinds: ReadonlySet<TokenKind> = new Set(['step', 'session', 'access']);
const markClaim = ({ epoch, servedMs }: Mark): number[] => [epoch, servedMs];

/** Unix seconds as PASETO writes a time. */
const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

export type Tokens = ReturnType<typeof createTokens>;
