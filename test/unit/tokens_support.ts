// What the tests of the token codec share: an issuer, a clock, and a key of its own for each kind of token.

import { createKeyset, type RawKey, type TokenKind } from '../../src/tokens/keys.ts';
import { createTokens } from '../../src/tokens/tokens.ts';

export const KINDS: TokenKind[] = ['step', 'session', 'access', 'refresh', 'public'];
export const ISSUER = 'https://id.example.com';
export const NOW = 1_800_000_000;
export const EXPIRES = NOW + 900;
export const CLAIMS = { sub: 'alice', scope: 'openid', aud: 'https://api.example.com', jti: 'j1' };

export const bytesOf = (seed: number) => new Uint8Array(32).fill(seed);
export const rawKeys = (seedOf: (kind: TokenKind) => number): RawKey[] =>
  KINDS.map((kind) => ({ kind, bytes: bytesOf(seedOf(kind)), state: 'signing' }));
export const ownKeys = rawKeys((kind) => KINDS.indexOf(kind) + 1);

/** Tokens of the test issuer with a key of its own for each kind, at NOW; each can be set otherwise. */
export function tokensWith({ issuer = ISSUER, keys = ownKeys, seconds = NOW } = {}) {
  return createTokens({ issuer, keyset: createKeyset(keys), now: () => seconds * 1000 });
}

/** One token of every kind, valid at NOW. */
export async function sealEach(): Promise<Record<TokenKind, string>> {
  const seal = (kind: TokenKind) => tokensWith().seal(kind, CLAIMS, { expiresAt: EXPIRES });
  return {
    step: await seal('step'),
    session: await seal('session'),
    access: await seal('access'),
    refresh: await seal('refresh'),
    public: await seal('public'),
  };
}

/** Whether anyone takes the text for a token, as any kind. */
export async function anyKindOpens(token: string): Promise<boolean> {
  const opened = await Promise.all(KINDS.map((kind) => tokensWith().open(kind, token)));
  return opened.some((claims) => claims !== undefined);
}
