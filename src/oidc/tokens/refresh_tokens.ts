/**
 * Refresh tokens as text: a PASETO that holds the token's id and is made of nothing but what is stored, so that a repeated
 * request receives the very same text. What is stored, and what may happen to it, is in refresh/.
 */
import type { Client } from 'oidc-provider';
import type { RefreshState } from '../../refresh/states.ts';
import type { RefreshStore, StoredRefreshToken } from '../../refresh/store.ts';
import type { Query } from '../../storage/database.ts';
import type { Tokens } from '../../tokens/tokens.ts';

/** What is stored of one: the library's payload without the id. Times are unix seconds. */
export interface RefreshPayload {
  iat: number;
  exp: number;
  /** When the first token of the family was made. */
  iiat: number;
  clientId: string;
  accountId: string;
  grantId: string;
  sid?: string;
  sessionUid?: string;
  expiresWithSession?: boolean;
  /** The grants by which it came about. */
  gty?: string;
  rotations?: number;
  /** The thumbprints of the key and of the certificate that it is bound to. */
  jkt?: string;
  'x5t#S256'?: string;
}

/** A token that was presented, with what is stored under its id. */
export interface PresentedRefreshToken {
  id: string;
  familyId: string;
  payload: RefreshPayload;
  state: Exclude<RefreshState, 'ended' | 'expired'>;
}

export interface RefreshDeps {
  tokens: Pick<Tokens, 'seal' | 'open'>;
  refresh: RefreshStore;
  /** Reads a token with its grant and its account. */
  readAhead: Query;
  /** Ends the family of a token that was used by two, and notes it in the audit log. */
  endReused(token: ReusedToken): Promise<void>;
  /** What became of a presented token. */
  onRefresh(outcome: 'rotated' | 'repeated' | 'reused'): void;
}

export interface ReusedToken {
  familyId: string;
  clientId: string;
  accountId: string;
}

/**
 * Finds what was presented. Undefined where nothing can come of it any more, or where it is none of ours.
 * `anyTime`: see RefreshStore.read.
 */
export async function findRefreshToken(
  { tokens, refresh, readAhead }: Pick<RefreshDeps, 'tokens' | 'refresh' | 'readAhead'>,
  text: unknown,
  options: { anyTime: boolean },
): Promise<PresentedRefreshToken | undefined> {
  // One that has expired may have been used before, which its state says.
  const claims =
    typeof text === 'string' ? await tokens.open('refresh', text, { ignoreExpiration: true }) : undefined;
  if (typeof claims?.token_id !== 'string') return undefined;
  const stored = await refresh.read(claims.token_id, options, readAhead);
  if (!stored || stored.state === 'ended' || stored.state === 'expired') return undefined;
  const { familyId, state } = stored;
  return { id: claims.token_id, familyId, state, payload: payloadOf(stored) };
}

/** What is stored is what `save` and the rotation have written. */
export const payloadOf = ({ payload }: StoredRefreshToken): RefreshPayload =>
  payload as RefreshPayload & Record<string, unknown>;

/**
 * A FAPI client that did not receive or keep an answer may repeat its request whenever it notices (FAPI 2.0 security profile,
 * section 5.3.2.1, item 9): a stolen refresh token is of no use without the client's key.
 */
export const repetitionsOf = (client: Client | undefined) => ({ anyTime: client?.fapi !== undefined });

/** Ends the family of a token that was used by two. */
export async function endReused(
  deps: Pick<RefreshDeps, 'endReused' | 'onRefresh'>,
  { familyId, clientId, accountId }: ReusedToken,
): Promise<void> {
  await deps.endReused({ familyId, clientId, accountId });
  deps.onRefresh('reused');
}

export const sealRefreshToken = (
  { seal }: Pick<Tokens, 'seal'>,
  { id, familyId, payload }: { id: string; familyId: string; payload: RefreshPayload },
): Promise<string> =>
  seal(
    'refresh',
    {
      sub: payload.accountId,
      client_id: payload.clientId,
      sid: payload.sid,
      grant: payload.grantId,
      token_id: id,
      family: familyId,
    },
    { issuedAt: payload.iat, expiresAt: payload.exp },
  );
