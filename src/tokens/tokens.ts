/**
 * Makes and opens the PASETO tokens of this server. This file owns the claims iss, type, iat and exp, and the order
 * in which an untrusted text is checked. It does not own the meaning of the other claims, whether a token was revoked
 * or used, or where keys come from.
 */
import { isReadable, type StateKind, withFormat } from '../lib/formats.ts';
import { type Mark, parseMark } from '../storage/restore_marks.ts';
import { type Codec, codecsOf, type KindCodecs } from './codecs.ts';
import type { KeyState, Keyset, PublicTokenKey, TokenKind } from './keys.ts';

/** The longest token that is made or opened, in characters. */
const MAX_TOKEN_LENGTH = 8192;
/** How far another instance's clock may be ahead of this one's. */
const MAX_CLOCK_SKEW_SECONDS = 60;
/** The claims of an opened token. `iat` and `exp` are unix seconds. */
export interface Claims {
  iss: string;
  type: TokenKind;
  iat: number;
  exp: number;
  [name: string]: unknown;
}

/** A published key, with which APIs verify `public` tokens. */
export interface PublishedKey {
  kid: string;
  /** `k4.public.…` (PASERK). */
  paserk: string;
  state: KeyState;
  /** RFC 3339. No token of this key was made earlier. */
  not_before?: string;
  /** RFC 3339. From then on no token of this key is valid, and the key is not published. */
  not_after?: string;
}

export interface TokensDeps {
  issuer: string;
  keyset: Keyset;
  /**
   * Called before a token of an unknown key is refused, because another instance may have made the key a moment ago.
   * Resolves once such keys were passed to `useKeys`.
   */
  lookForKeys?: () => Promise<void>;
  /**
   * How far the database's history goes. Tokens carry this mark, so that a database which lost a part is detected.
   */
  history?: {
    mark(): Mark;
    /** Rejects if the database is behind the mark. */
    claim(mark: Mark): Promise<void>;
  };
  /** Milliseconds since the epoch. */
  now: () => number;
}

type Kinds = Record<TokenKind, KindCodecs>;

/** `seal` and `open` for every kind of token, with one issuer. `useKeys` replaces the keys. */
export function createTokens(deps: TokensDeps) {
  const { issuer, history, now } = deps;
  let keyset: Keyset;
  let kinds: Kinds;
  useKeys(deps.keyset);

  /** Replaces the keys. A `seal` or `open` that is running finishes with the keys that it began with. */
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
   * Makes a token of this kind. iss, type, iat and exp are added to the claims and override them. Times are unix
   * seconds, and `issuedAt` is now by default. `aud`, `sub` and `jti` must be strings if they are present. A refresh
   * token with the same claims and times has the same text, so a repeated request receives the same token. Throws a
   * RangeError if the token would be too long for `open`.
   */
  async function seal(
    kind: TokenKind,
    claims: object,
    { expiresAt, issuedAt = Math.floor(now() / 1000) }: { expiresAt: number; issuedAt?: number },
  ): Promise<string> {
    const times = { iat: rfc3339(issuedAt), exp: rfc3339(expiresAt) };
    const state = stateKinds[kind];
    const marked = history && state ? { ...claims, mark: markClaim(history.mark()) } : claims;
    const all = { ...marked, iss: issuer, type: kind, ...times };
    const token = await kinds[kind].signing.seal(state ? withFormat(state, all) : all);
    if (token.length > MAX_TOKEN_LENGTH) throw new RangeError(`claims too large for a ${kind} token`);
    return token;
  }

  /**
   * The claims of a token of this kind. Returns undefined for everything else: a token that is forged, foreign,
   * expired or of another kind. `ignoreExpiration` is for reading the claims of an expired token of ours; everything
   * else is still checked. Rejects if the keys cannot be looked up, or if the database is behind the token's mark.
   *
   * The order of the checks ensures that no claims are parsed before we know that we made the token. The footer is
   * never decoded: its text must equal the footer of one of our keys.
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
    // A missing time is NaN. The comparison is written so that NaN is refused.
    if (!(iat <= seconds + MAX_CLOCK_SKEW_SECONDS) || Number.isNaN(exp)) return undefined;
    if (seconds >= exp && !ignoreExpiration) return undefined;
    const state = stateKinds[kind];
    if (state && !isReadable(state, claims)) return undefined;
    const claimed = history && markOf(claims.mark);
    if (claimed) await history.claim(claimed);
    // Changed in place and not copied: the codec has parsed them for this call alone.
    return Object.assign(claims, { iss: issuer, type: kind, iat, exp, mark: undefined, v: undefined });
  }

  async function codecFoundFor(kind: TokenKind, footer: string): Promise<Codec | undefined> {
    if (footer.length !== kinds[kind].footerLength) return undefined;
    // oidc-provider tries an access token as a refresh token. Its key is known, so there is no need to look for keys.
    if (Object.values(kinds).some(({ byFooter }) => byFooter.has(footer))) return undefined;
    await deps.lookForKeys?.();
    return kinds[kind].byFooter.get(footer);
  }

  return { seal, open, publicKeys: () => publishedKeysOf(keyset), useKeys };
}

/**
 * The keys to publish at /.well-known/paseto-keys: those of all `public` tokens that are valid or will soon be made.
 */
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

const markOf = (claim: unknown): Mark | undefined =>
  Array.isArray(claim) ? parseMark(claim[0], claim[1]) : undefined;

/**
 * The tokens that carry the number of their format, and a mark. Refresh tokens do not, because a repeated request must
 * receive the same text. Nor do tokens that APIs read.
 */
const stateKinds: Partial<Record<TokenKind, StateKind>> = {
  step: 'stepToken',
  session: 'sessionToken',
  access: 'accessToken',
};
const markClaim = ({ epoch, servedMs }: Mark): number[] => [epoch, servedMs];

/** Unix seconds as PASETO writes a time. */
const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

export type Tokens = ReturnType<typeof createTokens>;
