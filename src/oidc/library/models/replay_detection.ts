/**
 * oidc-provider's ReplayDetection. The library's `unique` reads first and stores afterwards, so several concurrent
 * replays of one assertion or DPoP proof would pass. Here one statement decides. The callers turn a replay into their
 * own errors.
 */
import type Provider from 'oidc-provider';
import { type Client, errors } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { lifeSeconds } from '../../../lifetimes.ts';
import { isTooFarAhead } from '../../requests/signed_claims.ts';
import { currentScope } from '../request_scope.ts';
import { modelOf } from './model.ts';

/**
 * Marks `id` as used. True for the first call, false for all others until `expiresAt` (milliseconds since the epoch).
 */
export type Spend = (id: string, expiresAt: number) => Promise<boolean>;

/** Makes the detection of replayed `jti`s race-proof. `now`: milliseconds since the epoch. */
export function overrideReplayDetection(provider: Provider, spend: Spend, now: () => number): void {
  const Model = modelOf<{
    /** `expiresAt` in unix seconds. `issuer` is the client. */
    unique(issuer: string, jti: string, expiresAt: number): Promise<boolean>;
  }>(provider, 'ReplayDetection');
  Model.unique = async (issuer, jti, expiresAt) => {
    const nowSeconds = Math.floor(now() / 1000);
    const proof = presentedProof(jti);
    if (proof && isTooFarAhead(proof, await clientOf(issuer), nowSeconds))
      throw new errors.InvalidDpopProof('iat and nbf must not be ahead by more than a minute');
    // The library keeps a proof only as long as one that was made now is valid. But this proof may come from a clock
    // that is ahead of ours, and then it is valid for longer.
    const { proofWindow } = lifeSeconds;
    const kept = proof ? Math.max(expiresAt, nowSeconds + 2 * proofWindow) : expiresAt;
    return spend(`jti:${sha256(JSON.stringify([issuer, jti]))}`, kept * 1000);
  };

  const clientOf = async (id: string): Promise<Client | undefined> => provider.Client.find(id);
}

/** The claims of the request's DPoP proof, if `jti` belongs to it. The library has already verified the proof. */
function presentedProof(jti: string): { iat?: unknown; nbf?: unknown } | undefined {
  const [, payload = ''] = currentScope()?.ctx.get('dpop').split('.') ?? [];
  try {
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return claims?.jti === jti ? claims : undefined;
  } catch {
    // There is no proof, or the header is not a JWT.
    return undefined;
  }
}
