/**
 * oidc-provider's ReplayDetection. `unique`: the library looks first and stores afterwards, so that of parallel replays of one
 * assertion or DPoP proof several would pass. Here one statement decides. Each user of it answers a replay with its own error.
 */
import type Provider from 'oidc-provider';
import { type Client, errors } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { lifeSeconds } from '../../../lifetimes.ts';
import { isTooFarAhead } from '../../requests/signed_claims.ts';
import { currentScope } from '../request_scope.ts';
import { modelOf } from './model.ts';

/** True for the first of all users of `id`, false for the others, until `expiresAt` (milliseconds since the epoch). */
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
    // The library would forget a proof when one that was made now is too old; this one may have been made ahead of us.
    const { proofWindow } = lifeSeconds;
    const kept = proof ? Math.max(expiresAt, nowSeconds + 2 * proofWindow) : expiresAt;
    return spend(`jti:${sha256(JSON.stringify([issuer, jti]))}`, kept * 1000);
  };

  const clientOf = async (id: string): Promise<Client | undefined> => provider.Client.find(id);
}

/** What the DPoP proof of the request claims, if this `jti` is of it. The library has verified it before it asks. */
function presentedProof(jti: string): { iat?: unknown; nbf?: unknown } | undefined {
  const [, payload = ''] = currentScope()?.ctx.get('dpop').split('.') ?? [];
  try {
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return claims?.jti === jti ? claims : undefined;
  } catch {
    // No proof, or none that the library will take.
    return undefined;
  }
}
