/**
 * The text of refresh tokens: a PASETO that contains the token's id. It is made only from stored values, so a repeated
 * request receives exactly the same text. Storage and states are not here but in src/refresh.
 */
import type { Client } from 'oidc-provider';
import type { RefreshState } from '../../refresh/states.ts';
import type { RefreshStore, RefreshTokenId, StoredRefreshToken } from '../../refresh/store.ts';
import type { Query } from '../../storage/database.ts';
import type { Tokens } from '../../tokens/tokens.ts';

/** The stored payload of a refresh token: the library's payload without the id. Times are unix seconds. */
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
  /** The grant types that have led to this token, separated by spaces. */
  gty: string;
  rotations?: number;
  /** The thumbprints of the DPoP key and of the certificate that it is bound to. */
  jkt?: string;
  'x5t#S256'?: string;
}

/** What is stored of a family's tokens: what no rotation changes. `gty` is that of the first token. */
export type FamilyPayload = Omit<RefreshPayload, 'iat' | 'exp' | 'rotations'>;

/** A presented token, with the payload of its family's current token. */
export interface PresentedRefreshToken extends RefreshTokenId {
  stored: StoredRefreshToken;
  payload: RefreshPayload;
  state: Exclude<RefreshState, 'ended' | 'expired'>;
}

export interface RefreshDeps {
  tokens: Pick<Tokens, 'seal' | 'open'>;
  refresh: RefreshStore;
  /** Runs the query that reads a token, and reads its grant and account with it. */
  readAhead: Query;
  /** Ends the family of a reused token, and writes an audit event. */
  endReused(token: ReusedToken): Promise<void>;
  /** Called with the outcome for a presented token. */
  onRefresh(outcome: 'rotated' | 'repeated' | 'reused'): void;
}

export interface ReusedToken {
  familyId: string;
  clientId: string;
  accountId: string;
}

/**
 * Finds a presented refresh token. Undefined if it has ended or expired, or is not a refresh token of this server.
 * `anyTime`: see RefreshStore.read.
 */
export async function findRefreshToken(
  { tokens, refresh, readAhead }: Pick<RefreshDeps, 'tokens' | 'refresh' | 'readAhead'>,
  text: unknown,
  options: { anyTime: boolean },
): Promise<PresentedRefreshToken | undefined> {
  // Open expired tokens too. If such a token was used before, this is a reuse, and only its state shows that.
  const claims =
    typeof text === 'string' ? await tokens.open('refresh', text, { ignoreExpiration: true }) : undefined;
  const id = claims && refreshTokenId(claims);
  if (!id) return undefined;
  const stored = await refresh.read(id, options, readAhead);
  if (!stored || stored.state === 'ended' || stored.state === 'expired') return undefined;
  return { ...id, stored, state: stored.state, payload: payloadOf(stored) };
}

/** Undefined if the claims are not those of a refresh token. */
export function refreshTokenId(claims: Record<string, unknown>): RefreshTokenId | undefined {
  const { token_id: tokenId, family: familyId, generation, exp } = claims;
  if (typeof tokenId !== 'string' || typeof familyId !== 'string' || typeof exp !== 'number')
    return undefined;
  const known = typeof generation === 'number' ? generation : undefined;
  return { tokenId, familyId, generation: known, expiresAt: exp * 1000 };
}

/** The payload of the family's current token. */
export function payloadOf({ payload, generation, issuedAt, expiresAt }: StoredRefreshToken): RefreshPayload {
  const { gty, ...same } = payload as FamilyPayload & Record<string, unknown>;
  return {
    ...same,
    iat: issuedAt / 1000,
    exp: expiresAt / 1000,
    ...(generation === 0 ? { gty } : { gty: `${gty} refresh_token`, rotations: generation }),
  };
}

/**
 * The options for reading a client's token. A FAPI client may repeat a request at any later time, if it did not
 * receive or store the answer (FAPI 2.0 security profile, section 5.3.2.1, item 9). That is safe, because a stolen
 * refresh token is useless without the client's key.
 */
export const repetitionsOf = (client: Client | undefined) => ({ anyTime: client?.fapi !== undefined });

/** Ends the family of a reused token, and reports it. */
export async function endReused(
  deps: Pick<RefreshDeps, 'endReused' | 'onRefresh'>,
  { familyId, clientId, accountId }: ReusedToken,
): Promise<void> {
  await deps.endReused({ familyId, clientId, accountId });
  deps.onRefresh('reused');
}

/** Makes the text of a refresh token. Equal arguments must give the same token, so nothing else may be included. */
export const sealRefreshToken = (
  { seal }: Pick<Tokens, 'seal'>,
  { tokenId, familyId, payload }: { tokenId: string; familyId: string; payload: RefreshPayload },
): Promise<string> =>
  seal(
    'refresh',
    {
      sub: payload.accountId,
      client_id: payload.clientId,
      sid: payload.sid,
      grant: payload.grantId,
      token_id: tokenId,
      family: familyId,
      generation: payload.rotations ?? 0,
    },
    { issuedAt: payload.iat, expiresAt: payload.exp },
  );
